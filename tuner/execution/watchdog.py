"""Ends a search at once when its Ray has died, with a message that says how to continue.

A driver cannot continue without the Ray processes that it started. Without this watchdog, Ray's own threads
end the driver within a minute, with messages about gRPC. No result is lost, because all results are in the
store.
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

#: Exit code that means: run the command again. It is EX_TEMPFAIL of BSD's sysexits.h.
RAY_DIED = 75
#: Seconds between two checks.
_EVERY = 0.2
#: Processes without which Ray cannot continue: Ray's names, and names for people.
_VITAL = {"raylet": "raylet", "gcs_server": "control service"}


@contextmanager
def watch_ray() -> Iterator[None]:
    """End this process with the exit code `RAY_DIED` if the Ray that it started dies."""
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
        for name, label in _VITAL.items():
            for process in processes.get(name, ()):
                if process.poll() is not None:
                    _say(f"Ray's {label} (process {process.pid})")
                    _kill([other for group in processes.values() for other in group])
                    os._exit(RAY_DIED)  # the main thread may wait in Ray's code for ever


def _say(who: str) -> None:
    show_cursor = "\033[?25h" if sys.stderr.isatty() else ""  # the live table hides it
    sys.stderr.write(
        f"{show_cursor}\n{who} has died during the search, perhaps because memory was not enough\n"
        "  run the same command again to continue; all finished work is in the store\n"
    )
    sys.stderr.flush()


def _kill(processes: Iterable[Popen[bytes]]) -> None:
    """Kill the remaining processes of Ray. Otherwise its agents and workers would continue for minutes."""
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  # Ray brings it, without annotations

    for process in (process for process in processes if process.poll() is None):
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid)
            for one in (*started.children(recursive=True), started):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
