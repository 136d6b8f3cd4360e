"""One fold of one trial: fit, recommend, measure. Knows nothing of Ray.

Exactness: with the same params and seed, on CPU, and without the fast paths of `tuner.training`, the
metrics equal those of `rectools.model_selection.cross_validate` to the last digit, whether they are taken
after every epoch or only at the end; with the fast paths, losses agree up to rounding. Evaluating in the
middle of a fit draws random numbers and switches the modules' mode; both are put back (`_undisturbed`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import rectools.metrics
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.dataset.context import get_context
from rectools.metrics import calc_metrics
from rectools.metrics.base import MetricAtK
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.checkpoints import Checkpoint
from tuner.errors import TrialError
from tuner.folds import Fold
from tuner.memory import peak_gpu_memory, peak_memory, reset_peak
from tuner.models import build_model
from tuner.precision import products_in, set_precision
from tuner.results import Direction, Evaluation, Users, is_better
from tuner.space import Value
from tuner.spec import Metric, Precision, Study
from tuner.training import FastPaths, accelerate

__all__ = [
    "Plan",
    "boundary",
    "count_parameters",
    "evaluate_fold",
    "evaluate_folds",
    "recommend",
    "with_reference",
]

Report = Callable[[Evaluation], None]
ReportUsers = Callable[[Users], None]

#: RecTools takes reference recommendations by name, and adds the name to the metric's.
_REFERENCE = "reference"


@dataclass(frozen=True)
class Plan:
    """How each fold is measured.

    Attributes
    ----------
    metrics
        All of them; recommendation lists are as long as the largest k.
    objective
        Label of the one that decides patience.
    direction
        Of the objective.
    filter_viewed
        Recommend only items new to the user.
    evaluate_every
        Epochs between evaluations; the last epoch is always evaluated.
    patience
        Stop training after so many evaluations without a better objective.
    fast
        Fit by the fast paths of `tuner.training`.
    precision
        Arithmetic of the fits; see `tuner.precision`.
    """

    metrics: tuple[Metric, ...]
    objective: str
    direction: Direction
    filter_viewed: bool
    evaluate_every: int = 1
    patience: int | None = None
    fast: bool = True
    precision: Precision = "float32"

    @classmethod
    def of(cls, study: Study) -> Plan:
        """Return the plan of a study."""
        return cls(
            metrics=study.metrics.all,
            objective=study.metrics.objective.label,
            direction=study.metrics.direction,
            filter_viewed=study.folds.filter_viewed,
            evaluate_every=study.training.evaluate_every,
            patience=study.training.patience,
            fast=study.training.fast,
            precision=study.training.precision,
        )

    @property
    def k(self) -> int:
        """Length of the recommendation lists."""
        return max(metric.k for metric in self.metrics)


def evaluate_folds(
    params: Mapping[str, Value],
    folds: Sequence[Fold],
    plan: Plan,
    seeds: Sequence[int],
    report: Report,
    *,
    report_users: ReportUsers | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Evaluate a trial on all folds, oldest first; see `evaluate_fold`.

    A trial that goes on from a checkpoint reports first what it had reported before.
    """
    begun = checkpoint.fold if checkpoint is not None else 0
    if checkpoint is not None:
        _report_again(checkpoint, report, report_users)
    for fold, seed in list(zip(folds, seeds, strict=True))[begun:]:
        evaluate_fold(params, fold, plan, seed, report, report_users=report_users, checkpoint=checkpoint)


def evaluate_fold(
    params: Mapping[str, Value],
    fold: Fold,
    plan: Plan,
    seed: int,
    report: Report,
    *,
    report_users: ReportUsers | None = None,
    checkpoint: Checkpoint | None = None,
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
    checkpoint
        Of the trial: where to go on from, and where to keep the state of the fit.

    Raises
    ------
    TrialError
        If RecTools or a user's class fails, or a loss or metric is not finite; the cause is chained.
    """
    model = build_model(params)
    precision = set_precision(model, plan.precision)
    paths = accelerate(model) if plan.fast else FastPaths()
    measure = _Measure(model, fold, plan, report, paths=paths, precision=precision, checkpoint=checkpoint)
    if isinstance(model, TransformerModelBase):
        # Added to the trainer that RecTools made, so that a trial's params stay those of a plain model.
        callbacks = model._trainer.callbacks  # type: ignore[attr-defined]  # noqa: SLF001  # Lightning sets it; there is no public way in
        callbacks.append(_EpochEvaluations(model, measure, checkpoint))
        if checkpoint is not None:
            model._trainer.ckpt_path = checkpoint.lightning  # noqa: SLF001  # as above
    seed_everything(seed, workers=True, verbose=False)
    with boundary(f"fold {fold.index + 1}"), products_in(precision):
        measure.start()
        model.fit(fold.train)
        measure.finish()
    paths.leave(model)
    users = measure.by_user()
    if report_users is not None and users is not None:
        report_users(users)
    if checkpoint is not None:
        checkpoint.fold_ended(users)


def recommend(model: ModelBase[Any], fold: Fold, k: int, *, filter_viewed: bool) -> pd.DataFrame:
    """Recommend to a fold's test users, as `cross_validate` does.

    Returns
    -------
    pd.DataFrame
        Up to `k` rows per user: user_id, item_id, score, rank.
    """
    context = get_context(fold.test) if model.require_recommend_context else None
    with products_in("float32"):
        return model.recommend(
            users=fold.users,
            dataset=fold.train,
            k=k,
            filter_viewed=filter_viewed,
            on_unsupported_targets="ignore",
            context=context,
        )


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
            accelerate(model)
        seed_everything(seed, workers=True, verbose=False)
        with boundary(f"the reference model on fold {fold.index + 1}"), products_in(precision):
            model.fit(fold.train)
            recommended = recommend(model, fold, plan.k, filter_viewed=plan.filter_viewed)
        ready.append(replace(fold, reference=recommended))
    return ready


@contextmanager
def boundary(where: str) -> Iterator[None]:
    """Turn what RecTools or a user's class raises into a `TrialError` that says where, with its cause."""
    try:
        yield
    except TrialError as error:
        raise TrialError(f"{where}: {error.message}", hint=error.hint) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise TrialError(f"{where}: {type(error).__name__}: {reason}") from error


def _report_again(checkpoint: Checkpoint, report: Report, report_users: ReportUsers | None) -> None:
    ended = {users.fold: users for users in checkpoint.users if users.fold < checkpoint.fold}
    for fold in range(checkpoint.fold + 1):
        for evaluation in checkpoint.evaluations:
            if evaluation.fold == fold:
                report(evaluation)
        if report_users is not None and fold in ended:
            report_users(ended[fold])


class _Measure:
    """Takes the metrics of one fit at its evaluation points, and the time between them."""

    def __init__(
        self,
        model: ModelBase[Any],
        fold: Fold,
        plan: Plan,
        report: Report,
        *,
        paths: FastPaths,
        checkpoint: Checkpoint | None,
        precision: Precision,
    ) -> None:
        self.model = model
        self.fold = fold
        self.plan = plan
        self.report = report
        self.paths = paths
        self.precision = precision
        self.metrics = {metric.label: _build(metric) for metric in plan.metrics}
        self.per_user = any(metric.per_user for metric in plan.metrics if metric.label == plan.objective)
        self.users: dict[int, NDArray[np.float32]] = {}  # by epoch
        self.epoch = 0
        self.measured: int | None = None
        self.train_loss: float | None = None
        self.best: float | None = None
        self.waited = 0
        self._started = 0.0
        self._evaluating = 0.0
        self._before = 0.0  # the fit was cut off, it took so long
        self._made = checkpoint.evaluations if checkpoint is not None else []
        if checkpoint is not None and checkpoint.epoch:
            self._go_on_from(checkpoint)
        self._away = 0.0  # from the fit: evaluations, and reports, which within Ray wait for the driver

    def start(self) -> None:
        reset_peak()
        self._started = time.perf_counter()

    def epoch_done(self, epoch: int, train_loss: float | None) -> None:
        """Note a finished epoch."""
        if train_loss is not None and not math.isfinite(train_loss):
            msg = f"the training loss must be finite, but is {train_loss} in epoch {epoch}"
            raise TrialError(msg, hint="a lower lr, or a larger mask_prob, often helps")
        self.epoch, self.train_loss = epoch, train_loss

    def due(self, epochs: int) -> bool:
        """Whether to evaluate within the fit; the last epoch is evaluated after it."""
        return self.epoch < epochs and self.epoch % self.plan.evaluate_every == 0

    def finish(self) -> None:
        """Evaluate the fitted model, unless its last epoch has been measured."""
        if self.measured != self.epoch or not self.epoch:
            self.take()

    def by_user(self) -> Users | None:
        """Return the objective's values by user, of all evaluations; None if it is no mean over users."""
        if not self.users:
            return None
        return Users(self.fold.index, tuple(self.users), np.stack(list(self.users.values())))

    def take(self) -> None:
        """Recommend, measure and report."""
        began = time.perf_counter()
        recommended = recommend(self.model, self.fold, self.plan.k, filter_viewed=self.plan.filter_viewed)
        recommend_seconds = time.perf_counter() - began
        values = calc_metrics(
            self.metrics,
            reco=recommended,
            interactions=self.fold.test,
            prev_interactions=self.fold.seen,
            catalog=self.fold.catalog,
            ref_reco={} if self.fold.reference is None else {_REFERENCE: self.fold.reference},
        )
        named = {label: label if label in values else f"{label}_{_REFERENCE}" for label in self.metrics}
        metrics = {label: float(values[name]) for label, name in named.items()}
        for label, value in metrics.items():
            if not math.isfinite(value):
                msg = f"a metric must be finite, but {label} is {value} at epoch {self.epoch}"
                raise TrialError(msg)
        if self.per_user:
            self.users[self.epoch] = self._objective_by_user(recommended)
        self._evaluating += time.perf_counter() - began
        fit_seconds = self._before + began - self._started - self._away
        self.measured = self.epoch
        self._be_patient(metrics[self.plan.objective])
        evaluation = Evaluation(
            fold=self.fold.index,
            epoch=self.epoch,
            metrics=metrics,
            train_loss=self.train_loss,
            fit_seconds=round(fit_seconds, 4),
            evaluate_seconds=round(self._evaluating, 4),
            n_parameters=count_parameters(self.model),
            peak_memory=peak_memory(),
            peak_gpu_memory=peak_gpu_memory(),
            fast_paths=self.paths.applied,
            precision=self.precision,
            recommend_seconds=round(recommend_seconds, 4),
        )
        self._made.append(evaluation)
        self.report(evaluation)
        self._away += time.perf_counter() - began

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        """Know what the fit had measured when it was cut off."""
        mine = [evaluation for evaluation in checkpoint.evaluations if evaluation.fold == self.fold.index]
        for evaluation in mine:
            self._be_patient(evaluation.metrics[self.plan.objective])
            self.measured = evaluation.epoch
            self._before, self._evaluating = evaluation.fit_seconds, evaluation.evaluate_seconds
        if checkpoint.users and checkpoint.users[-1].fold == self.fold.index:
            users = checkpoint.users.pop()
            self.users = dict(zip(users.epochs, users.values, strict=True))

    def _objective_by_user(self, recommended: pd.DataFrame) -> NDArray[np.float32]:
        """Return the objective's values, shape (n_users,), in the order of the fold's users."""
        measure: Any = self.metrics[
            self.plan.objective
        ]  # one of those with `calc_per_user`: `Metric.per_user`
        values: pd.Series[float] = measure.calc_per_user(recommended, self.fold.test)
        return values.reindex(self.fold.users).to_numpy(dtype=np.float32)

    @property
    def out_of_patience(self) -> bool:
        """Whether training should stop here."""
        return self.plan.patience is not None and self.waited >= self.plan.patience

    def _be_patient(self, value: float) -> None:
        if self.best is None or is_better(value, self.best, self.plan.direction):
            self.best, self.waited = value, 0
        else:
            self.waited += 1


class _EpochEvaluations(Callback):
    """Evaluates within a Lightning fit, at the end of epochs."""

    def __init__(
        self, model: TransformerModelBase[Any], measure: _Measure, checkpoint: Checkpoint | None
    ) -> None:
        self.model = model
        self.measure = measure
        self.checkpoint = checkpoint
        self._generators = checkpoint.generators if checkpoint is not None and checkpoint.epoch else None

    def __deepcopy__(self, _memo: dict[int, object]) -> _EpochEvaluations:
        """RecTools copies its trainer at each fit; the copy must report to the same place."""
        return self

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let patience end a fit before the minimal epochs that RecTools sets."""
        if self.measure.plan.patience is not None:
            trainer.fit_loop.min_epochs = 1
        if self._generators is not None:
            pl_module.is_fitted = True  # type: ignore[assignment]  # RecTools' flag: its weights are not to be drawn anew

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Draw the numbers that come after those of a fit that was cut off."""
        if self._generators is not None:
            pl_module.is_fitted = False  # type: ignore[assignment]  # as above
            self._generators.restore()
            self._generators = None

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # Lightning's signature
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep in the fit's checkpoint what has been measured."""
        if self.checkpoint is not None:
            epoch = trainer.current_epoch + 1
            self.checkpoint.describe(checkpoint, epoch=epoch, users=self.measure.by_user())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch; evaluate where one is due."""
        loss = trainer.callback_metrics.get(self.model.train_loss_name)
        self.measure.epoch_done(trainer.current_epoch + 1, None if loss is None else float(loss))
        if not self.measure.due(trainer.max_epochs or 0):
            return
        with _undisturbed(self.model, pl_module):
            self.measure.take()
        if self.measure.out_of_patience:
            trainer.should_stop = True
        elif self.checkpoint is not None and self.checkpoint.is_due:
            self.checkpoint.epoch_ended(trainer)


@contextmanager
def _undisturbed(model: TransformerModelBase[Any], pl_module: LightningModule) -> Iterator[None]:
    """Let a half-fitted model recommend, and leave no trace: generators, modes and flags are put back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # RecTools draws from the global generator
    modes = {module: module.training for module in pl_module.modules()}
    fitted, device = model.is_fitted, model.recommend_torch_device
    model.is_fitted = True
    model.recommend_torch_device = device or str(pl_module.device)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        model.is_fitted, model.recommend_torch_device = fitted, device
        for module, mode in modes.items():
            module.training = mode
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002  # as above


def _build(metric: Metric) -> MetricAtK:
    made: MetricAtK = getattr(rectools.metrics, metric.name)(k=metric.k, **metric.options)
    return made


def count_parameters(model: ModelBase[Any]) -> int | None:
    """Return the trainable parameters of a fitted model; None for one without such."""
    if not isinstance(model, TransformerModelBase):
        return None
    return sum(p.numel() for p in model.torch_model.parameters() if p.requires_grad)
