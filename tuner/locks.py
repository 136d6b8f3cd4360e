"""Locks on a study's folder, which the kernel lets go of when their process dies, however it dies."""

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

from tuner.errors import Problem, StoreError

__all__ = ["JournalLock", "hold_lock", "lock_holder"]


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


def lock_holder(folder: Path, name: str = ".lock") -> str | None:
    """Return who runs the study in this folder at the moment, None if nobody does."""
    path = folder / name
    if not path.exists():
        return None
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or "another process"
    return None


def _take(file: IO[str]) -> None:
    """Lock the file; try for a moment, since who asks for the holder locks it for an instant too."""
    for _ in range(20):
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.05)
    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def hold_lock(folder: Path, name: str = ".lock", *, source: str | None = None) -> Iterator[None]:
    """Hold the study's folder for this process.

    Parameters
    ----------
    folder, name
        Where the lock's file stands.
    source
        What is held, as messages call it; by default the folder.

    Raises
    ------
    StoreError
        If another process runs the study, saying which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as file:
        try:
            _take(file)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            hint = "wait for it, or end it; `tuner leaderboard` works meanwhile"
            raise StoreError(
                source or str(folder),
                [Problem("", f"must be free, but {holder} is running this study", hint)],
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
