"""Params of one model as a user gives them: nested or flat, with classes, short names and numpy's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tuner.errors import Problem
from tuner.space.class_names import resolve_name
from tuner.space.values import Value, plain_value

__all__ = ["flat_params"]


def flat_params(params: object, known: Iterable[object] = ()) -> tuple[dict[str, Value], list[Problem]]:
    """Return params by flat keys with plain values, and a problem for each value that has no such form.

    Parameters
    ----------
    params
        Params as RecTools takes them, flat or nested.
    known
        Class paths whose short names are accepted, besides those of RecTools.
    """
    if not isinstance(params, Mapping):
        rule = f"must be params by name, such as cls: SASRecModel, but got {params!r}"
        return {}, [Problem("params", rule)]
    flat: dict[str, Value] = {}
    problems: list[Problem] = []
    classes = tuple(known)
    for key, value in _pairs(params):
        try:
            flat[key] = plain_value(resolve_name(key, value, classes))
        except (TypeError, ValueError) as error:
            problems.append(Problem.of(key, error))
    return flat, problems


def _pairs(params: Mapping[Any, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the params with the keys of nested ones joined by dots, as RecTools joins them."""
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
