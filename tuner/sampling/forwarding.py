"""A sampler that lets another one choose: the base of the samplers that change what another one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

__all__ = ["ForwardingSampler"]


class ForwardingSampler(BaseSampler):
    """Lets another sampler choose. All methods are those of Optuna's `BaseSampler`.

    Parameters
    ----------
    sampler
        The sampler that chooses.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self.sampler = sampler

    def _seen(self, study: Study) -> Study:
        """Return the study as the other sampler sees it while it chooses."""
        return study

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the dimensions that are sampled together."""
        return self.sampler.infer_relative_search_space(self._seen(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose the values of the dimensions that are sampled together."""
        return self.sampler.sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # Optuna's signature
        """Choose the value of one dimension."""
        return self.sampler.sample_independent(self._seen(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the other sampler that a trial begins."""
        self.sampler.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the other sampler that a trial has ended."""
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Change the seed of the other sampler."""
        self.sampler.reseed_rng()
