"""The domains of numbers: `Int` and `Float`. Bounds are inclusive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from tuner.space.relations import Relation
from tuner.space.values import Value, plain_scalar, plain_when

__all__ = ["Float", "Int"]

_MOST_STEPS = 1e9  # of a float; Optuna counts them with decimal numbers, which have 28 digits
_STEP_TOLERANCE = 1e-8  # Optuna uses it to check whether a float is on the grid


_LOWER_FIRST = "put the lower bound first"


def _or_float(bound: object) -> str:
    """Return the end of a message for a bound of integers: how a real number is written, if it is one."""
    if not isinstance(bound, float):
        return ""
    return (
        f"; write {int(bound)}" if bound.is_integer() else "; for real numbers take float, or Float in Python"
    )


def _make_plain(domain: Int | Float, *names: str) -> None:
    """Turn fields that are scalars of numpy into Python's own numbers and flags."""
    for name in names:
        object.__setattr__(domain, name, plain_scalar(getattr(domain, name)))


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        msg = f"{name} must be true or false, but got {value!r}"
        raise TypeError(msg)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{name} must be a number, but got {value!r}"
        raise TypeError(msg)
    if not math.isfinite(value):
        msg = f"{name} must be finite, but got {value!r}"
        raise ValueError(msg)


def _check_reach(low: float, high: float, step: float) -> None:
    if low < high < low + step:
        msg = (
            f"step <= high - low must hold, but got low={low}, high={high}, step={step}; take a smaller step"
        )
        raise ValueError(msg)
    if isinstance(step, float) and (high - low) / step > _MOST_STEPS:
        msg = f"there must be at most {_MOST_STEPS:g} steps, but got low={low}, high={high}, step={step}"
        raise ValueError(msg)


@dataclass(frozen=True)
class Int:
    """An integer between two inclusive bounds.

    Parameters
    ----------
    low, high
        Inclusive bounds. `high` may be the name of an earlier integer param, such as ``"n_blocks"``.
    step
        Distance between two neighbouring values, counted from `low`.
    log
        Whether to search on a logarithmic scale. Then `low` must be at least 1.
    when
        See `Fixed`.
    relations
        Relations between the value and earlier integer params, such as ``[AtMost("n_blocks")]``.

    Raises
    ------
    ValueError
        If `high` is below `low`, `step` does not fit between them, or `log` is not possible.
    TypeError
        If an argument is not of its type.
    """

    low: int
    high: int | str
    step: int = 1
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", plain_when(self.when))
        object.__setattr__(self, "relations", tuple(self.relations))
        _make_plain(self, "low", "high", "step", "log")
        if self.relations and isinstance(self.high, str):
            msg = f"high must be an integer if there is a relation, but got {self.high!r}"
            raise TypeError(msg)
        if isinstance(self.low, bool) or not isinstance(self.low, int):
            msg = f"low must be an integer, but got {self.low!r}{_or_float(self.low)}"
            raise TypeError(msg)
        if isinstance(self.high, bool) or not isinstance(self.high, (int, str)):
            msg = (
                f"high must be an integer or the name of a param, but got {self.high!r}{_or_float(self.high)}"
            )
            raise TypeError(msg)
        if isinstance(self.high, int) and self.high < self.low:
            msg = f"low <= high must hold, but got low={self.low}, high={self.high}; {_LOWER_FIRST}"
            raise ValueError(msg)
        _check_flag("log", self.log)
        if isinstance(self.step, bool) or not isinstance(self.step, int):
            msg = f"step must be an integer, but got {self.step!r}"
            raise TypeError(msg)
        if self.step < 1:
            msg = f"step >= 1 must hold, but got step={self.step}"
            raise ValueError(msg)
        if isinstance(self.high, int):
            _check_reach(self.low, self.high, self.step)
        if self.log and (self.low < 1 or self.step != 1):
            hint = "let low be at least 1" if self.low < 1 else "leave log or step out"
            msg = f"log needs low >= 1 and step 1, but got low={self.low}, step={self.step}; {hint}"
            raise ValueError(msg)

    def values(self) -> tuple[int, ...]:
        """Return all values."""
        return tuple(range(self.low, self._high() + 1, self.step))

    @property
    def n_values(self) -> int:
        """Number of values. They may be too many to list."""
        return (self._high() - self.low) // self.step + 1

    @property
    def reference(self) -> str | None:
        """The key of the param that is the upper bound; None if the bound is a number."""
        return self.high if isinstance(self.high, str) else None

    def bounded(self, high: int) -> Int:
        """Return the domain with an upper bound that is a number: the value of `reference` in a trial."""
        return replace(self, high=high if high - self.low >= self.step else self.low)

    def distribution(self) -> BaseDistribution | None:
        """Return the Optuna distribution, or None if there is only one value."""
        high = self._high()
        if high - self.low < self.step:
            return None
        reached = high - (high - self.low) % self.step  # Optuna does the same, but with a warning each time
        return IntDistribution(self.low, reached, log=self.log, step=self.step)

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self._high() and (value - self.low) % self.step == 0

    def describe(self) -> str:
        """Return the domain as text for messages, to follow "must"."""
        step = f" in steps of {self.step}" if self.step > 1 else ""
        return f"be an integer from {self.low} to {self.high}{step}"

    def only(self) -> Value:
        """Return the lowest value, for a domain with only one."""
        return self.low

    def _high(self) -> int:
        if isinstance(self.high, str):
            msg = f"the bound {self.high!r} has no value yet"
            raise TypeError(msg)
        return self.high


@dataclass(frozen=True)
class Float:
    """A real number between two inclusive bounds.

    Parameters
    ----------
    low, high
        Inclusive bounds.
    log
        Whether to search on a logarithmic scale. Then `low` must be above 0.
    step
        Distance between two neighbouring values, counted from `low`. With None, any value is possible.
    when
        See `Fixed`.

    Raises
    ------
    ValueError
        If `high` is below `low`, `step` does not fit between them, or `log` is not possible.
    TypeError
        If an argument is not of its type.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", plain_when(self.when))
        _make_plain(self, "low", "high", "step", "log")
        _check_flag("log", self.log)
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            _check_number(name, getattr(self, name))
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.high < self.low:
            msg = f"low <= high must hold, but got low={self.low}, high={self.high}; {_LOWER_FIRST}"
            raise ValueError(msg)
        if not math.isfinite(self.high - self.low):
            msg = f"high - low must be finite, but got low={self.low}, high={self.high}"
            raise ValueError(msg)
        if self.log and (self.low <= 0 or self.step is not None):
            hint = "let low be above 0" if self.low <= 0 else "leave log or step out"
            msg = f"log needs low > 0 and no step, but got low={self.low}, step={self.step}; {hint}"
            raise ValueError(msg)
        if self.step is not None and self.step <= 0:
            msg = f"step > 0 must hold, but got step={self.step}"
            raise ValueError(msg)
        if self.step is not None:
            _check_reach(self.low, self.high, self.step)

    def distribution(self) -> BaseDistribution | None:
        """Return the Optuna distribution, or None if there is only one value."""
        if self.low == self.high:
            return None
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < _STEP_TOLERANCE

    def describe(self) -> str:
        """Return the domain as text for messages, to follow "must"."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"be a number from {self.low:g} to {self.high:g}{step}"

    def only(self) -> Value:
        """Return the lowest value, for a domain with only one."""
        return self.low
