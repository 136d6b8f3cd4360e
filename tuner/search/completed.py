"""Which searched trials are complete, and how many more have to complete before a rule may stop one."""

from __future__ import annotations

__all__ = ["Completed"]

#: If constraints leave fewer, so many times the least number of trials complete, and no more are asked for.
_MOST = 3


class Completed:
    """The complete trials of a search, without its baselines.

    Parameters
    ----------
    least
        Number of trials that have to complete, whatever the rules of early stopping say.
    """

    def __init__(self, least: int) -> None:
        self.least = least
        self._feasible: dict[int, bool] = {}

    def add(self, number: int, *, feasible: bool) -> None:
        """Count a trial, once. It is feasible if it satisfies all constraints."""
        self._feasible[number] = feasible

    def remove(self, number: int) -> None:
        """Count a trial no more, because a person excluded it."""
        self._feasible.pop(number, None)

    @property
    def lacking(self) -> int:
        """Number of trials that still have to complete.

        A trial that violates a constraint cannot be the answer of a search, so it does not count. If no trial
        satisfies them, the search must not train all trials to their end: after three times as many complete
        trials, none is lacking.
        """
        most = _MOST * self.least - len(self._feasible)
        return max(0, min(self.least - sum(self._feasible.values()), most))
