"""What Ctrl-C, SIGTERM and SIGHUP do while Ray runs: end the work calmly, and at once if they come again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ended_by_signals"]


@contextmanager
def ended_by_signals(ask_to_end: Callable[[], None] | None = None) -> Iterator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP in this context. Ray's handler of SIGTERM would print a stack trace.

    SIGHUP comes when the terminal is closed. If it is ignored, as under `nohup`, it stays ignored.

    Parameters
    ----------
    ask_to_end
        Is called at the first signal. It returns at once, and the work then ends calmly. Without it, and at
        each further signal, a `KeyboardInterrupt` is raised.

    In a thread besides the main one this does nothing: signals belong to the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = ask_to_end is None

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked or ask_to_end is None:
            raise KeyboardInterrupt
        asked = True
        ask_to_end()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
