"""Optuna's terminator, asked about the trials of a study: whether going on can gain more than noise.

A search has come to its end where the room for improvement that a model of the objective leaves is smaller
than the error of cross-validation (Makarova et al. 2022, https://proceedings.mlr.press/v188/makarova22a.html).
Optuna has both halves as evaluators, which are used here; it announces the module's end for its version 6.

Only complete trials that the sampler chose are looked at, by the params that all of them have.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.terminator import CrossValidationErrorEvaluator, RegretBoundEvaluator
from optuna.terminator.erroreval import _CROSS_VALIDATION_SCORES_KEY
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.trials.schema import is_trial

__all__ = ["is_settled"]


def is_settled(trials: Iterable[FrozenTrial], objective: str, direction: StudyDirection, seed: int) -> bool:
    """Whether no further trial can be expected to gain more than the noise of the folds.

    Parameters
    ----------
    trials
        All trials of a study.
    objective
        Label of the metric that decides, in the summaries of trials.
    direction
        Of the objective.
    seed
        Of the points at which the model of the objective is looked at.
    """
    told = [_told(trial, objective) for trial in trials if _counts(trial)]
    if not told or not set.intersection(*(set(trial.params) for trial in told)):
        return False  # no param is common to all, as where models differ in everything
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # which the module has been for years
        room = RegretBoundEvaluator(seed=seed).evaluate(told, direction)
        noise = CrossValidationErrorEvaluator().evaluate(told, direction)
    return room < noise


def _counts(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE and is_trial(trial) and "name" not in trial.user_attrs


def _told(trial: FrozenTrial, objective: str) -> FrozenTrial:
    folds = trial.user_attrs["summary"]["folds"]
    return create_trial(
        value=trial.value,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs={_CROSS_VALIDATION_SCORES_KEY: [fold[objective] for fold in folds]},
    )
