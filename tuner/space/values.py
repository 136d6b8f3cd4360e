"""The values of params and of conditions, in the form that flat params have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from tuner.space.class_names import class_path

__all__ = ["Value", "plain_scalar", "plain_value", "plain_when", "same"]

#: The value of one flat param. Lists are stored as tuples.
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"


def same(left: Value, right: Value) -> bool:
    """Whether two values are equal. Unlike with ``==``, ``True`` and ``1`` differ."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def plain_scalar(value: Any) -> Any:  # noqa: ANN401  # of any type
    """Return a number or flag of numpy as Python's own, and anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def plain_value(value: object) -> Value:
    """Return a value in the form that flat params have: a class becomes its import path, a list a tuple.

    Raises
    ------
    ValueError
        If a number is not finite.
    TypeError
        If flat params cannot have such a value.
    """
    value = plain_scalar(value)
    if isinstance(value, type):
        return class_path(value)
    if isinstance(value, (list, tuple)):
        return tuple(plain_value(part) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"a number must be finite, but got {value!r}"
        raise ValueError(msg)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    msg = f"a value must be a class, text, a number, true, false or null, but got {value!r}"
    raise TypeError(msg)


def plain_when(when: Mapping[str, object] | None) -> dict[str, tuple[Value, ...]]:
    """Return a condition as tuples of values by key: ``{"loss": ("BCE", "gBCE")}``.

    Parameters
    ----------
    when
        One accepted value or several, by key.

    Raises
    ------
    ValueError
        If a key has no accepted value.
    """
    values = {}
    for key, accepted in (when or {}).items():
        several = accepted if isinstance(accepted, (list, tuple, set)) else (accepted,)
        values[key] = tuple(plain_value(value) for value in several)
        if not values[key]:
            msg = f"`when` must give {key!r} at least one value, but got none"
            raise ValueError(msg)
    return values
