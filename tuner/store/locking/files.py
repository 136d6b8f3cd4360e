"""Locks on files, which the kernel lets go of when their process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from optuna.storages.journal._file import BaseJournalFileLock

from tuner.artifacts.layout import LOCK
from tuner.errors import Problem, StoreError

__all__ = ["JournalLock", "busy", "hold_lock", "lock_holder", "this_process", "wait_for_lock"]


class JournalLock(BaseJournalFileLock):
    """A lock that the kernel lets go of when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give the lock back."""
        assert self._descriptor is not None, "released without being acquired"
        os.close(self._descriptor)
        self._descriptor = None


def this_process() -> str:
    """Return what this process is called where people read who runs a study."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def busy(source: str, holder: str | None, *, name: str = "this study", hint: str | None = None) -> StoreError:
    """Return the error of a study that another process runs.

    Parameters
    ----------
    source
        What is held, as messages call it.
    holder
        Who runs it, None if that is not known.
    name
        Of the study, as messages call it.
    hint
        What to do about it; by default to wait.
    """
    hint = hint or "wait for it, or end it; `tuner leaderboard` works meanwhile"
    return StoreError(
        source, [Problem("", f"must be free, but {holder or 'another process'} is running {name}", hint)]
    )


def lock_holder(folder: Path, name: str = LOCK) -> str | None:
    """Return who holds a lock for itself at the moment, None if nobody does."""
    path = folder / name
    try:
        file = path.open("r")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or "another process"
    return None


def _take(file: IO[str], kind: int) -> None:
    """Lock the file; try for a moment, since who asks for the holder locks it for an instant too."""
    for _ in range(20):
        with suppress(BlockingIOError):
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        time.sleep(0.05)
    return fcntl.flock(file, kind | fcntl.LOCK_NB)


@contextmanager
def hold_lock(
    folder: Path, name: str = LOCK, *, source: str | None = None, shared: bool = False
) -> Iterator[None]:
    """Hold the study's folder for this process.

    Parameters
    ----------
    folder, name
        Where the lock's file stands.
    source
        What is held, as messages call it; by default the folder.
    shared
        Whether others may hold it too, if they share it as well.

    Raises
    ------
    StoreError
        If another process runs the study, saying which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as file:
        try:
            _take(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except OSError as error:
            file.seek(0)
            raise busy(source or str(folder), file.read().strip()) from error
        if not shared:
            file.seek(0)
            file.truncate()
            file.write(this_process())
            file.flush()
        yield


@contextmanager
def wait_for_lock(path: Path) -> Iterator[None]:
    """Hold a lock for a moment, after waiting until nobody else does."""
    lock = JournalLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
