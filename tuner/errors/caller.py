"""Messages in the words of who calls: the command line has options, and Python has arguments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuner.errors import Problem, UserError

__all__ = ["argument", "command_line", "hint", "path_given"]

#: Whether the command line calls. It holds for all threads of the process.
_calls = {"command line": False}


@contextmanager
def command_line() -> Iterator[None]:
    """Let messages speak of commands and options meanwhile."""
    before = _calls["command line"]
    _calls["command line"] = True
    try:
        yield
    finally:
        _calls["command line"] = before


def hint(*, command: str, python: str) -> str:
    """Return the text for the command line if that calls, or else the one for Python."""
    return command if _calls["command line"] else python


def argument(option: str, python: str | None = None) -> str:
    """Return the name of an argument: that of its option, such as ``--sort``, or the one that Python has.

    Parameters
    ----------
    option
        Name on the command line.
    python
        Name in Python; by default that of the option without its dashes.
    """
    return hint(command=option, python=python or option.lstrip("-").replace("-", "_"))


def path_given(value: object, function: str, name: str, cure: str | None = None) -> Path:
    """Return a path that was given to a function of the package.

    Parameters
    ----------
    value
        What was given.
    function, name
        The function and its argument, for the message.
    cure
        What to do about an object that is no path.

    Raises
    ------
    UserError
        If it is neither text nor a `Path`, or is empty.
    """
    if isinstance(value, (str, os.PathLike)) and os.fsdecode(value):
        return Path(value)
    shown = repr(value) if value is None or isinstance(value, (str, int, float)) else type(value).__name__
    raise UserError(function, [Problem(name, f"must be a path, but got {shown}", cure)])
