"""A sampler that takes a share of its first suggestions from what other data sets say of the space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from tuner.sampling.encoding import Drawn, draw_point
from tuner.sampling.forwarding import ForwardingSampler

if TYPE_CHECKING:
    from tuner.space import Space
    from tuner.space.prior import Prior

__all__ = ["PriorStart"]

#: Number of first suggestions, the share of them that the prior chooses, and its number of random points.
FIRST, SHARE, N_DRAWN = 20, 0.5, 20


class PriorStart(ForwardingSampler):
    """Lets another sampler choose, except for a share of the first suggestions.

    Those are the best of some random points by the space's prior. So each point of the space stays possible,
    and the sampler corrects a prior that is wrong here. Only studies that maximize one objective use it.

    Parameters
    ----------
    sampler
        The sampler that chooses all other points.
    space
        Space of the points.
    prior
        What other data sets say.
    seed
        Seed. Whether and what the prior chooses depends on it and on the trial's number.
    """

    def __init__(self, sampler: BaseSampler, space: Space, prior: Prior, seed: int) -> None:
        super().__init__(sampler)
        self._space = space
        self._prior = prior
        self._seed = seed
        self._chosen: dict[str, Any] | None = None
        self._over = False

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Choose a point by the prior, or ask the other sampler. See Optuna's `BaseSampler`."""
        drawn = self._choose(study, trial)
        self._chosen = drawn.point if drawn else None
        return drawn.distributions if drawn else super().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the point that was chosen; see Optuna's `BaseSampler`."""
        if self._chosen is not None:
            return self._chosen
        return super().sample_relative(study, trial, search_space)

    def _choose(self, study: Study, trial: FrozenTrial) -> Drawn | None:
        if self._over or study.directions != [StudyDirection.MAXIMIZE] or _is_given(trial):
            return None
        suggested = sum(
            bool(one.params) and not _is_given(one) and one.number != trial.number
            for one in study.get_trials(deepcopy=False)
        )
        self._over = suggested >= FIRST
        rng = np.random.default_rng([self._seed, trial.number, FIRST])
        if self._over or rng.random() >= SHARE:
            return None
        drawn = [draw_point(self._space, rng) for _ in range(N_DRAWN)]
        return max(drawn, key=lambda one: self._prior.score(one.point, one.distributions))


def _is_given(trial: FrozenTrial) -> bool:
    return "fixed_params" in trial.system_attrs
