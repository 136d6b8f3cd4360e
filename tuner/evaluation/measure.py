"""Measures a model at the evaluations of one fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rectools.models.base import ModelBase

from tuner.config import Precision
from tuner.data.folds import Fold
from tuner.errors import TrialError
from tuner.evaluation.fitted import count_parameters, recommend
from tuner.evaluation.metrics import build_metric, calculate, is_per_user, mean_over_users
from tuner.evaluation.per_user import in_order, series_by_user, values_by_user
from tuner.evaluation.plan import Plan
from tuner.evaluation.sample import sample_of
from tuner.training.checkpoints import Checkpoint
from tuner.training.fast_paths import FastPaths
from tuner.training.memory import peak_gpu_memory, peak_memory, reset_peak
from tuner.trials.objective import is_better
from tuner.trials.records import Evaluation, Users

__all__ = ["Measure", "Report"]

Report = Callable[[Evaluation], None]


class Measure:
    """Measures metrics, time and memory at the evaluations of one fit.

    Parameters
    ----------
    model
        The model that is fitted.
    fold
        Data on which it is fitted and tested.
    plan
        What is measured, and how often.
    report
        Called with each evaluation.
    paths, precision
        Fast paths and arithmetic of the fit. The evaluations record them.
    checkpoint
        Checkpoint of the fold, to continue from; None without one.
    """

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
        self.metrics = {metric.label: build_metric(metric, fold) for metric in plan.metrics}
        self.sample = sample_of(fold, plan.evaluate_users)
        self.per_user = any(is_per_user(metric) for metric in plan.metrics if metric.label == plan.objective)
        self.users: dict[int, NDArray[np.float32]] = {}  # by epoch
        self.recommended: pd.DataFrame | None = None  # recommendations of the last evaluation
        self.epoch = 0
        self.measured: int | None = None
        self.train_loss: float | None = None
        self.learning_rate: float | None = None
        self.epoch_seconds: float | None = None
        self._epoch_began = 0.0
        self.best: float | None = None
        self.waited = 0
        self._started = 0.0
        self._evaluating = 0.0
        self._before = 0.0  # seconds of the fit before it was interrupted
        self._made = checkpoint.evaluations if checkpoint is not None else []
        if checkpoint is not None and checkpoint.epoch:
            self._continue_from(checkpoint)
        self._away = 0.0  # seconds outside the fit: evaluations, and reports, which wait for the driver

    def start(self) -> None:
        """Start to measure time and memory of the fit."""
        reset_peak()
        self._started = time.perf_counter()

    def epoch_began(self) -> None:
        """Start to measure the time of an epoch."""
        self._epoch_began = time.perf_counter()

    def epoch_done(self, epoch: int, train_loss: float | None, learning_rate: float | None) -> None:
        """Record a finished epoch.

        Raises
        ------
        TrialError
            If the training loss is not finite.
        """
        self.epoch_seconds = time.perf_counter() - self._epoch_began
        self.learning_rate = learning_rate
        if train_loss is not None and not math.isfinite(train_loss):
            msg = f"the training loss must be finite, but is {train_loss} in epoch {epoch}"
            raise TrialError(msg, hint="a lower lr, or a larger mask_prob, often helps")
        self.epoch, self.train_loss = epoch, train_loss

    def due(self, epochs: int) -> bool:
        """Whether to evaluate after this epoch, during the fit. The last epoch is evaluated after the fit."""
        return self.epoch < epochs and self.epoch % self.plan.evaluate_every == 0

    def finish(self) -> None:
        """Evaluate the fitted model on all test users, unless its last epoch was so during the fit."""
        if self.measured != self.epoch or not self.epoch:
            self.send(self.take_last())

    def by_user(self) -> Users | None:
        """Return the per-user values of the objective; None if it is not a mean over users."""
        if not self.users:
            return None
        return Users(self.fold.index, tuple(self.users), np.stack(list(self.users.values())))

    def all_by_user(self) -> dict[str, NDArray[np.float32]]:
        """Return the last per-user values of each metric that is a mean over users, by label.

        The arrays have shape (n_users,).
        """
        assert self.recommended is not None, "the fit has been evaluated"
        values = {
            label: values_by_user(metric, self.recommended, self.fold)
            for label, metric in self.metrics.items()
        }
        return {label: found for label, found in values.items() if found is not None}

    def take(self) -> Evaluation:
        """Recommend to the test users or their sample, and return the evaluation. `send` reports it.

        An evaluation at which patience ends the training is the last one, so it is of all test users.

        Raises
        ------
        TrialError
            If a metric is not finite.
        """
        if self.sample is None:
            return self.take_last()
        evaluation = self._evaluate(self.sample)
        self._update_patience(evaluation.metrics[self.plan.objective])
        if self.out_of_patience:
            return self._record(self._evaluate(self.fold))
        return self._record(evaluation)

    def take_last(self) -> Evaluation:
        """Recommend to all test users, and return the evaluation; see `take`."""
        evaluation = self._evaluate(self.fold)
        self._update_patience(evaluation.metrics[self.plan.objective])
        return self._record(evaluation)

    def _record(self, evaluation: Evaluation) -> Evaluation:
        self._made.append(evaluation)
        return evaluation

    def _evaluate(self, fold: Fold) -> Evaluation:
        """Measure the model on the test users of a fold: all, or the sample."""
        began = time.perf_counter()
        recommended = recommend(self.model, fold, self.plan.k, filter_viewed=self.plan.filter_viewed)
        recommend_seconds = time.perf_counter() - began
        if fold is self.fold:
            metrics = self._metrics_of_all(recommended)
        else:
            metrics = self._metrics(recommended, fold, {})
        self._evaluating += time.perf_counter() - began
        fit_seconds = self._before + began - self._started - self._away
        self.measured = self.epoch
        evaluation = Evaluation(
            fold=fold.index,
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
            learning_rate=self.learning_rate,
            epoch_seconds=None if self.epoch_seconds is None else round(self.epoch_seconds, 4),
            threads=torch.get_num_threads(),
            sampled_users=None if fold is self.fold else len(fold.users),
        )
        self._away += time.perf_counter() - began
        return evaluation

    def _metrics_of_all(self, recommended: pd.DataFrame) -> dict[str, float]:
        """Return each metric of all test users; keep the recommendations and the users' objective."""
        self.recommended = recommended
        objective = self.plan.objective
        by_user = series_by_user(self.metrics[objective], recommended, self.fold) if self.per_user else None
        mean = None if by_user is None else mean_over_users(self.metrics[objective], by_user)
        metrics = self._metrics(recommended, self.fold, {} if mean is None else {objective: mean})
        if self.per_user:
            values = None if by_user is None else in_order(by_user, self.fold)
            if values is None:
                msg = f"{objective} must have a number for each test user, but has not"
                raise TrialError(msg, hint="calc_per_user returns a series with the test users as its index")
            self.users[self.epoch] = values
        return metrics

    def _metrics(self, recommended: pd.DataFrame, fold: Fold, known: Mapping[str, float]) -> dict[str, float]:
        """Return each metric by its label."""
        metrics = calculate(self.metrics, recommended, fold, known)
        for label, value in metrics.items():
            if not math.isfinite(value):
                when = f" at epoch {self.epoch}" if self.epoch else ""
                msg = f"a metric must be finite, but {label} is {value}{when}"
                raise TrialError(msg)
        return metrics

    def send(self, evaluation: Evaluation) -> None:
        """Report an evaluation that `take` returned. In a worker, the driver may stop the trial here."""
        began = time.perf_counter()
        self.report(evaluation)
        self._away += time.perf_counter() - began

    def _continue_from(self, checkpoint: Checkpoint) -> None:
        """Restore the measurements that the fit had made when it was interrupted."""
        for evaluation in checkpoint.evaluations:
            self._update_patience(evaluation.metrics[self.plan.objective])
            self.measured = evaluation.epoch
            self._before, self._evaluating = evaluation.fit_seconds, evaluation.evaluate_seconds
        if checkpoint.users:
            users = checkpoint.users.pop()
            self.users = dict(zip(users.epochs, users.values, strict=True))

    @property
    def out_of_patience(self) -> bool:
        """Whether patience ends the training here."""
        return self.plan.patience is not None and self.waited >= self.plan.patience

    def _update_patience(self, value: float) -> None:
        if self.best is None or is_better(value, self.best, self.plan.direction):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
