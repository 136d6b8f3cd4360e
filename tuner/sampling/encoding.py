"""Points of a space as numbers: random points, neighbours, and the distances between points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.space import Choice, Domain, Space, Value

__all__ = ["Drawn", "Encoding", "draw_point"]

Floats = NDArray[np.float64]

#: Chance that a neighbour of a point keeps a value, and the step of a number as a share of its range.
_KEEP, _STEP = 0.8, 0.15


@dataclass(frozen=True)
class Drawn:
    """A point with its distributions, both by name of the dimension."""

    point: dict[str, Any]
    distributions: dict[str, BaseDistribution]


def draw_point(space: Space, rng: np.random.Generator, near: Mapping[str, Value] | None = None) -> Drawn:
    """Draw a point at random, or one near another point.

    Parameters
    ----------
    space
        The space.
    rng
        Source of random numbers.
    near
        Values of another point. A dimension keeps its value with a chance of 0.8; a number moves a little
        otherwise, and anything else is drawn at random.
    """
    point: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}

    def choose(name: str, domain: Domain) -> Value:
        distribution = domain.distribution()
        assert distribution is not None, "a walk asks only if there is a choice"
        known = None if near is None else near.get(name)
        point[name] = _draw(distribution, rng) if known is None else _near(known, distribution, rng)
        distributions[name] = distribution
        return domain.option(point[name]) if isinstance(domain, Choice) else point[name]

    space.walk(choose)
    return Drawn(point, distributions)


def _draw(distribution: BaseDistribution, rng: np.random.Generator) -> Any:  # noqa: ANN401  # a value of Optuna's
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    return _at_place(distribution, float(rng.random()))


def _near(value: Any, distribution: BaseDistribution, rng: np.random.Generator) -> Any:  # noqa: ANN401  # as above
    if rng.random() < _KEEP:
        return value
    if isinstance(distribution, CategoricalDistribution):
        return _draw(distribution, rng)
    place = _place(value, distribution) + _STEP * float(rng.standard_normal())
    return _at_place(distribution, min(max(place, 0.0), 1.0))


def _place(value: float, distribution: BaseDistribution) -> float:
    assert isinstance(distribution, IntDistribution | FloatDistribution), distribution
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return (scale(value) - low) / (high - low) if high > low else 0.0


def _at_place(distribution: BaseDistribution, place: float) -> float:
    """Return the value at a place from 0 to 1 of a range. Each integer and each step has an equal share."""
    assert isinstance(distribution, IntDistribution | FloatDistribution), distribution
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None or distribution.log:
        half = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        if distribution.log:
            value = math.exp(math.log(low - half) + place * (math.log(high + half) - math.log(low - half)))
        else:
            value = low + place * (high - low)
        value = min(max(value, low), high)
        return round(value) if isinstance(distribution, IntDistribution) else value
    n_steps = math.floor((high - low) / step + 1e-9)
    value = low + min(int(place * (n_steps + 1)), n_steps) * step
    return round(value) if isinstance(distribution, IntDistribution) else min(value, high)


class Encoding:
    """The dimensions of some points as columns.

    Dimensions that differ only by the values that a relation leaves (``n_heads[1,2]``) are one column. A
    number, and an option of a choice among numbers, has a place from 0 to 1; any other option has a code.
    A dimension that a point does not have is nan.

    Parameters
    ----------
    points
        The points.
    """

    def __init__(self, points: Iterable[Drawn]) -> None:
        seen: dict[str, dict[BaseDistribution, None]] = {}
        for one in points:
            for name, distribution in one.distributions.items():
                seen.setdefault(_column(name), {}).setdefault(distribution)
        self._columns = {name: _Column(list(found)) for name, found in seen.items()}
        self.is_code = np.array([column.is_code for column in self._columns.values()], dtype=bool)

    def encode(self, points: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the points as rows, shape (n_points, n_columns)."""
        at = {name: index for index, name in enumerate(self._columns)}
        columns = list(self._columns.values())
        rows = np.full((len(points), len(columns)), np.nan)
        for row, point in zip(rows, points, strict=True):
            for name, value in point.items():
                index = at.get(_column(name))
                if index is not None:
                    row[index] = columns[index].number(value)
        return rows

    def distances(self, left: Floats, right: Floats) -> Floats:
        """Return the distances between rows, shape (n_left, n_right).

        A column adds 1 if the options differ or only one point has it, and otherwise the difference as a
        share of the range.
        """
        total = np.zeros((len(left), len(right)))
        for index, is_code in enumerate(self.is_code):
            mine, theirs = left[:, index, None], right[None, :, index]
            apart = np.abs(mine - theirs)
            if is_code:
                apart = np.where(np.isnan(apart), apart, apart > 0)
            absent = np.isnan(mine) & np.isnan(theirs)
            total += np.where(absent, 0.0, np.where(np.isnan(apart), 1.0, apart))
        return total


class _Column:
    """One column: how a value of it becomes a number."""

    def __init__(self, distributions: Sequence[BaseDistribution]) -> None:
        choices = [d for d in distributions if isinstance(d, CategoricalDistribution)]
        options = list(dict.fromkeys(option for d in choices for option in d.choices))
        numbers = [o for o in options if isinstance(o, int | float) and not isinstance(o, bool)]
        self.is_code = bool(options) and len(numbers) < len(options)
        self._codes: dict[Any, float] = {option: float(code) for code, option in enumerate(options)}
        if not self.is_code:
            last = max(len(options) - 1, 1)
            self._codes = {option: place / last for place, option in enumerate(sorted(numbers))}
        ranges = [d for d in distributions if isinstance(d, IntDistribution | FloatDistribution)]
        self._log = any(d.log for d in ranges)
        self._low = min((float(d.low) for d in ranges), default=0.0)
        self._high = max((float(d.high) for d in ranges), default=1.0)

    def number(self, value: Any) -> float:  # noqa: ANN401  # a value of Optuna's
        """Return the code or the place of a value."""
        if value in self._codes:
            return self._codes[value]
        if self.is_code or not isinstance(value, int | float):
            return -1.0
        scale = math.log if self._log else float
        low, high = scale(self._low), scale(self._high)
        return (scale(value) - low) / (high - low) if high > low else 0.0


def _column(name: str) -> str:
    return name.split("[", 1)[0]
