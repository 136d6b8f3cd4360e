"""What is measured, and how often."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.config import Fast, Metric, Precision, Study
from tuner.trials.records import Direction

__all__ = ["Plan"]


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
        Fit by the fast paths of `tuner.training.fast_paths`; "unpadded": also by the one with other random
        numbers.
    precision
        Arithmetic of the fits; see `tuner.training.precision`.
    """

    metrics: tuple[Metric, ...]
    objective: str
    direction: Direction
    filter_viewed: bool
    evaluate_every: int = 1
    patience: int | None = None
    fast: Fast = True
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
    def unpadded(self) -> bool:
        """Whether fits go without padding."""
        return self.fast == "unpadded"

    @property
    def k(self) -> int:
        """Length of the recommendation lists."""
        return max(metric.k for metric in self.metrics)
