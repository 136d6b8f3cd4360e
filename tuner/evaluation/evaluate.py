"""Evaluates a trial on one fold or on all folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytorch_lightning import Callback, seed_everything
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.config import Precision
from tuner.data.folds import Fold
from tuner.evaluation.devices import (
    KeepModel,
    ReportAllUsers,
    ReportUsers,
    Takers,
    evaluate_on_devices,
    several_devices,
)
from tuner.evaluation.epoch_callback import EpochEvaluations, FitStart, FollowFirst
from tuner.evaluation.fitted import boundary, recommend
from tuner.evaluation.measure import Measure, Report
from tuner.evaluation.plan import Plan
from tuner.models.build import build_model
from tuner.space import Value
from tuner.training.checkpoints import Checkpoint
from tuner.training.fast_paths import FastPaths, accelerate
from tuner.training.precision import products_in, set_precision
from tuner.training.ranks import Ranks

__all__ = ["evaluate_fold", "evaluate_folds", "evaluate_here", "with_reference"]

CheckpointOf = Callable[[int], Checkpoint]
#: A fit on one device, in this process alone.
ONE_RANK = Ranks()


def evaluate_folds(
    params: Mapping[str, Value],
    folds: Sequence[Fold],
    plan: Plan,
    seeds: Sequence[int],
    report: Report,
    *,
    report_users: ReportUsers | None = None,
    checkpoint_of: CheckpointOf | None = None,
    keep_model: KeepModel | None = None,
) -> None:
    """Evaluate a trial on some folds, in their order; see `evaluate_fold`.

    Parameters
    ----------
    folds, seeds
        The folds, and a seed for each of them.
    checkpoint_of
        Returns the checkpoint of a fold, given its index; None to save nothing. A fold that continues from a
        checkpoint first repeats the reports that it made before.
    """
    for fold, seed in zip(folds, seeds, strict=True):
        checkpoint = None if checkpoint_of is None else checkpoint_of(fold.index)
        if checkpoint is not None:
            _report_again(checkpoint, report, report_users)
            if checkpoint.ended:
                continue
        evaluate_fold(
            params,
            fold.alone(),
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
    """Fit a model on one fold, and report its metrics at each evaluation.

    If the plan has several devices, a transformer trains in processes of its own, one on each device.

    Parameters
    ----------
    params
        Flat params of the model, with its epochs.
    fold, plan
        Data to fit and test on; what is measured, and how often.
    seed
        Seed for Python, NumPy and torch, set just before the fit.
    report
        Called with each evaluation. All but the last are made during the fit.
    report_users, report_all_users
        Called at the end of the fold with per-user values, where metrics are means over users: of the
        objective at each evaluation, and of each metric at the last one, shape (n_users,) by label.
    checkpoint
        Checkpoint of the fold, to continue from and to save to; None to save nothing.
    keep_model
        Called at the end of the fold with its index and the fitted model. The fast paths are removed from it.

    Raises
    ------
    TrialError
        If RecTools or a user's class fails, or a loss or metric is not finite. The cause is chained.
    RankLostError
        If the process of a device has died.
    """
    takers = Takers(report, report_users, report_all_users, keep_model)
    run = evaluate_on_devices if several_devices(params, plan) else evaluate_here
    run(params, fold, plan, seed, takers=takers, checkpoint=checkpoint)


def evaluate_here(
    params: Mapping[str, Value],
    fold: Fold,
    plan: Plan,
    seed: int,
    *,
    takers: Takers,
    checkpoint: Checkpoint | None,
    ranks: Ranks = ONE_RANK,
) -> None:
    """Evaluate one fold in this process; see `evaluate_fold`. If there are other ranks, only rank 0 reports.

    Parameters
    ----------
    takers
        What takes the results.
    ranks
        The ranks that train the model.
    """
    model = build_model(params)
    ranks.train(model)
    precision = set_precision(model, plan.precision)
    paths = _fast_paths(model, plan, ranks)
    generators = checkpoint.generators_of(ranks.rank) if checkpoint is not None else None
    _continue(model, checkpoint, FitStart(plan, generators, ranks, seed))
    if not ranks.is_first:
        _follow(model, fold, ranks, seed, precision)
        return
    measure = Measure(
        model, fold, plan, takers.report, paths=paths, precision=precision, checkpoint=checkpoint
    )
    _add(model, lambda model: EpochEvaluations(model, measure, checkpoint, ranks))
    seed_everything(seed, workers=True, verbose=False)
    with boundary(f"fold {fold.index + 1}"), products_in(precision):
        measure.start()
        model.fit(fold.train)
        measure.finish()
    paths.leave(model)
    if takers.keep_model is not None:
        takers.keep_model(fold.index, model)
    if checkpoint is not None:  # before the report, because the driver may stop the trial there
        checkpoint.fold_ended(measure.by_user())
    _report_users(measure, takers)


def _follow(model: ModelBase[Any], fold: Fold, ranks: Ranks, seed: int, precision: Precision) -> None:
    _add(model, lambda model: FollowFirst(model, ranks))
    seed_everything(seed, workers=True, verbose=False)
    with boundary(f"fold {fold.index + 1}"), products_in(precision):
        model.fit(fold.train)


def _continue(model: ModelBase[Any], checkpoint: Checkpoint | None, start: FitStart) -> None:
    """Let the fit continue from a checkpoint if there is one."""
    _add(model, lambda _: start)
    if isinstance(model, TransformerModelBase) and checkpoint is not None:
        model._trainer.ckpt_path = checkpoint.lightning  # noqa: SLF001  # RecTools has no public access to it


def _add(model: ModelBase[Any], callback: Callable[[TransformerModelBase[Any]], Callback]) -> None:
    """Add a callback to the fit of a transformer."""
    if isinstance(model, TransformerModelBase):
        # It is added to RecTools' trainer, not passed as a param: the trial's params stay equal.
        callbacks = model._trainer.callbacks  # type: ignore[attr-defined]  # noqa: SLF001  # RecTools has no public access to it
        callbacks.append(callback(model))


def _report_users(measure: Measure, takers: Takers) -> None:
    users = measure.by_user()
    if takers.report_users is not None and users is not None:
        takers.report_users(users)
    if takers.report_all_users is not None:
        takers.report_all_users(measure.all_by_user())


def _fast_paths(model: ModelBase[Any], plan: Plan, ranks: Ranks) -> FastPaths:
    """Return the fast paths that the plan lets a model take. With several ranks no step is replayed."""
    if not plan.fast:
        return FastPaths()
    return accelerate(model, unpadded=plan.unpadded, replay=ranks.count == 1)


def with_reference(
    folds: Sequence[Fold], params: Mapping[str, Value] | None, plan: Plan, seed: int
) -> list[Fold]:
    """Return the folds with recommendations of the reference model, if the study has one.

    Parameters
    ----------
    folds
        The folds of the study.
    params
        Flat params of the reference model; None to return the folds unchanged.
    plan
        What is measured, and how.
    seed
        Seed for Python, NumPy and torch, set before each fit.

    Raises
    ------
    TrialError
        If the reference model cannot be fitted.
    """
    if params is None:
        return list(folds)
    ready = []
    for fold in (fold.alone() for fold in folds):
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
    for evaluation in list(checkpoint.evaluations):
        report(evaluation)
    if report_users is not None and checkpoint.ended:
        for users in checkpoint.users:
            report_users(users)
