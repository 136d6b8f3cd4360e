"""Drivers of a study: a single driver, or several that share the study.

Each driver has an id and a lock. A driver is alive while its lock is held. Only the kernel or the database
releases the lock, when the process ends. A running trial has the id of its driver. When the driver's lock is
released, another driver may continue the trial.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tuner.errors import StoreError
from tuner.store.hints import how_to_share
from tuner.store.locking.files import busy, hold_lock, lock_holder, this_process, wait_for_lock

__all__ = ["Driver", "Hold", "file_drivers", "hold_by_files", "new_driver_id"]


@dataclass(frozen=True)
class Driver:
    """A process that runs a study.

    Attributes
    ----------
    id
        Eight hexadecimal digits. No other living driver of the study has the same.
    words
        Process and host of the driver, for people.
    """

    id: str
    words: str


@dataclass(frozen=True)
class Hold:
    """The lock of a study that a driver holds.

    Attributes
    ----------
    driver
        The driver of this process.
    shared
        Whether other drivers may run the study at the same time.
    living
        Function that returns all drivers that run the study now, including this one.
    turn
        Function that returns a context in which no other driver can start a trial. Such contexts must not be
        nested.
    check
        Function that raises a `SearchError` if the lock was lost, for example because the database was
        restarted. Another driver may then hold the study.
    """

    driver: Driver
    shared: bool
    living: Callable[[], tuple[Driver, ...]]
    turn: Callable[[], AbstractContextManager[None]] = nullcontext
    check: Callable[[], None] = lambda: None


def new_driver_id() -> str:
    """Return an id for a new driver."""
    return uuid.uuid4().hex[:8]


@contextmanager
def hold_by_files(folder: Path, name: str, *, source: str, shared: bool = False) -> Iterator[Hold]:
    """Hold the lock of a study by locking files.

    Parameters
    ----------
    folder, name
        Folder and name of the study's lock file. Drivers that share the study have one more file each; its
        name begins with `name`.
    source
        Name of the locked thing in messages.
    shared
        Whether other drivers may run the study, too.

    Raises
    ------
    StoreError
        If another process runs the study and does not share it. The message names the process.
    """
    driver = Driver(new_driver_id(), this_process())
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(folder, name, source=source, shared=shared))
        except StoreError:
            others = file_drivers(folder, name)
            who = ", ".join(other.words for other in others)
            together = any(other.id for other in others)
            cure = how_to_share(together=together) if together or shared else None
            raise busy(source, who, hint=cure) from None
        if not shared:
            yield Hold(driver, shared, lambda: (driver,))
            return
        turn = folder / f"{name}.turn"
        own = folder / f"{name}.{driver.id}"
        with wait_for_lock(turn):
            for path in _files(folder, name):  # drivers that were killed have left their files
                if lock_holder(folder, path.name) is None:
                    path.unlink(missing_ok=True)
            stack.enter_context(hold_lock(folder, own.name, source=source))
        stack.callback(own.unlink, missing_ok=True)
        yield Hold(driver, shared, lambda: file_drivers(folder, name), lambda: wait_for_lock(turn))


def file_drivers(folder: Path, name: str) -> tuple[Driver, ...]:
    """Return the drivers that hold a study by files now. A driver that does not share has an empty id."""
    single = lock_holder(folder, name)
    if single is not None:
        return (Driver("", single),)
    found = ((path.name.rpartition(".")[2], lock_holder(folder, path.name)) for path in _files(folder, name))
    return tuple(Driver(number, holder) for number, holder in found if holder is not None)


def _files(folder: Path, name: str) -> list[Path]:
    """Return the files of drivers that share a study, including drivers that have ended."""
    return sorted(folder.glob(f"{name}.{'[0-9a-f]' * 8}"))
