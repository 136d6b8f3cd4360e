"""Converts values to places in a drawing, and chooses the ticks of an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Scale", "span", "tick_labels", "time_unit"]


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale.

    Attributes
    ----------
    low, high
        Values at the ends of the scale; low < high, and 0 < low if the scale is logarithmic.
    start, end
        Places of `low` and `high`, in pixels.
    log
        Whether the scale is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value in pixels. A value outside the scale is placed at the nearer end."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return about `about` round values inside the scale."""
        if self.log and self.high / self.low >= 10:  # noqa: PLR2004  # at least a decade
            return _log_ticks(self.low, self.high, about)
        step = _round_step((self.high - self.low) / max(about, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def span(values: Sequence[float], *, room: float = 0.05, log: bool = False) -> tuple[float, float]:
    """Return (low, high) of a scale that contains all values and a margin. Always low < high."""
    if not values:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = min(values), max(values)
    if log:
        ratio = (high / low) ** room if high > low else 2.0
        return low / ratio, high * ratio
    pad = (high - low) * room if high > low else abs(high) * 0.1 or 0.5
    floor = 0.0 if low >= 0 and low < pad else low - pad
    return floor, high + pad


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the ticks as text, all with as many decimals as are needed to make them different."""
    if not ticks:
        return []
    largest = max(abs(tick) for tick in ticks)
    if largest >= 1e6 or 0 < largest < 1e-3:  # noqa: PLR2004  # long numbers are hard to read
        written = ([_exponential(tick, digits) for tick in ticks] for digits in range(1, 16))
        return next((texts for texts in written if len(set(texts)) == len(ticks)), [repr(t) for t in ticks])
    step = min((abs(b - a) for a, b in pairwise(ticks)), default=largest) or 1.0
    if len(ticks) > 1 and largest / max(min(abs(t) for t in ticks if t) if any(ticks) else 1, 1e-12) >= 100:  # noqa: PLR2004  # two decades
        return [f"{tick:g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def time_unit(seconds: float) -> tuple[int, str]:
    """Return the unit for an axis of a length in seconds: its seconds and its name."""
    units = ((86400, "days"), (3600, "hours"), (60, "minutes"))
    return next(((size, name) for size, name in units if seconds >= 2 * size), (1, "seconds"))


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) <= about + 1:
            return inside
    return inside[:: math.ceil(len(inside) / about)]


def _exponential(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa.rstrip('0').removesuffix('.')}e{int(exponent)}"
