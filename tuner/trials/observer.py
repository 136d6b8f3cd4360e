"""The interface of everything that displays or records a search while it runs."""

from __future__ import annotations

from tuner.trials.messages import Job
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary

__all__ = ["Observer"]


class Observer:
    """A receiver of the events of a search, such as the live table, TensorBoard or a stream of JSON lines.

    It ignores every event. A subclass has methods for the events that it needs.
    """

    def started(self, job: Job, *, again: bool) -> None:
        """Receive that a trial started: for the first time, or `again` after an interruption or a pause."""

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Receive the metrics of a fold at an epoch."""

    def fold_lost(self, job: Job, fold: int, why: str) -> None:
        """Receive that a fold of a running trial starts again (its index), and why. Other folds go on."""

    def interrupted(self, job: Job, why: str) -> None:
        """Receive that a trial no longer runs, and why. It will be started `again`."""

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Receive that a trial is complete, its result, and its duration in seconds."""

    def paused(self, job: Job, pause: Pause) -> None:
        """Receive that a trial was paused. It may be started again."""

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Receive that a trial was stopped early, the reason, and its duration in seconds."""

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Receive that a trial failed, the cause, and the path of its log."""
