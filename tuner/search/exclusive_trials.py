"""Which trials have the machine to themselves: those that ran out of memory, and those that are as large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tuner.models.cost import Work
from tuner.space import Value
from tuner.trials.outcomes import OUT_OF_MEMORY
from tuner.trials.stored import TrialRecord

__all__ = ["LargeTrials"]


class LargeTrials:
    """Remembers what ran out of memory, by model class the one of least work.

    Parameters
    ----------
    work_of
        From full params to what they take, None where that is not known.
    """

    def __init__(self, work_of: Callable[[Mapping[str, Value]], Work | None]) -> None:
        self._work_of = work_of
        self._least: dict[str, float] = {}

    def recall(self, records: Iterable[TrialRecord]) -> None:
        """Remember the trials of earlier runs that ended for want of memory."""
        for record in records:
            if record.failure is not None and record.failure.kind == OUT_OF_MEMORY:
                self.ran_out(record.params)

    def ran_out(self, params: Mapping[str, Value]) -> None:
        """Remember that a trial ran out of memory."""
        work = self._work_of(params)
        if work is not None:
            self._least[work.cls] = min(work.amount, self._least.get(work.cls, work.amount))

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether a trial takes as much work as one of its class that ran out of memory, or more."""
        work = self._work_of(params)
        return work is not None and work.amount >= self._least.get(work.cls, float("inf"))

    def estimate(self, params: Mapping[str, Value]) -> int | None:
        """Return roughly the bytes that a trial's tensors take, None where that is not known."""
        work = self._work_of(params)
        return None if work is None else work.memory
