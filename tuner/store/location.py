"""Finds the store of a study (a journal or a database), holds its lock, and finds the drivers that run it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from tuner.artifacts.layout import JOURNAL, LOCK, STUDY_FILE, database_lock
from tuner.artifacts.private import private_files
from tuner.errors import LASTING, Problem, SearchError, StoreError
from tuner.errors.caller import argument
from tuner.store.database import filled_url, report_lost_database
from tuner.store.hints import goes_on, start_anew
from tuner.store.locking.drivers import Driver, Hold, file_drivers, hold_by_files
from tuner.store.locking.files import hold_lock
from tuner.store.locking.postgres import advisory_drivers, hold_by_advisory_locks

__all__ = [
    "check_place",
    "hold_study",
    "report_lost_store",
    "store_exists",
    "stored_at",
    "study_drivers",
    "study_holder",
]


def store_exists(folder: Path) -> bool:
    """Return whether the folder contains a study or names the database of one."""
    return (folder / JOURNAL).exists() or stored_at(folder)[1] is not None


def folder_named(named: Path, output: Path) -> Path:
    """Return the folder of a study.

    Parameters
    ----------
    named
        The folder, or the study's name.
    output
        Folder that has the folders of studies, for a name.
    """
    below = output / named
    if str(named) != named.name or store_exists(named):
        return named
    return below if store_exists(below) or (below.is_dir() and not named.exists()) else named


def stored_at(folder: Path) -> tuple[str, str | None]:
    """Return the name of the study of a folder, and the URL of its database (None if it has a journal)."""
    path = folder / STUDY_FILE
    if not path.exists():
        return folder.name, None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both loaders are safe
        return plain["study"], plain.get("storage")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        rule = f"must contain the study as it was run, but cannot be read: {type(error).__name__}"
        hint = "restore the file, or run the study again"
        raise StoreError(str(path), [Problem("", rule, hint)]) from error


def check_place(folder: Path, storage: str | None) -> None:
    """Refuse another storage than the study of this folder was started with."""
    if not store_exists(folder):
        return
    before = stored_at(folder)[1]
    if before != storage:
        rule = f"must stay as it was when the study began: {before!r}, but got {storage!r}"
        raise StoreError(str(folder), [Problem("storage", rule, start_anew())])


@contextmanager
def hold_study(
    folder: Path, name: str, storage: str | None = None, *, shared: bool = False
) -> Iterator[Hold]:
    """Hold the lock of a study for this process: of its folder, and of its database if it is in one.

    Files that this process makes meanwhile can be read by their owner only.

    Parameters
    ----------
    folder, name
        Folder and name of the study.
    storage
        URL of the database, None for a journal.
    shared
        Whether other drivers may run the study, too, if they share it as well. Only studies in a database can
        be shared.

    Raises
    ------
    StoreError
        If another process runs the study (the message names it), or the database cannot be reached.
    """
    assert storage is not None or not shared, "the checks of a study refuse to share a journal"
    if storage is None:
        with private_files(), hold_by_files(folder, LOCK, source=str(folder)) as hold:
            yield hold
        return
    with private_files(), ExitStack() as stack:
        lock_file = _lock_file(storage, folder, name)
        if lock_file is None:
            locks = hold_by_advisory_locks(storage, folder, name, shared=shared, goes_on=goes_on())
        else:
            locks = hold_by_files(*lock_file, source=storage, shared=shared)
        hold = stack.enter_context(locks)
        stack.enter_context(hold_lock(folder, LOCK, shared=shared))
        yield hold


def _lock_file(storage: str, folder: Path, name: str) -> tuple[Path, str] | None:
    """Return folder and name of the lock file of a study in SQLite; None for other databases."""
    full = filled_url(storage, folder)
    if full.get_backend_name() != "sqlite":
        return None
    return database_lock(Path(full.database or ""), name)


@contextmanager
def report_lost_store(folder: Path, storage: str | None = None) -> Iterator[None]:
    """Raise a `SearchError` if a study can no longer be written: the disk is full, or the database is lost.

    Parameters
    ----------
    folder, storage
        See `hold_study`.

    Raises
    ------
    SearchError
        If the study can no longer be written. The message names the file or the database, and the cause.
    StoreError
        If the study can never be written there: the place is read-only, has too long a name, or is no folder.
    """
    with ExitStack() as stack:
        if storage is not None:
            stack.enter_context(report_lost_database(storage, folder, goes_on()))
        try:
            yield
        except OSError as error:
            path = Path(error.filename) if isinstance(error.filename, str) else None
            if path is None or not (path.is_relative_to(folder) or folder.is_relative_to(path)):
                raise
            if error.errno in LASTING:
                rule = f"must be a place that can be written, but got the error: {error.strerror}"
                hint = f"name another place with {argument('--output')}, or let this user write there"
                raise StoreError(str(path), [Problem("", rule, hint)]) from error
            hint = f"free disk space there, or correct the cause; {goes_on()}"
            raise SearchError(f"{path} cannot be written: {error.strerror}", hint=hint) from error


def study_drivers(folder: Path) -> tuple[Driver, ...]:
    """Return the drivers that run the study of a folder now."""
    name, storage = stored_at(folder)
    if storage is None:
        return file_drivers(folder, LOCK)
    lock_file = _lock_file(storage, folder, name)
    return advisory_drivers(storage, folder, name) if lock_file is None else file_drivers(*lock_file)


def study_holder(folder: Path) -> str | None:
    """Return the drivers that run the study of a folder now as text, None if there are none."""
    return ", ".join(driver.words for driver in study_drivers(folder)) or None
