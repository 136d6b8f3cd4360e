"""Which trials have the machine to themselves: those that ran out of memory, and any as large as these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tuner.models.cost import Work
from tuner.space import Value
from tuner.trials.outcomes import OUT_OF_MEMORY
from tuner.trials.stored import TrialRecord

__all__ = ["LargeTrials"]


class LargeTrials:
    """Remembers the smallest trial of each model class that ran out of memory.

    Parameters
    ----------
    work_of
        Function from full params to the work and memory of a trial, None if they are not known.
    """

    def __init__(self, work_of: Callable[[Mapping[str, Value]], Work | None]) -> None:
        self._work_of = work_of
        self._least: dict[str, float] = {}

    def recall(self, records: Iterable[TrialRecord]) -> None:
        """Remember the trials of earlier runs that failed because memory was not enough."""
        for record in records:
            if record.failure is not None and record.failure.kind == OUT_OF_MEMORY:
                self.ran_out(record.params)

    def ran_out(self, params: Mapping[str, Value]) -> None:
        """Remember that a trial ran out of memory."""
        work = self._work_of(params)
        if work is not None:
            self._least[work.cls] = min(work.amount, self._least.get(work.cls, work.amount))

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether a trial is at least as large as one of its class that ran out of memory."""
        work = self._work_of(params)
        return work is not None and work.amount >= self._least.get(work.cls, float("inf"))

    def estimate(self, params: Mapping[str, Value]) -> int | None:
        """Return an estimate of the bytes of a trial's tensors, None if it is not known."""
        work = self._work_of(params)
        return None if work is None else work.memory
