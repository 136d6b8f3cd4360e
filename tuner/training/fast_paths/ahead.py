"""A thread makes batches while the GPU works, in the same order and with the same random numbers.

The thread draws from the CPU's random generators. No other code draws from them while a GPU trains: dropout
uses the GPU's own generator, and an epoch is evaluated after all its batches have been made.
"""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

__all__ = ["made_ahead"]

Made = TypeVar("Made")

#: Number of batches that may wait to be used.
_READY = 2
#: Seconds between two checks of the thread whether its batches are still needed.
_LOOK = 0.1


def made_ahead(batches: Iterator[Made]) -> Iterator[Made]:
    """Yield the values of an iterator while a thread makes the next ones. Its errors are raised here."""
    ready: Queue[tuple[bool, Made | BaseException | None]] = Queue(_READY)
    left = Event()
    thread = Thread(target=_make, args=(batches, ready, left), name="batches", daemon=True)
    thread.start()
    try:
        while True:
            is_batch, value = ready.get()
            if is_batch:
                yield value  # type: ignore[misc]  # a value, because the flag is true
            elif value is None:
                return
            else:
                raise value  # type: ignore[misc]  # an error, because the flag is false
    finally:
        left.set()
        while thread.is_alive():
            _empty(ready)
            thread.join(_LOOK)


def _make(
    batches: Iterator[Made], ready: Queue[tuple[bool, Made | BaseException | None]], left: Event
) -> None:
    try:
        for batch in batches:
            if not _put(ready, (True, batch), left):
                return
        _put(ready, (False, None), left)
    except BaseException as error:  # noqa: BLE001  # raised again in the thread that uses the batches
        _put(ready, (False, error), left)


def _put(
    ready: Queue[tuple[bool, Made | BaseException | None]],
    value: tuple[bool, Made | BaseException | None],
    left: Event,
) -> bool:
    while not left.is_set():
        try:
            ready.put(value, timeout=_LOOK)
        except Full:
            continue
        return True
    return False


def _empty(ready: Queue[tuple[bool, Made | BaseException | None]]) -> None:
    try:
        while True:
            ready.get_nowait()
    except Empty:
        return
