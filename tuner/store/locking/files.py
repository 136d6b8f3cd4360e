"""Locks on files. The kernel releases them when their process ends, also if it is killed."""

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
from tuner.store.hints import reads

__all__ = ["JournalLock", "busy", "hold_lock", "lock_holder", "this_process", "wait_for_lock"]


class JournalLock(BaseJournalFileLock):
    """A lock on a file. The kernel releases it when the process ends, also if it is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock and acquire it."""
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Release the lock."""
        assert self._descriptor is not None, "released without being acquired"
        os.close(self._descriptor)
        self._descriptor = None


def this_process() -> str:
    """Return the name of this process for people: its id and host."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def busy(source: str, holder: str | None, *, name: str = "this study", hint: str | None = None) -> StoreError:
    """Return the error of a study that another process runs.

    Parameters
    ----------
    source
        Name of the locked thing in messages.
    holder
        The process that runs the study, None if it is not known.
    name
        Name of the study in messages.
    hint
        What the user can do; by default, to wait.
    """
    hint = hint or f"wait for it, or stop it; {reads()} works at the same time"
    return StoreError(
        source, [Problem("", f"must be free, but {holder or 'another process'} is running {name}", hint)]
    )


def lock_holder(folder: Path, name: str = LOCK) -> str | None:
    """Return the process that holds an exclusive lock now, None if no process does."""
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
    """Lock the file.

    Try for a second, because `lock_holder` in another process locks it for an instant, too.
    """
    for _ in range(20):
        with suppress(BlockingIOError):
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        time.sleep(0.05)
    return fcntl.flock(file, kind | fcntl.LOCK_NB)


@contextmanager
def hold_lock(
    folder: Path, name: str = LOCK, *, source: str | None = None, shared: bool = False
) -> Iterator[None]:
    """Hold a lock on the study's folder for this process.

    Parameters
    ----------
    folder, name
        Folder and name of the lock file.
    source
        Name of the locked thing in messages; by default the folder.
    shared
        Whether other processes may hold the lock, too, if they share it as well.

    Raises
    ------
    StoreError
        If another process runs the study. The message names it.
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
    """Wait for a lock, and hold it in this context."""
    lock = JournalLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
