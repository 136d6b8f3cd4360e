"""Makes stdout and stderr usable: closed, full, or on a terminal that lacks some characters."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

from tuner.errors import LASTING

__all__ = ["discard_stdout", "say", "usable_streams", "why_unusable"]

#: What is written for characters that an encoding lacks. All others are written as `\\u0416`.
_PLAIN = {"…": "~", "±": "+-", "·": "|", "─": "-", "━": "-", "│": "|"}
_NAME = "tuner-plain"
#: Errors of a disk that is full, or of a terminal that is gone.
_OUTPUT = frozenset({errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC})


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the replacement of characters that cannot be encoded, as an error handler of Python's codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    place = error.start
    known = _PLAIN.get(error.object[place])
    if known is not None:
        return known, place + 1
    one = UnicodeEncodeError(error.encoding, error.object, place, place + 1, error.reason)
    return codecs.backslashreplace_errors(one)


def usable_streams() -> None:
    """Let stdout and stderr take any text. A closed one is replaced by the null device.

    Otherwise the next file that is opened would get its number, and would get all that is printed.
    """
    codecs.register_error(_NAME, _plain)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # open as long as the process
            setattr(sys, name, null)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def say(text: object) -> None:
    """Write a text to stderr if that is possible, with control characters as codes."""
    from tuner.formatting import visible  # only for errors

    with suppress(OSError, ValueError):
        print(visible(str(text)), file=sys.stderr, flush=True)


def discard_stdout() -> None:
    """Let stdout lead to the null device, so that Python does not fail to write its rest in the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def why_unusable(error: OSError) -> tuple[str, int] | None:
    """Return the message and the exit code of an error that the user has to correct; None for any other.

    An error without a file comes from stdout.
    """
    if error.filename is None:
        return (f"the output cannot be written: {error.strerror}", 1) if error.errno in _OUTPUT else None
    if error.errno in LASTING:
        return f"{error.filename}: must be usable, but got the error: {error.strerror}", 2
    return (f"{error.filename} cannot be written: {error.strerror}", 1) if error.errno in _OUTPUT else None
