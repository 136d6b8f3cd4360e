"""Begins trials of a study: queued ones, new points of the sampler, and further attempts of trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from traceback import walk_tb

import optuna
from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import OptunaError
from optuna.trial import Trial, TrialState

from tuner.errors import Problem, SearchError, StoreError
from tuner.space import Space, Value
from tuner.store.asked import Asked
from tuner.store.by_number import TrialsByNumber
from tuner.store.hints import goes_on, lists_infeasible, start_anew
from tuner.store.known_points import KnownPoints
from tuner.trials.outcomes import Failure, Pause
from tuner.trials.schema import (
    ATTEMPTS,
    DRIVER,
    FAILURE,
    INFEASIBLE,
    NAME,
    PARAMS,
    PAUSE_KEY,
    SEEDS,
    params_of,
)
from tuner.trials.seeds import fold_seed

__all__ = ["Finish", "Refuse", "TrialSource", "accept"]

#: From complete params to the reason why they are infeasible, None if they are feasible.
Refuse = Callable[[Mapping[str, Value]], "str | None"]
#: From suggested params to complete params.
Finish = Callable[[Mapping[str, Value]], dict[str, Value]]

#: Largest number of refused points in a row. After so many, nearly the whole space must be infeasible.
MOST_REFUSED = 200
#: What the code of a sampler raises. Errors of a storage, which a sampler reads, are others.
_OF_CODE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


def accept(params_of: Mapping[str, Value]) -> None:  # a `Refuse`
    """Accept every point."""


class TrialSource:
    """Gives the trials that are to run, each with its params and seeds.

    Parameters
    ----------
    study
        The Optuna study.
    seed
        Seed of the study, from which the seeds of trials are derived.
    driver
        Id of this driver if it shares the study with others, else empty.
    trials
        Where the trials that begin are noted.

    Attributes
    ----------
    known
        The points that were tried.
    """

    def __init__(self, study: optuna.Study, seed: int, *, driver: str, trials: TrialsByNumber) -> None:
        self.study = study
        self.known = KnownPoints(study, seed)
        self._seed = seed
        self._driver = driver
        self._trials = trials

    def ask(self, space: Space, n_folds: int, finish: Finish, refuse: Refuse = accept) -> Asked | None:
        """Begin the next trial: the next queued one, or a point that no trial had.

        If the sampler suggests a point that was tried before, the known result is reported to it as a
        duplicate, and the sampler suggests another point. After many duplicates in a row, another sampler
        that finds new points is used.

        Parameters
        ----------
        space
            Space of the points.
        n_folds
            Number of folds, and so of seeds.
        finish
            Function from suggested params to complete params.
        refuse
            See `Refuse`. An infeasible point is reported as such, and the sampler suggests another point.

        Returns
        -------
        Asked or None
            None if every point of the space has been tried.

        Raises
        ------
        SearchError
            If `MOST_REFUSED` points in a row are infeasible, or the sampler fails.
        """
        reason, n_refused, n_repeated = None, 0, 0
        while n_refused < MOST_REFUSED:
            with self.known.sampler(space, n_repeated):
                with self._sampling():
                    trial = self.study.ask()
                params = None if PARAMS in trial.user_attrs else finish(self._suggest(space, trial))
            if params is not None:  # not queued: the sampler suggested the point
                known = self.known.number_of(trial, params)
                if known is not None:
                    self.known.repeat(trial, params, known)
                    n_repeated += 1
                    if self.known.all_tried(space, n_repeated):
                        return None
                    continue
                if (reason := refuse(params)) is not None:
                    self._refuse(trial, params, reason)
                    n_refused += 1
                    continue
                self.known.add(trial, params)
            return replace(self._begin(trial, space, n_folds, finish), queued=params is None)
        msg = f"the last {MOST_REFUSED} points that the sampler chose are infeasible; the last one: {reason}"
        raise SearchError(msg, hint=lists_infeasible())

    def ask_again(self, number: int, space: Space, n_folds: int, finish: Finish) -> Asked:
        """Begin the next attempt of an interrupted or paused trial, with the same params and seeds."""
        trial_id = self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)  # noqa: SLF001  # Optuna has no public way to resume a running trial
        asked = self._begin(Trial(self.study, trial_id), space, n_folds, finish)
        paused = self._trials.frozen(number).user_attrs.get(PAUSE_KEY)
        if not paused:
            return asked
        self._trials.write(number, {PAUSE_KEY: None})
        return replace(asked, pause=Pause(**paused))

    def _refuse(self, trial: Trial, params: Mapping[str, Value], reason: str) -> None:
        trial.set_user_attr(PARAMS, dict(params))
        trial.set_user_attr(FAILURE, asdict(Failure(reason, INFEASIBLE)))
        self.study.tell(trial, state=TrialState.FAIL)
        self.known.add(trial, params)

    def _begin(self, trial: Trial, space: Space, n_folds: int, finish: Finish) -> Asked:
        attributes = trial.user_attrs
        if attributes.get(DRIVER, "") != self._driver:
            trial.set_user_attr(DRIVER, self._driver)
        self._trials.note([trial])
        params = params_of(attributes)
        if not params:
            params = finish(self._suggest(space, trial))
            trial.set_user_attr(PARAMS, params)
        elif SEEDS not in attributes:
            if self._trials.frozen(trial.number).system_attrs.get("fixed_params"):
                self._suggest(space, trial)  # lets the sampler learn from a baseline in the space
            params = finish(params)
            trial.set_user_attr(PARAMS, params)
        if trial.params:
            self.known.add(trial, params)
        seeds = attributes.get(SEEDS)
        if seeds is None:
            seeds = [fold_seed(self._seed, params, fold) for fold in range(n_folds)]
            trial.set_user_attr(SEEDS, seeds)
        attempt = attributes.get(ATTEMPTS, 0) + 1
        trial.set_user_attr(ATTEMPTS, attempt)
        return Asked(trial.number, params, attributes.get(NAME), tuple(seeds), attempt=attempt)

    def _suggest(self, space: Space, trial: Trial) -> dict[str, Value]:
        with self._sampling():
            return space.suggest(trial)

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """Report what Optuna and the sampler raise while they choose a point."""
        try:
            yield
        except OptunaError:  # some are also a RuntimeError
            raise
        except _OF_CODE as error:
            if _is_of_changed_space(error):
                rule = f"must stay as it was when the study began, but {error}"
                raise StoreError(self.study.study_name, [Problem("space", rule, start_anew())]) from error
            msg = f"search.sampler: must choose a point, but got the error: {type(error).__name__}: {error}"
            hint = f"change its options, or take another sampler; {goes_on()}"
            raise SearchError(msg, hint=hint) from error


def _is_of_changed_space(error: Exception) -> bool:
    """Whether Optuna has raised an error because a dimension is not as it was in earlier trials."""
    check = check_distribution_compatibility.__code__
    return any(frame.f_code is check for frame, _ in walk_tb(error.__traceback__))
