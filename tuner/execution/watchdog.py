"""Ends a search at once when its Ray has died, with a message that says how to continue.

A driver cannot continue without the Ray processes that it started. Without this watchdog, Ray's own threads
end the driver within a minute, with messages about gRPC. No result is lost, because all results are in the
store.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from tuner.execution.start_failure import how_it_ended, lasting_cause

__all__ = ["AGAIN", "CANNOT_START", "LASTS", "RAY_DIED", "watch_ray", "watch_start"]

#: Exit code that means: run the command again. It is EX_TEMPFAIL of BSD's sysexits.h.
RAY_DIED = 75
#: Exit code if the cause lasts.
CANNOT_START = 1
#: What to do if Ray could not be started.
AGAIN = "is the machine overloaded, or out of memory? the same command tries again"
LASTS = "this lasts until its cause is removed; the log of this command has the last lines of Ray's logs"
#: Seconds between two checks.
_EVERY = 0.2
#: Seconds between two checks while Ray starts, seconds in which it reports an error itself, and most seconds
#: that a start may take.
_EVERY_START, _GRACE, _LONGEST_START = 0.5, 1.0, 300.0
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


@contextmanager
def watch_start(folder: Path, longest: float = _LONGEST_START) -> Iterator[None]:
    """End this process with `RAY_DIED` if a process of the Ray that starts in this context dies, or it hangs.

    Otherwise Ray's C++ code in this process would end it without a word on the cause. If the cause would keep
    Ray from starting again, the exit code is `CANNOT_START`.

    Parameters
    ----------
    folder
        Folder of the Ray.
    longest
        Most seconds that the start may take.
    """
    started = threading.Event()
    arguments = (started, time.monotonic() + longest, folder)
    watcher = threading.Thread(target=_watch_start, args=arguments, name="watch-start", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        started.set()
        watcher.join()


def _watch_start(started: threading.Event, until: float, folder: Path) -> None:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  # Ray brings it, without annotations

    seen: dict[int, tuple[str, Any]] = {}
    while not started.wait(_EVERY_START):
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if child.name() in _VITAL:
                    seen.setdefault(child.pid, (_VITAL[child.name()], child))
        dead = [(label, child) for label, child in seen.values() if not _is_alive(child)]
        if not dead and time.monotonic() < until:
            continue
        if started.wait(_GRACE):  # Ray has reported it
            return
        label, child = dead[0] if dead else ("start", None)
        cause = lasting_cause(folder) or (how_it_ended(child) if child else None)
        what = f"its {label} (process {child.pid}) has died" if child else "it took too long"
        reason = f": {cause}" if cause else ""
        _write(f"Ray could not be started: {what}{reason}\n  {LASTS if cause else AGAIN}\n")
        for one in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                one.kill()
        os._exit(CANNOT_START if cause else RAY_DIED)


def _is_alive(process: Any) -> bool:  # noqa: ANN401  # a process of psutil, which has no annotations
    import psutil  # noqa: PLC0415  # Ray brings it

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


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
    _write(
        f"{show_cursor}\n{who} has died during the search, perhaps because memory was not enough\n"
        "  run the same command again to continue; all finished work is in the store\n"
    )


def _write(text: str) -> None:
    with suppress(OSError, ValueError):  # the terminal may be gone
        sys.stderr.write(text)
        sys.stderr.flush()


def _kill(processes: Iterable[Popen[bytes]]) -> None:
    """Kill the remaining processes of Ray. Otherwise its agents and workers would continue for minutes."""
    import psutil  # noqa: PLC0415  # Ray brings it

    for process in (process for process in processes if process.poll() is None):
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid)
            for one in (*started.children(recursive=True), started):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
