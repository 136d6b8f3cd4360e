"""Ends what is left of a driver's Ray when the driver has been killed.

Ray's own processes notice the end of their driver one after the other, the last ones after a minute. Until
then they keep memory and ports. So each driver that starts Ray also starts this file as a process of its own,
outside the driver's process group. It waits for the end of the driver, and then kills all processes with the
driver's mark in their environment, which all processes of that Ray inherit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["marks", "reaper"]

#: Environment variable with the mark of a driver.
_MARK = "TUNER_RAY_OF_DRIVER"
#: Lets Ray's workers keep their environment readable when they change the name of their process.
_KEEP = "SPT_NOENV"
#: Seconds between two looks at the driver, and between two rounds of kills, and most seconds of the kills.
_EVERY, _BETWEEN, _LONGEST = 0.5, 0.1, 30.0


@contextmanager
def reaper() -> Iterator[str]:
    """Start the process that ends Ray after this one, and end it after the context; yield the driver's mark.

    It reads `/proc`, so on other systems than Linux nothing is started.
    """
    mark = uuid.uuid4().hex
    if not sys.platform.startswith("linux"):
        yield mark
        return
    process = subprocess.Popen(  # noqa: S603  # this Python and this file
        [sys.executable, "-I", "-S", __file__, mark, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    try:
        yield mark
    finally:
        process.kill()
        process.wait()


def marks(mark: str) -> dict[str, str]:
    """Return the environment variables that mark processes, and those that they start."""
    return {_MARK: mark, _KEEP: "1"}


def kill_marked(mark: str) -> None:
    """Kill all processes with a mark, until there are none."""
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        found = list(_marked(f"{_MARK}={mark}".encode()))
        if not found:
            return
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_BETWEEN)


def _marked(entry: bytes) -> Iterator[int]:
    """Yield the processes with an entry in their environment. That of a process that has ended is empty."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                if entry in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def _main(mark: str, driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_EVERY)
    kill_marked(mark)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
