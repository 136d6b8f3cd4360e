"""Makes the objects of a search from an opened study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.artifacts.sync import Mirror
from tuner.artifacts.user_values import drop_checkpoint, read_users, write_users
from tuner.errors import StudyError
from tuner.execution.artifact_checks import check_from_every_node
from tuner.execution.node_health import Reach
from tuner.execution.tune import shares_of
from tuner.monitoring.console import Progress
from tuner.monitoring.optuna_dashboard import DashboardNotes
from tuner.monitoring.tensorboard import TensorBoardWriter
from tuner.monitoring.trackers import make_tracker
from tuner.search.capacity import Capacity, trial_share
from tuner.search.early_stopping import EarlyStopping
from tuner.store.fitted_models import FittedModelRetention
from tuner.trials.constraints import broken

if TYPE_CHECKING:
    from tuner.monitoring.trackers import Tracker
    from tuner.search.coordinator import Coordinator
    from tuner.trials.observer import Observer
    from tuner.trials.stored import TrialRecord
    from tuner.workflows.opening import OpenedStudy

__all__ = [
    "make_coordinator",
    "make_dashboard_notes",
    "make_early_stopping",
    "make_mirror",
    "make_model_retention",
    "make_own_tracker",
    "make_progress",
    "make_tensorboard",
]


def make_mirror(opened: OpenedStudy) -> Mirror | None:
    """Return the observer that copies files from and to the artifacts' place; None if that is the folder.

    Raises
    ------
    TunerError
        If a node of the cluster cannot use the place.
    """
    if opened.artifacts is None:
        return None
    check_from_every_node(opened.artifacts)
    mirror = Mirror(opened.folder, opened.artifacts, n_folds=len(opened.prepared.folds))
    mirror.bring_users()
    return mirror


def make_progress(opened: OpenedStudy, capacity: Capacity, early_stopping: EarlyStopping) -> Progress:
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
        n_paused=lambda: early_stopping.n_paused,
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


def make_own_tracker(opened: OpenedStudy) -> Tracker | None:
    """Return the tracker that the study names, None if it names none. The caller closes it."""
    if opened.study.tracking is None:
        return None
    with opened.hold.turn():  # drivers that share the study get the same id
        identity = opened.store.tracking_id()
    say = opened.console.print
    try:
        return make_tracker(opened.study, identity, opened.folder, opened.store.records(), say)
    except StudyError as error:
        raise opened.study.refusal(error.problems) from error


def make_dashboard_notes(opened: OpenedStudy) -> DashboardNotes:
    """Return the observer that writes notes for Optuna's dashboard."""
    metrics = opened.study.metrics
    objectives = (metrics.objective.label, *metrics.further_objectives)
    return DashboardNotes(opened.store.study, objectives, opened.shown)


def make_model_retention(opened: OpenedStudy, capacity: Capacity) -> FittedModelRetention:
    """Return the observer that retains the fitted models of the best trials; show its number of files."""
    study = opened.study
    retention = FittedModelRetention.of(study, opened.folder, opened.store.records())
    if study.training.keep_checkpoints and opened.artifacts is not None:
        opened.console.print("models: none are retained, because artifacts are not in the study's folder")
    elif study.training.keep_checkpoints:
        slots = capacity.slots(trial_share(study.resources))
        opened.console.print(retention.promise(slots, len(opened.prepared.folds)))
    return retention


def make_early_stopping(opened: OpenedStudy) -> EarlyStopping:
    """Return the rules of early stopping, which know all that earlier runs recorded."""
    study = opened.study
    early_stopping = EarlyStopping(
        study.stopping.halving,
        study.stopping.race,
        epochs=study.training.epochs,
        evaluate_every=study.training.evaluate_every,
        n_folds=len(opened.prepared.folds),
        direction=study.metrics.direction,
        complete=study.stopping.complete,
    )
    for record in opened.store.records():
        _remember(early_stopping, opened, None, record)
    return early_stopping


def make_coordinator(
    opened: OpenedStudy,
    early_stopping: EarlyStopping,
    *,
    observers: Sequence[Observer],
    capacity: Capacity,
    mirror: Mirror | None,
) -> Coordinator:
    """Return the coordinator, which gives trials to Ray Tune and takes their results."""
    from tuner.models.build import point_of, trial_params, why_infeasible  # noqa: PLC0415  # torch
    from tuner.models.cost import work_of  # noqa: PLC0415  # torch
    from tuner.search.coordinator import Coordinator  # noqa: PLC0415  # torch
    from tuner.search.effect_runner import Sinks  # noqa: PLC0415  # torch
    from tuner.search.exclusive_trials import LargeTrials  # noqa: PLC0415  # torch
    from tuner.search.fleet import Fleet  # noqa: PLC0415  # torch
    from tuner.search.lifecycle import Goal  # noqa: PLC0415  # torch
    from tuner.search.study_rules import StudyRules  # noqa: PLC0415  # torch

    study, prepared, folder = opened.study, opened.prepared, opened.folder
    metrics = study.metrics
    large = LargeTrials(partial(work_of, n_items=len(prepared.folds[-1].catalog)))
    large.recall(opened.store.records())
    rules = StudyRules(
        prepared.space,
        Goal(metrics.objective.label, metrics.direction, study.search.constraints),
        n_folds=len(prepared.folds),
        finish=partial(trial_params, epochs=study.training.epochs),
        refuse=partial(why_infeasible, data=prepared.known),
        timeout=study.training.timeout,
        folds_in_turn=study.search.folds == "in_turn",
        point_of=partial(point_of, space=prepared.space, epochs=study.training.epochs),
    )
    sinks = Sinks(
        keep_users=partial(write_users, folder) if mirror is None else mirror.keep_users,
        drop_checkpoint=partial(drop_checkpoint, folder, n_folds=len(prepared.folds))
        if mirror is None
        else mirror.drop_checkpoint,
        learn=partial(_remember, early_stopping, opened, mirror),
        observers=observers,
    )
    fleet = Fleet(shares_of(prepared), capacity, large, answers=Reach().answer)
    return Coordinator(opened.store, opened.budget, early_stopping, rules=rules, fleet=fleet, sinks=sinks)


def _remember(
    early_stopping: EarlyStopping, opened: OpenedStudy, mirror: Mirror | None, record: TrialRecord
) -> None:
    """Add what an earlier run, or another driver, recorded of a trial to the rules of early stopping."""
    study = opened.study
    if record.excluded is not None:
        return
    if mirror is not None and record.summary is not None:  # the race compares with these values
        mirror.bring_users(record.number)
    if record.name is not None or not record.status.is_trained:  # a baseline, or a result of an earlier study
        return
    objective = study.metrics.objective.label
    curve = [(e.fold, e.epoch, e.metrics[objective]) for e in record.evaluations]
    early_stopping.remember(record.number, curve, read_users(opened.folder, record.number))
    summary = record.summary
    if summary is not None:
        feasible = not broken(study.search.constraints, summary)
        early_stopping.completed(record.number, value=summary.mean, epoch=summary.epoch, feasible=feasible)
