"""Batches made by a thread while a GPU works: in the same order, with the same random numbers.

The thread draws from the processor's generators. Nothing else draws from them while a GPU trains: dropout has
the GPU's own, and an epoch is evaluated when all its batches are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

__all__ = ["made_ahead"]

Made = TypeVar("Made")

#: Batches that wait.
_READY = 2
#: Seconds after which a thread looks whether it is still asked.
_LOOK = 0.1


def made_ahead(batches: Iterator[Made]) -> Iterator[Made]:
    """Yield what an iterator yields, the next ones being made meanwhile; its error too, where it comes."""
    ready: Queue[tuple[bool, Made | BaseException | None]] = Queue(_READY)
    left = Event()
    thread = Thread(target=_make, args=(batches, ready, left), name="batches", daemon=True)
    thread.start()
    try:
        while True:
            is_batch, value = ready.get()
            if is_batch:
                yield value  # type: ignore[misc]  # then it is one
            elif value is None:
                return
            else:
                raise value  # type: ignore[misc]  # then it is an error
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
    except BaseException as error:  # noqa: BLE001  # raised where the batches are used
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
