"""What Ctrl-C and SIGTERM do while Ray runs: end the work calmly, and at once if they come again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ended_by_signals"]


@contextmanager
def ended_by_signals(ask_to_end: Callable[[], None] | None = None) -> Iterator[None]:
    """Handle SIGINT and SIGTERM in this context. Ray's own handler of SIGTERM would print a stack trace.

    Parameters
    ----------
    ask_to_end
        Is called at the first signal. It returns at once, and the work then ends calmly. Without it, and at
        each further signal, a `KeyboardInterrupt` is raised.
    """
    asked = ask_to_end is None

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked or ask_to_end is None:
            raise KeyboardInterrupt
        asked = True
        ask_to_end()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
