"""Optuna's terminator: it decides whether further trials can gain more than the noise of the folds.

A model of the objective estimates how much better the objective can still become. The search ends when this
is less than the error of cross-validation (Makarova et al. 2022,
https://proceedings.mlr.press/v188/makarova22a.html). Optuna has an evaluator for each of the two numbers, and
this module uses them. Optuna will remove its module `optuna.terminator` in version 6.

The model is fitted to complete trials that the sampler chose, on the params that all of them have.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.terminator import CrossValidationErrorEvaluator, RegretBoundEvaluator
from optuna.terminator.erroreval import _CROSS_VALIDATION_SCORES_KEY
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.trials.schema import NAME, SUMMARY, is_trial

__all__ = ["is_settled"]


def is_settled(trials: Iterable[FrozenTrial], objective: str, direction: StudyDirection, seed: int) -> bool:
    """Whether further trials are not expected to gain more than the noise of the folds.

    Parameters
    ----------
    trials
        All trials of a study.
    objective
        Label of the objective in the summaries of trials.
    direction
        Direction of the objective.
    seed
        Seed of the random points at which the model of the objective is evaluated.
    """
    scored = [_with_fold_scores(trial, objective) for trial in trials if _counts(trial)]
    if not scored or not set.intersection(*(set(trial.params) for trial in scored)):
        return False  # the trials have no param in common, for example because their models differ
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the module has been experimental for years
        room = RegretBoundEvaluator(seed=seed).evaluate(scored, direction)
        noise = CrossValidationErrorEvaluator().evaluate(scored, direction)
    return room < noise


def _counts(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE and is_trial(trial) and NAME not in trial.user_attrs


def _with_fold_scores(trial: FrozenTrial, objective: str) -> FrozenTrial:
    folds = trial.user_attrs[SUMMARY]["folds"]
    return create_trial(
        value=trial.value,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs={_CROSS_VALIDATION_SCORES_KEY: [fold[objective] for fold in folds]},
    )
