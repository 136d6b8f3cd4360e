"""The points of a study that were tried: a point that the sampler suggests again is not run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.sampling.samplers import exhaustive_sampler
from tuner.space import Space, Value
from tuner.trials.schema import PARAMS, REPEATS, exclusions, is_trial
from tuner.trials.seeds import fold_seed

__all__ = ["KnownPoints"]

#: Number of known points in a row after which another sampler is used, and number of further known points in
#: a row after which an infinite space counts as tried.
MOST_REPEATED, MOST_DRAWN = 10, 100


class KnownPoints:
    """The points that were tried, each with the number of its trial.

    Parameters
    ----------
    study
        The Optuna study.
    seed
        Seed of the study.
    """

    def __init__(self, study: optuna.Study, seed: int) -> None:
        self._study = study
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self._seen: set[int] = set()

    def learn(self, trials: Iterable[FrozenTrial]) -> None:
        """Add the points of the trials that are new here.

        The only point of a space with one point is empty, as are those of baselines outside the space, which
        Optuna marks as enqueued. Such points are known by their params.
        """
        for trial in trials:
            sampled = bool(trial.params) or "fixed_params" not in trial.system_attrs
            if trial.number not in self._seen and sampled:
                self._seen.add(trial.number)
                if is_trial(trial):
                    self.add(trial, trial.user_attrs.get(PARAMS, {}))

    def add(self, trial: Trial | FrozenTrial, params: Mapping[str, object]) -> None:
        """Add the point of a trial with these params."""
        self._numbers[_key(trial, params)] = trial.number

    def number_of(self, trial: Trial, params: Mapping[str, object]) -> int | None:
        """Return the number of the earlier trial with the same point, None if the point is new."""
        return self._numbers.get(_key(trial, params))

    @staticmethod
    def all_tried(space: Space, n_repeated: int) -> bool:
        """Return whether a space counts as tried after so many known points in a row."""
        if space.has_one_point:
            return n_repeated > 0
        return n_repeated > MOST_REPEATED + (0 if space.is_finite else MOST_DRAWN)

    @contextmanager
    def sampler(self, space: Space, n_repeated: int) -> Iterator[None]:
        """Replace the study's sampler in this context after `MOST_REPEATED` known points in a row."""
        own = self._study.sampler
        if n_repeated >= MOST_REPEATED:
            seed = fold_seed(self._seed, {}, len(self._numbers) + n_repeated)
            self._study.sampler = exhaustive_sampler(seed) if space.is_finite else RandomSampler(seed=seed)
        try:
            yield
        finally:
            self._study.sampler = own

    def repeat(self, trial: Trial, params: Mapping[str, Value], known: int) -> None:
        """Report a duplicate with the known result, so that the sampler learns that it was tried."""
        trial.set_user_attr(PARAMS, dict(params))
        trial.set_user_attr(REPEATS, known)
        before = self._study.get_trials(deepcopy=False)[known]
        excluded = known in exclusions(self._study.user_attrs)
        if before.state == TrialState.COMPLETE and not excluded:
            for key, value in before.constraints.items():
                trial.set_constraint(key, value)
            self._study.tell(trial, before.values)
        else:
            self._study.tell(trial, state=TrialState.FAIL)


def _key(trial: Trial | FrozenTrial, params: Mapping[str, object]) -> str:
    """Return the point of a trial as text, to look it up; its params if the point is empty."""
    return json.dumps(trial.params or params, sort_keys=True)
