"""What a param may hold, and the conditions on it, as flat params write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from tuner.space.class_names import class_path

__all__ = ["Value", "plain_value", "plain_when", "same"]

#: What one flat param may hold. Lists are kept as tuples.
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"


def same(left: Value, right: Value) -> bool:
    """Compare two values; unlike ``==``, ``True`` is not ``1``."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def plain_value(value: object) -> Value:
    """Return the value as flat params hold it: a class becomes its import path."""
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
    """Normalise a condition: ``{"loss": ("BCE", "gBCE")}``; a single value stands for itself."""
    values = {}
    for key, accepted in (when or {}).items():
        several = accepted if isinstance(accepted, (list, tuple, set)) else (accepted,)
        values[key] = tuple(plain_value(value) for value in several)
        if not values[key]:
            msg = f"`when` must give {key!r} at least one value, but got none"
            raise ValueError(msg)
    return values
