"""Who drives a study: one process that has it for itself, or several that share it.

A driver is known by a number of its own, and lives as long as a lock that nobody but the kernel or the
database lets go of. So a trial that runs under a driver's number is looked after as long as that lock is
held, and is free for others from then on.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tuner.errors import StoreError
from tuner.store.locking.files import busy, hold_lock, lock_holder, this_process, wait_for_lock

__all__ = ["SHARED_HINT", "SHARE_HINT", "Driver", "Hold", "file_drivers", "hold_by_files", "new_driver_id"]

#: What to do about a driver that shares the study with others, and about one that does not.
SHARED_HINT = "`tuner run --share` joins it; `tuner leaderboard` works meanwhile"
SHARE_HINT = "it does not share the study: wait for it, or end it and start each with `tuner run --share`"


@dataclass(frozen=True)
class Driver:
    """A process that runs a study.

    Attributes
    ----------
    id
        Eight hexadecimal digits; no other living driver of the study has them.
    words
        For people: its process and host.
    """

    id: str
    words: str


@dataclass(frozen=True)
class Hold:
    """What a driver has of its study, for as long as it holds it.

    Attributes
    ----------
    driver
        This process.
    shared
        Whether others may run the study beside it.
    living
        Returns all that run the study at the moment, this one among them.
    turn
        Gives a context within which no other driver takes a turn; none can be taken within another.
    check
        Raises `SearchError` if the lock is gone under a driver that lives, as when a database was restarted:
        someone else may have the study by now.
    """

    driver: Driver
    shared: bool
    living: Callable[[], tuple[Driver, ...]]
    turn: Callable[[], AbstractContextManager[None]] = nullcontext
    check: Callable[[], None] = lambda: None


def new_driver_id() -> str:
    """Return a number for a driver."""
    return uuid.uuid4().hex[:8]


@contextmanager
def hold_by_files(folder: Path, name: str, *, source: str, shared: bool = False) -> Iterator[Hold]:
    """Hold a study by locked files.

    Parameters
    ----------
    folder, name
        Where they stand: the lock of the study, and for drivers that share it one file each, whose names
        begin alike.
    source
        What is held, as messages call it.
    shared
        Whether others may run it too.

    Raises
    ------
    StoreError
        If another process runs the study for itself, saying which.
    """
    driver = Driver(new_driver_id(), this_process())
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(folder, name, source=source, shared=shared))
        except StoreError:
            others = file_drivers(folder, name)
            who = ", ".join(other.words for other in others)
            together = any(other.id for other in others)
            hint = SHARED_HINT if together else SHARE_HINT if shared else None
            raise busy(source, who, hint=hint) from None
        if not shared:
            yield Hold(driver, shared, lambda: (driver,))
            return
        turn = folder / f"{name}.turn"
        own = folder / f"{name}.{driver.id}"
        with wait_for_lock(turn):
            for path in _files(folder, name):  # of drivers that were killed
                if lock_holder(folder, path.name) is None:
                    path.unlink(missing_ok=True)
            stack.enter_context(hold_lock(folder, own.name, source=source))
        stack.callback(own.unlink, missing_ok=True)
        yield Hold(driver, shared, lambda: file_drivers(folder, name), lambda: wait_for_lock(turn))


def file_drivers(folder: Path, name: str) -> tuple[Driver, ...]:
    """Return who holds a study by files at the moment; without a number who has it for itself."""
    alone = lock_holder(folder, name)
    if alone is not None:
        return (Driver("", alone),)
    found = ((path.name.rpartition(".")[2], lock_holder(folder, path.name)) for path in _files(folder, name))
    return tuple(Driver(number, holder) for number, holder in found if holder is not None)


def _files(folder: Path, name: str) -> list[Path]:
    """Return the files of drivers that share a study, of dead ones too."""
    return sorted(folder.glob(f"{name}.{'[0-9a-f]' * 8}"))
