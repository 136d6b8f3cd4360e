"""The plan of a trial's evaluations: what is measured, and how often."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.config import Fast, Metric, Precision, Study
from tuner.trials.objective import Direction

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """How each fold is measured.

    Attributes
    ----------
    metrics
        All metrics. Recommendation lists are as long as the largest k of them.
    objective
        Label of the objective, which patience watches.
    direction
        Direction of the objective.
    filter_viewed
        Whether to recommend only items that are new to the user.
    evaluate_every
        Number of epochs between evaluations. The last epoch is always evaluated.
    evaluate_users
        Number of test users of all evaluations of a fold but the last; None for all.
    patience
        End the training of a fold after this many evaluations without a better objective; None for never.
    fast
        Whether to fit with the fast paths of `tuner.training.fast_paths`. With "unpadded" padding is left out
        as well.
    precision
        Arithmetic of the fits; see `tuner.training.precision`.
    devices
        Number of devices on which a transformer trains.
    """

    metrics: tuple[Metric, ...]
    objective: str
    direction: Direction
    filter_viewed: bool
    evaluate_every: int = 1
    evaluate_users: int | None = None
    patience: int | None = None
    fast: Fast = True
    precision: Precision = "float32"
    devices: int = 1

    @classmethod
    def of(cls, study: Study) -> Plan:
        """Return the plan of a study."""
        return cls(
            metrics=study.metrics.all,
            objective=study.metrics.objective.label,
            direction=study.metrics.direction,
            filter_viewed=study.folds.filter_viewed,
            evaluate_every=study.training.evaluate_every,
            evaluate_users=study.training.evaluate_users,
            patience=study.training.patience,
            fast=study.training.fast,
            precision=study.training.precision,
            devices=study.resources.n_devices,
        )

    @property
    def unpadded(self) -> bool:
        """Whether fits go without padding."""
        return self.fast == "unpadded"

    @property
    def k(self) -> int:
        """Length of the recommendation lists: the largest k of all metrics."""
        return max(metric.k for metric in self.metrics)
