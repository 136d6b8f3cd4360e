"""The objects that a search is made of, each made from an opened study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.artifacts.sync import Mirror
from tuner.artifacts.user_values import drop_checkpoint, read_users, write_users
from tuner.execution.artifact_checks import check_from_every_node
from tuner.execution.node_health import Reach
from tuner.execution.tune import shares_of
from tuner.monitoring.console import Progress
from tuner.monitoring.optuna_dashboard import DashboardNotes
from tuner.monitoring.tensorboard import TensorBoardWriter
from tuner.search.capacity import Capacity, trial_share
from tuner.search.early_stopping import Referee
from tuner.store.fitted_models import FittedModelRetention
from tuner.trials.constraints import broken

if TYPE_CHECKING:
    from tuner.execution.study_searcher import StudySearcher
    from tuner.trials.observer import Observer
    from tuner.trials.stored import TrialRecord
    from tuner.workflows.opening import OpenedStudy

__all__ = [
    "make_dashboard_notes",
    "make_kept_models",
    "make_mirror",
    "make_progress",
    "make_searcher",
    "make_tensorboard",
]


def make_mirror(opened: OpenedStudy) -> Mirror | None:
    """Return what copies files between the folder and the artifacts' place; None if that is the folder.

    Raises
    ------
    TunerError
        If a node of the cluster cannot use the place.
    """
    if opened.artifacts is None:
        return None
    check_from_every_node(opened.artifacts)
    mirror = Mirror(opened.folder, opened.artifacts)
    mirror.bring_users()
    return mirror


def make_progress(opened: OpenedStudy, capacity: Capacity) -> Progress:
    """Return the observer that shows the search on the console."""
    study, (total, already) = opened.study, opened.count_trials()
    progress = Progress(
        opened.console,
        total=total,
        already=already,
        n_folds=len(opened.prepared.folds),
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        constraints=study.search.constraints,
        concurrency=None if capacity.grows else capacity.slots(trial_share(study.resources)),
        folder=opened.shown,
        ends_at=opened.budget.ends_at,
        paused=opened.store.paused(),
    )
    progress.remember(opened.store.records())
    return progress


def make_tensorboard(opened: OpenedStudy) -> TensorBoardWriter:
    """Return the observer that writes TensorBoard's files. The caller closes it."""
    metrics = opened.study.metrics
    return TensorBoardWriter(
        layout.tensorboard_folder(opened.folder),
        objective=metrics.objective.label,
        direction=metrics.direction,
    )


def make_dashboard_notes(opened: OpenedStudy) -> DashboardNotes:
    """Return the observer that writes notes for Optuna's dashboard."""
    metrics = opened.study.metrics
    objectives = (metrics.objective.label, *metrics.further_objectives)
    return DashboardNotes(opened.store.study, objectives, opened.shown)


def make_kept_models(opened: OpenedStudy, capacity: Capacity) -> FittedModelRetention:
    """Return the observer that retains the fitted models of the best trials; say how much they may take."""
    study = opened.study
    kept = FittedModelRetention.of(study, opened.folder, opened.store.records())
    if study.training.keep_checkpoints and opened.artifacts is not None:
        opened.console.print("models: none are kept, since artifacts are not in the study's folder")
    elif study.training.keep_checkpoints:
        slots = capacity.slots(trial_share(study.resources))
        opened.console.print(kept.promise(slots, len(opened.prepared.folds)))
    return kept


def make_searcher(
    opened: OpenedStudy, observers: Sequence[Observer], capacity: Capacity, mirror: Mirror | None
) -> StudySearcher:
    """Return the searcher, which gives trials to Ray Tune and takes their results."""
    from tuner.execution.study_searcher import StudySearcher  # noqa: PLC0415  # ray
    from tuner.models.build import trial_params, why_infeasible  # noqa: PLC0415  # torch
    from tuner.models.cost import work_of  # noqa: PLC0415  # torch
    from tuner.search.exclusive_trials import LargeTrials  # noqa: PLC0415  # torch

    study, prepared, folder = opened.study, opened.prepared, opened.folder
    referee = _referee(opened)
    large = LargeTrials(partial(work_of, n_items=len(prepared.folds[-1].catalog)))
    large.recall(opened.store.records())
    return StudySearcher(
        opened.store,
        prepared.space,
        opened.budget,
        shares=shares_of(prepared),
        referee=referee,
        keep_users=partial(write_users, folder) if mirror is None else mirror.keep_users,
        drop_checkpoint=partial(drop_checkpoint, folder) if mirror is None else mirror.drop_checkpoint,
        constraints=study.search.constraints,
        n_folds=len(prepared.folds),
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        capacity=capacity,
        finish=partial(trial_params, epochs=study.training.epochs),
        refuse=why_infeasible,
        large=large,
        timeout=study.training.timeout,
        learn=partial(_remind, referee, opened, mirror=mirror),
        answers=Reach().answer,
        observers=observers,
    )


def _referee(opened: OpenedStudy) -> Referee:
    """Return the referee, which knows all that earlier runs recorded."""
    study = opened.study
    referee = Referee(
        study.stopping.halving,
        study.stopping.race,
        epochs=study.training.epochs,
        n_folds=len(opened.prepared.folds),
        direction=study.metrics.direction,
    )
    for record in opened.store.records():
        _remind(referee, opened, record)
    return referee


def _remind(
    referee: Referee, opened: OpenedStudy, record: TrialRecord, *, mirror: Mirror | None = None
) -> None:
    """Tell the referee what an earlier run, or another driver, recorded of a trial."""
    study, folder = opened.study, opened.folder
    if mirror is not None and record.summary is not None:  # what the race compares with
        mirror.bring_users(record.number)
    objective = study.metrics.objective.label
    curve = [(e.fold, e.epoch, e.metrics[objective]) for e in record.evaluations]
    referee.remember(record.number, curve, read_users(folder, record.number))
    if record.summary is not None and not broken(study.search.constraints, record.summary):
        referee.completed(record.number, value=record.summary.mean, epoch=record.summary.epoch)
