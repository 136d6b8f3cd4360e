"""Where the libraries' chatter goes: a file, for the driver and for each trial. Errors are ours to show."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["logs_to"]


class _Forgiving(io.FileIO):
    """A file that passes over what a full disk does not take: a lost line of a log is no reason to fail."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _opened(path: Path) -> TextIO:
    """Open a log to append lines; where that is impossible, they go nowhere."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = _Forgiving(path, "a")
    except OSError:
        raw = _Forgiving(os.devnull, "a")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)


@contextmanager
def logs_to(path: Path) -> Iterator[TextIO]:
    """Append all logging and warnings of this process to a file, and nothing to the console.

    Parameters
    ----------
    path
        The file; its folder is made.

    Yields
    ------
    TextIO
        The open file, for what else belongs there.
    """
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with _opened(path) as file, warnings.catch_warnings():
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.handlers, root.level = [handler], logging.INFO
        warnings.simplefilter("default")
        logging.captureWarnings(capture=True)
        loud = [(logger, logger.handlers[:], logger.propagate) for logger in _loud()]
        for logger, handlers, _ in loud:
            logger.handlers = [one for one in handlers if not _to_console(one)]
            logger.propagate = True
        try:
            yield file
        finally:
            logging.captureWarnings(capture=False)
            root.handlers, root.level = before
            for logger, handlers, propagate in loud:
                logger.handlers, logger.propagate = handlers, propagate


def _loud() -> list[logging.Logger]:
    """Return loggers that write to the console themselves, as Lightning's does when it is imported first."""
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    return [logger for logger in known if any(map(_to_console, logger.handlers))]


def _to_console(handler: logging.Handler) -> bool:
    return type(handler) is logging.StreamHandler and handler.stream in {
        sys.stdout,
        sys.stderr,
        sys.__stdout__,
        sys.__stderr__,
    }
