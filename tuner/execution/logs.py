"""Writes what libraries log and print as warnings to a file: one for the driver, one for each trial."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["logs_to", "native_stderr_to"]

#: Number of the file that C++ code takes for stderr.
_STDERR = 2


class _Forgiving(io.FileIO):
    """A file that ignores write errors, such as a full disk. A trial must not fail because of its log."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _opened(path: Path) -> TextIO:
    """Open a log to append lines. If this is impossible, the lines are discarded."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = _Forgiving(path, "a")
    except OSError:
        raw = _Forgiving(os.devnull, "a")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)


@contextmanager
def logs_to(path: Path) -> Iterator[TextIO]:
    """Append all logging and warnings of this process to a file. The console gets none of them.

    Parameters
    ----------
    path
        Path of the file. Its folder is created.

    Yields
    ------
    TextIO
        The open file, so that the caller can write other output to it.
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


@contextmanager
def native_stderr_to(file: TextIO) -> Iterator[None]:
    """Write to a file what C++ code writes to stderr. `sys.stderr` still leads to the console.

    Ray's C++ code in this process reports lost connections in lines that say nothing to a user. If the
    console itself is lost, because a terminal was closed, the lines of Python are discarded.
    """
    console = sys.stderr
    with ExitStack() as stack:
        saved = os.dup(_STDERR)
        stack.callback(os.close, saved)
        if _is_stderr(console):
            raw = io.BufferedWriter(_Forgiving(saved, "w", closefd=False))
            sys.stderr = io.TextIOWrapper(
                raw, encoding=console.encoding, errors=console.errors, line_buffering=True
            )
            stack.callback(setattr, sys, "stderr", console)
            stack.callback(sys.stderr.flush)
            console.flush()
        os.dup2(file.fileno(), _STDERR)
        stack.callback(os.dup2, saved, _STDERR)
        yield


def _is_stderr(stream: TextIO) -> bool:
    """Return whether a stream writes to the process's stderr, not to a notebook or to a test."""
    try:
        return stream.fileno() == _STDERR
    except (OSError, ValueError, AttributeError):
        return False


def _loud() -> list[logging.Logger]:
    """Return the loggers with a console handler of their own. Lightning's has one if it is imported first."""
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    return [logger for logger in known if any(map(_to_console, logger.handlers))]


def _to_console(handler: logging.Handler) -> bool:
    return type(handler) is logging.StreamHandler and handler.stream in {
        sys.stdout,
        sys.stderr,
        sys.__stdout__,
        sys.__stderr__,
    }
