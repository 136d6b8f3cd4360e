"""Where the store of a study is: its folder, or the database that the folder names; and who has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from tuner.artifacts.layout import JOURNAL, LOCK, STUDY_FILE, database_lock
from tuner.errors import Problem, SearchError, StoreError
from tuner.store.database import filled_url, told_if_database_lost
from tuner.store.locking.drivers import Driver, Hold, file_drivers, hold_by_files
from tuner.store.locking.files import hold_lock
from tuner.store.locking.postgres import advisory_drivers, hold_by_advisory_locks

__all__ = [
    "check_place",
    "hold_study",
    "store_exists",
    "stored_at",
    "study_drivers",
    "study_holder",
    "told_if_lost",
]

GOES_ON = "the same command then goes on, and nothing that was recorded is lost"


def store_exists(folder: Path) -> bool:
    """Whether the folder holds a study, or says in which database it stands."""
    return (folder / JOURNAL).exists() or stored_at(folder)[1] is not None


def stored_at(folder: Path) -> tuple[str, str | None]:
    """Return the name and the database's URL of the study that was run in a folder; None for a journal."""
    path = folder / STUDY_FILE
    if not path.exists():
        return folder.name, None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both loaders are safe
        return plain["study"], plain.get("storage")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        rule = f"must hold the study as it was run, but cannot be read: {type(error).__name__}"
        raise StoreError(str(path), [Problem("", rule, "restore the file, or run the study anew")]) from error


def check_place(folder: Path, storage: str | None) -> None:
    """Refuse to begin anew elsewhere what was begun in this folder."""
    if not store_exists(folder):
        return
    before = stored_at(folder)[1]
    if before != storage:
        rule = f"must stay as it was when the study began: {before!r}, but got {storage!r}"
        hint = "give the study another name to begin anew, or another --output"
        raise StoreError(str(folder), [Problem("storage", rule, hint)])


@contextmanager
def hold_study(
    folder: Path, name: str, storage: str | None = None, *, shared: bool = False
) -> Iterator[Hold]:
    """Hold a study for this process: its folder, and the database if it stands in one.

    Parameters
    ----------
    folder, name
        Of the study.
    storage
        URL of the database; None for a journal.
    shared
        Whether others may run it too, if they share it as well; only in a database.

    Raises
    ------
    StoreError
        If another process runs it, saying which, or the database cannot be reached.
    """
    assert storage is not None or not shared, "a study's own rules refuse to share a journal"
    if storage is None:
        with hold_by_files(folder, LOCK, source=str(folder)) as hold:
            yield hold
        return
    with ExitStack() as stack:
        lock_file = _lock_file(storage, folder, name)
        if lock_file is None:
            locks = hold_by_advisory_locks(storage, folder, name, shared=shared, goes_on=GOES_ON)
        else:
            locks = hold_by_files(*lock_file, source=storage, shared=shared)
        hold = stack.enter_context(locks)
        stack.enter_context(hold_lock(folder, LOCK, shared=shared))
        yield hold


def _lock_file(storage: str, folder: Path, name: str) -> tuple[Path, str] | None:
    """Return folder and name of the file that is locked to hold a study; None where there is none."""
    full = filled_url(storage, folder)
    if full.get_backend_name() != "sqlite":
        return None
    return database_lock(Path(full.database or ""), name)


@contextmanager
def told_if_lost(folder: Path, storage: str | None = None) -> Iterator[None]:
    """Tell in one clear error that a study can no longer be written: a full disk, a database that is gone.

    Parameters
    ----------
    folder, storage
        As `hold_study` takes them.

    Raises
    ------
    SearchError
        Naming the file or the database, and the cause.
    """
    with ExitStack() as stack:
        if storage is not None:
            stack.enter_context(told_if_database_lost(storage, folder, GOES_ON))
        try:
            yield
        except OSError as error:
            path = Path(error.filename) if isinstance(error.filename, str) else None
            if path is None or not (path.is_relative_to(folder) or folder.is_relative_to(path)):
                raise
            hint = f"make room there, or mend what is wrong; {GOES_ON}"
            raise SearchError(f"{path} cannot be written: {error.strerror}", hint=hint) from error


def study_drivers(folder: Path) -> tuple[Driver, ...]:
    """Return who runs the study of a folder at the moment."""
    name, storage = stored_at(folder)
    if storage is None:
        return file_drivers(folder, LOCK)
    lock_file = _lock_file(storage, folder, name)
    return advisory_drivers(storage, folder, name) if lock_file is None else file_drivers(*lock_file)


def study_holder(folder: Path) -> str | None:
    """Return in words who runs the study of a folder at the moment, None if nobody does."""
    return ", ".join(driver.words for driver in study_drivers(folder)) or None
