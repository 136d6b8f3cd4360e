"""Ends a search whose Ray has died under it, at once and with a word on how to go on.

A driver cannot outlive the Ray processes that it started: within a minute Ray's own threads end it, with
lines about gRPC. Nothing is lost by that, since all that counts is in the store; only it should be said.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from subprocess import Popen
from typing import Any

__all__ = ["RAY_DIED", "watch_ray"]

#: Exit code: run it again. EX_TEMPFAIL of BSD's sysexits.h.
RAY_DIED = 75
#: Seconds between looks.
_EVERY = 0.2
#: Those without which Ray cannot go on, by Ray's names.
_VITAL = {"raylet": "raylet", "gcs_server": "control service"}


@contextmanager
def watch_ray() -> Iterator[None]:
    """End this process with `RAY_DIED` if a Ray that it started dies meanwhile."""
    leaving = threading.Event()
    watcher = threading.Thread(target=_watch, args=(leaving,), name="watch-ray", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        leaving.set()
        watcher.join()


def _watch(leaving: threading.Event) -> None:
    from ray._private import worker  # noqa: PLC0415  # ray; it has no public name for its processes

    node: Any = worker._global_node  # noqa: SLF001  # as above
    processes = {name: [info.process for info in infos] for name, infos in node.all_processes.items()}
    while not leaving.wait(_EVERY):
        for name, words in _VITAL.items():
            for process in processes.get(name, ()):
                if process.poll() is not None:
                    _say(f"Ray's {words} (process {process.pid})")
                    _kill([other for group in processes.values() for other in group])
                    os._exit(RAY_DIED)  # the main thread may stand in Ray's code, which never returns


def _say(who: str) -> None:
    show_cursor = "\033[?25h" if sys.stderr.isatty() else ""  # the live table hides it
    sys.stderr.write(
        f"{show_cursor}\n{who} has died under the search, perhaps for want of memory\n"
        "  the same command goes on; nothing finished is lost\n"
    )
    sys.stderr.flush()


def _kill(processes: Iterable[Popen[bytes]]) -> None:
    """Kill what is left of a Ray: its agents would stay for minutes, and its workers go on meanwhile."""
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  # Ray brings it, without annotations

    for process in (process for process in processes if process.poll() is None):
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid)
            for one in (*started.children(recursive=True), started):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
