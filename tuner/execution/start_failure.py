"""Finds why a Ray that this process starts does not start: from its logs, and from how its processes ended.

Ray's folder is removed with the process that uses it, so the last lines of the logs go to the log of that
process.
"""

from __future__ import annotations

import logging
import re
import signal
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["how_it_ended", "lasting_cause"]

logger = logging.getLogger(__name__)

#: Folder of logs in the folder of a Ray.
LOGS = Path("session_latest", "logs")
#: Most lines of each log, and most characters of a line, that are kept.
_LINES, _LONGEST = 20, 1000
#: Signals that end the process at the next start too: a limit of the user's, or an old processor.
_LASTING = (signal.SIGILL, signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ)
#: Errors in a log that another start may not have: too little memory, too slow, another process has died.
_PASSING = re.compile("memory|time(d )?out|connect|rpc|unavailable|temporarily|cancel|exit", re.IGNORECASE)


def how_it_ended(process: Any) -> str | None:  # noqa: ANN401  # a process of psutil, which has no annotations
    """Return the signal that ended a child process if it would end the next one too, otherwise None."""
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  # Ray brings it, without annotations

    with suppress(psutil.Error, OSError):
        code = process.wait(0)
        if code is not None and -code in _LASTING:
            ended_by = signal.Signals(-code)
            return f"the signal {ended_by.name}: {signal.strsignal(ended_by)}"
    return None


def lasting_cause(folder: Path) -> str | None:
    """Log the last lines of the logs of a Ray, and return the error in them that the next start would have.

    Parameters
    ----------
    folder
        Folder of the Ray.

    Returns
    -------
    str or None
        The last line of a traceback of Python. None if there is none, or a passing fault may be its cause.
    """
    found = None
    for path in sorted((folder / LOGS).glob("*")):
        lines = _last_lines(path)
        if lines:
            logger.error("the last lines of Ray's %s:\n%s", path.name, "\n".join(lines))
        found = found or _error_in(lines)
    return found if found is None or not _PASSING.search(found) else None


def _last_lines(path: Path) -> list[str]:
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip()[:_LONGEST] for line in deque(file, maxlen=_LINES)]
    return []


def _error_in(lines: list[str]) -> str | None:
    """Return the line that ends the last traceback among the lines."""
    for number in reversed(range(1, len(lines))):
        if lines[number - 1].startswith("  ") and re.match(r"[A-Za-z_][\w.]*(: |$)", lines[number]):
            return lines[number]
    return None
