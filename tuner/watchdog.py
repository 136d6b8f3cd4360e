"""Ends a search whose Ray has died under it, at once and with a word on how to go on.

A driver cannot outlive the Ray processes that it started: within a minute Ray's own threads end it, with
lines about gRPC. Nothing is lost by that, since all that counts is in the store; only it should be said.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["RAY_DIED", "watch_ray"]

#: Exit code: run it again. EX_TEMPFAIL of BSD's sysexits.h.
RAY_DIED = 75
#: For a terminal, where the live table hides it.
_SHOW_CURSOR = "\033[?25h"
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
    processes = {
        words: info.process for name, words in _VITAL.items() for info in node.all_processes.get(name, ())
    }
    while not leaving.wait(_EVERY):
        for words, process in processes.items():
            if process.poll() is not None:
                if sys.stderr.isatty():
                    sys.stderr.write(_SHOW_CURSOR)
                sys.stderr.write(
                    f"\nRay's {words} (process {process.pid}) has died under the search, "
                    "perhaps for want of memory\n  the same command goes on; nothing finished is lost\n"
                )
                sys.stderr.flush()
                node.kill_all_processes(check_alive=False, allow_graceful=False)
                os._exit(RAY_DIED)  # the main thread may stand in Ray's code, which never returns
