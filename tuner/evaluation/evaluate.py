"""Evaluates a trial: one fold, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import seed_everything
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.data.folds import Fold
from tuner.evaluation.epoch_callback import EpochEvaluations
from tuner.evaluation.fitted import boundary, recommend
from tuner.evaluation.measure import Measure, Report
from tuner.evaluation.plan import Plan
from tuner.models.build import build_model
from tuner.space import Value
from tuner.training.checkpoints import Checkpoint
from tuner.training.fast_paths import FastPaths, accelerate
from tuner.training.precision import products_in, set_precision
from tuner.trials.records import Users

__all__ = ["evaluate_fold", "evaluate_folds", "with_reference"]

ReportUsers = Callable[[Users], None]
KeepModel = Callable[[int, ModelBase[Any]], None]
ReportAllUsers = Callable[[Mapping[str, NDArray[np.float32]]], None]


def evaluate_folds(
    params: Mapping[str, Value],
    folds: Sequence[Fold],
    plan: Plan,
    seeds: Sequence[int],
    report: Report,
    *,
    report_users: ReportUsers | None = None,
    checkpoint: Checkpoint | None = None,
    keep_model: KeepModel | None = None,
) -> None:
    """Evaluate a trial on all folds, oldest first; see `evaluate_fold`.

    A trial that goes on from a checkpoint reports first what it had reported before.
    """
    begun = checkpoint.fold if checkpoint is not None else 0
    if checkpoint is not None:
        _report_again(checkpoint, report, report_users)
    for fold, seed in list(zip(folds, seeds, strict=True))[begun:]:
        evaluate_fold(
            params,
            fold,
            plan,
            seed,
            report,
            report_users=report_users,
            checkpoint=checkpoint,
            keep_model=keep_model,
        )


def evaluate_fold(
    params: Mapping[str, Value],
    fold: Fold,
    plan: Plan,
    seed: int,
    report: Report,
    *,
    report_users: ReportUsers | None = None,
    report_all_users: ReportAllUsers | None = None,
    checkpoint: Checkpoint | None = None,
    keep_model: KeepModel | None = None,
) -> None:
    """Fit one model on one fold and report its metrics at each evaluation point.

    Parameters
    ----------
    params
        Flat params of the model, with its epochs.
    fold, plan
        What to fit on, and what to measure.
    seed
        Set for Python, NumPy and torch just before the fit.
    report
        Called with each evaluation as it is made, within the fit for all epochs but the last.
    report_users
        Called at the fold's end with the objective's per-user values, if it is a mean over users.
    report_all_users
        Called at the fold's end with the values of each metric that is a mean over users, by label.
    checkpoint
        Of the trial: where to go on from, and where to keep the state of the fit.
    keep_model
        Called with the fold's index and its fitted model, which is RecTools' plain one.

    Raises
    ------
    TrialError
        If RecTools or a user's class fails, or a loss or metric is not finite; the cause is chained.
    """
    model = build_model(params)
    precision = set_precision(model, plan.precision)
    paths = accelerate(model, unpadded=plan.unpadded) if plan.fast else FastPaths()
    measure = Measure(model, fold, plan, report, paths=paths, precision=precision, checkpoint=checkpoint)
    if isinstance(model, TransformerModelBase):
        # Added to the trainer that RecTools made, so that a trial's params stay those of a plain model.
        callbacks = model._trainer.callbacks  # type: ignore[attr-defined]  # noqa: SLF001  # Lightning sets it; there is no public way in
        callbacks.append(EpochEvaluations(model, measure, checkpoint))
        if checkpoint is not None:
            model._trainer.ckpt_path = checkpoint.lightning  # noqa: SLF001  # as above
    seed_everything(seed, workers=True, verbose=False)
    with boundary(f"fold {fold.index + 1}"), products_in(precision):
        measure.start()
        model.fit(fold.train)
        measure.finish()
    paths.leave(model)
    if keep_model is not None:
        keep_model(fold.index, model)
    users = measure.by_user()
    if checkpoint is not None:  # first, for the trial may be left where it reports
        checkpoint.fold_ended(users)
    if report_users is not None and users is not None:
        report_users(users)
    if report_all_users is not None:
        report_all_users(measure.all_by_user())


def with_reference(
    folds: Sequence[Fold], params: Mapping[str, Value] | None, plan: Plan, seed: int
) -> list[Fold]:
    """Add the recommendations of the reference model to each fold, if the study has one."""
    if params is None:
        return list(folds)
    ready = []
    for fold in folds:
        model = build_model(params)
        precision = set_precision(model, plan.precision)
        if plan.fast:
            accelerate(model, unpadded=plan.unpadded)
        seed_everything(seed, workers=True, verbose=False)
        with boundary(f"the reference model on fold {fold.index + 1}"), products_in(precision):
            model.fit(fold.train)
            recommended = recommend(model, fold, plan.k, filter_viewed=plan.filter_viewed)
        ready.append(replace(fold, reference=recommended))
    return ready


def _report_again(checkpoint: Checkpoint, report: Report, report_users: ReportUsers | None) -> None:
    ended = {users.fold: users for users in checkpoint.users if users.fold < checkpoint.fold}
    for fold in range(checkpoint.fold + 1):
        for evaluation in checkpoint.evaluations:
            if evaluation.fold == fold:
                report(evaluation)
        if report_users is not None and fold in ended:
            report_users(ended[fold])
