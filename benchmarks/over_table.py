"""A sampler that returns recorded configurations in place of another sampler's suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from benchmarks.make_priors import distributions_of
from benchmarks.recording import Table
from tuner.space import Choice, Domain, Space, Value

__all__ = ["OverTable"]


class OverTable(BaseSampler):
    """Replaces each suggestion of another sampler by the nearest point of a table that was not returned yet.

    The distance of two points is a sum over the dimensions. A dimension adds 1 if the options differ, or if
    only one of the points has the dimension. For a number it adds the difference as a share of the range, on
    a log scale if the dimension has one.

    Attributes
    ----------
    row
        The row that was returned last.
    """

    def __init__(self, sampler: BaseSampler, table: Table, space: Space) -> None:
        self.row = -1
        self._sampler = sampler
        self._points = table.points
        self._space = space
        self._distributions = _distributions(table, space)
        self._encoded = np.array([self._encode(point) for point in table.points])
        self._categorical = np.array(
            [isinstance(one, CategoricalDistribution) for one in self._distributions.values()]
        )
        self._given = np.zeros(len(table), dtype=bool)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002  # Optuna's signature
        """Return all dimensions, because a row gives all its dimensions at once."""
        return self._distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002  # Optuna's signature
    ) -> dict[str, Any]:
        """Return the nearest point that was not returned yet."""
        distances = self.distances(self._suggestion(study, trial))
        self.row = int(np.where(self._given, np.inf, distances).argmin())
        self._given[self.row] = True
        return dict(self._points[self.row])

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002  # Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:  # noqa: ANN401
        """Refuse: a row of the table has all its dimensions."""
        msg = f"the table must be of this space, but row {self.row} has no {param_name}"
        raise ValueError(msg)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the sampler learn."""
        self._sampler.after_trial(study, trial, state, values)

    def distances(self, point: Mapping[str, Value]) -> NDArray[np.float64]:
        """Return the distance of each row from a point, shape (n_rows,)."""
        wanted = np.array(self._encode(point))
        apart = np.abs(self._encoded - wanted)
        apart = np.where(self._categorical, np.where(np.isnan(apart), apart, apart > 0), apart)
        absent = np.isnan(self._encoded) & np.isnan(wanted)
        total: NDArray[np.float64] = np.where(absent, 0.0, np.nan_to_num(apart, nan=1.0)).sum(axis=1)
        return total

    def _suggestion(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        """Let the sampler choose a point of the space."""
        together = self._sampler.infer_relative_search_space(study, trial)
        relative = self._sampler.sample_relative(study, trial, together)
        point: dict[str, Value] = {}

        def choose(name: str, domain: Domain) -> Value:
            distribution = domain.distribution()
            assert distribution is not None, "a walk asks only if there is a choice"
            if name not in relative:
                relative[name] = self._sampler.sample_independent(study, trial, name, distribution)
            point[name] = relative[name]
            return domain.option(point[name]) if isinstance(domain, Choice) else point[name]

        self._space.walk(choose)
        return point

    def _encode(self, point: Mapping[str, Value]) -> list[float]:
        """Return a number for each dimension: index of the option, place in the range, or nan if absent."""
        return [
            _place(point[name], distribution) if name in point else np.nan
            for name, distribution in self._distributions.items()
        ]


def _distributions(table: Table, space: Space) -> dict[str, BaseDistribution]:
    """Return the dimensions that the rows of a table have."""
    found: dict[str, BaseDistribution] = {}
    for point in table.points:
        found |= distributions_of(point, space)
    return found


def _place(value: Value, distribution: BaseDistribution) -> float:
    internal: Any = distribution.to_internal_repr(value)
    if isinstance(distribution, CategoricalDistribution):
        return float(internal)
    bounds: Any = distribution
    scale = np.log if bounds.log else float
    low, high = scale(bounds.low), scale(bounds.high)
    return float((scale(internal) - low) / (high - low))
