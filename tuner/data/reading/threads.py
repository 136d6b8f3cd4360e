"""Runs work on whole columns in two threads: numpy and pyarrow let go of Python's lock meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, overload

__all__ = ["at_once"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@overload
def at_once(first: Callable[[], A], second: Callable[[], B], /) -> tuple[A, B]: ...


@overload
def at_once(
    first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], fourth: Callable[[], D], /
) -> tuple[A, B, C, D]: ...


def at_once(*calls: Callable[[], Any]) -> tuple[Any, ...]:
    """Call functions in two threads, each the next one that is left, and return their results in order."""
    waiting = iter(list(enumerate(calls)))
    results: dict[int, Any] = {}

    def work() -> None:
        for number, call in waiting:  # a list's iterator gives each element to one thread
            results[number] = call()

    with ThreadPoolExecutor(max_workers=1) as pool:
        other = pool.submit(work)
        work()
        other.result()
    return tuple(results[number] for number in range(len(calls)))
