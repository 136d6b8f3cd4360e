"""What looks on at a search: the live table, TensorBoard, streams of events."""

from __future__ import annotations

from typing import Protocol

from tuner.trials.messages import Job
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary

__all__ = ["Observer"]


class Observer(Protocol):
    """Something that looks on: the live table, TensorBoard."""

    def started(self, job: Job, *, again: bool) -> None:
        """Note that a trial began, for the first time or `again` after it was cut off."""

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Note metrics of a fold at an epoch."""

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Note that a trial made all its evaluations."""

    def paused(self, job: Job, pause: Pause) -> None:
        """Note that a trial rests; it may be started again."""

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Note that a trial was stopped early."""

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Note that a trial failed, and where its log stands."""
