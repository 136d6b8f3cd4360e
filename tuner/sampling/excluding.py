"""A sampler that does not learn from the trials that a person has excluded."""

from __future__ import annotations

import copy
from collections.abc import Collection, Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tuner.trials.schema import REPEATS

__all__ = ["ExcludingSampler"]


class _View(Study):
    """A study in which excluded trials, and duplicates of them, appear as failed. Samplers ignore those."""

    def __init__(self, study: Study, excluded: Collection[int]) -> None:
        self.__dict__.update(study.__dict__)
        self._excluded = frozenset(excluded)
        self._failed: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}  # by number: a trial, its look

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002  # Optuna's signature; samplers never change a trial
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = map(self._seen, super()._get_trials(deepcopy=False, use_cache=use_cache))
        return [trial for trial in trials if states is None or trial.state in states]

    def _seen(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial as it appears. The same trial appears as the same object each time."""
        if self._excluded.isdisjoint((trial.number, trial.user_attrs.get(REPEATS))):
            return trial
        known = self._failed.get(trial.number)
        if known is None or known[0] is not trial:
            failed = copy.copy(trial)
            failed.state, failed.values = TrialState.FAIL, None
            known = self._failed[trial.number] = (trial, failed)
        return known[1]


class ExcludingSampler(BaseSampler):
    """Lets another sampler choose, and hides excluded trials from it.

    Parameters
    ----------
    sampler
        The sampler that chooses.
    study
        The study.
    excluded
        Numbers of the excluded trials.
    """

    def __init__(self, sampler: BaseSampler, study: Study, excluded: Collection[int]) -> None:
        self.sampler = sampler
        self._view = _View(study, excluded)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002  # the sampler sees the view
        """Return the dimensions that are sampled together; see Optuna's `BaseSampler`."""
        return self.sampler.infer_relative_search_space(self._view, trial)

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002  # the sampler sees the view
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Choose the values of the dimensions that are sampled together; see Optuna's `BaseSampler`."""
        return self.sampler.sample_relative(self._view, trial, search_space)

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002  # the sampler sees the view
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # Optuna's signature
        """Choose the value of one dimension; see Optuna's `BaseSampler`."""
        return self.sampler.sample_independent(self._view, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the sampler that a trial begins."""
        self.sampler.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler that a trial has ended."""
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Change the seed of the sampler."""
        self.sampler.reseed_rng()
