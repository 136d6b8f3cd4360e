"""What other data sets say of a space's params: a score of points, made of an effect of each param.

Effects are in ranks: 0.1 means that configurations with this value rank 10 % of all configurations better, as
a mean over the data sets, all else equal. So metrics and sizes of data sets do not matter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from tuner.space.class_names import short_name

__all__ = ["Prior", "features"]


@dataclass(frozen=True)
class Prior:
    """Effects of params.

    Attributes
    ----------
    effects
        By param, without the options above it: the effect of each option of a choice, by its
        short name. A number has two effects: ``linear`` multiplies its place in the range minus 1/2, and
        ``curved`` multiplies the square of that minus 1/12.
    sources
        Names of the data sets that the effects are from.
    """

    effects: Mapping[str, Mapping[str, float]]
    sources: tuple[str, ...] = ()

    def score(self, point: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> float:
        """Return the sum of the effects of a point's values. An unknown param or option has none."""
        return sum(
            amount * self.effects.get(param, {}).get(name, 0.0)
            for param, name, amount in features(point, distributions)
        )

    def write(self, path: Path) -> None:
        """Write the prior to a file."""
        plain = {
            "sources": list(self.sources),
            "effects": {key: dict(of) for key, of in self.effects.items()},
        }
        path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Prior:
        """Return the prior that `write` wrote."""
        plain = json.loads(path.read_text(encoding="utf-8"))
        return cls(plain["effects"], tuple(plain["sources"]))


def features(
    point: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> Iterator[tuple[str, str, float]]:
    """Yield the param, the name of the effect and its amount, for each value of a point."""
    for dimension, value in point.items():
        param = dimension.partition("@")[0].partition("[")[0]
        place = _place(value, distributions[dimension])
        if place is None:
            yield param, short_name(value), 1.0
        else:
            yield param, "linear", place - 0.5
            yield param, "curved", (place - 0.5) ** 2 - 1 / 12


def _place(value: Any, distribution: BaseDistribution) -> float | None:  # noqa: ANN401  # a value of Optuna's
    """Return the place of a number in its range or among its options, from 0 to 1; None for other values."""
    if isinstance(distribution, CategoricalDistribution):
        options: list[Any] = list(distribution.choices)
        if any(isinstance(option, bool) or not isinstance(option, int | float) for option in options):
            return None
        return sorted(options).index(value) / (len(options) - 1) if len(options) > 1 else 0.5
    bounds: Any = distribution
    scale = math.log if bounds.log else float
    low, high = scale(bounds.low), scale(bounds.high)
    return (scale(value) - low) / (high - low) if high > low else 0.5
