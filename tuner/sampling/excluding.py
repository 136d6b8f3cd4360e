"""A sampler that does not learn from the trials that a person has excluded."""

from __future__ import annotations

import copy
from collections.abc import Collection, Container

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tuner.sampling.forwarding import ForwardingSampler
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


class ExcludingSampler(ForwardingSampler):
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
        super().__init__(sampler)
        self._view = _View(study, excluded)

    def _seen(self, study: Study) -> Study:  # noqa: ARG002  # there is one study
        return self._view
