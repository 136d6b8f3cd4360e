"""The trials at one rung, best first: who is among the best, and who rests there.

Kept in order, so that a question takes no longer however many trials have come.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from tuner.trials.objective import Direction

__all__ = ["Rung"]


class Rung:
    """An epoch of the first fold at which trials are compared.

    Parameters
    ----------
    epoch
        Finished epochs.
    direction
        Of the objective.
    """

    def __init__(self, epoch: int, direction: Direction) -> None:
        self.epoch = epoch
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._of: dict[int, float] = {}
        self._all: list[float] = []  # ascending, the best first
        self._paused: list[tuple[float, int]] = []  # the same, with the trials' numbers

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, number: int) -> bool:
        return number in self._of

    def come(self, number: int, value: float) -> None:
        """Note the best objective of a trial up to here, in place of what an earlier attempt had."""
        self.forget(number)
        self._of[number] = self._sign * value
        insort(self._all, self._sign * value)

    def forget(self, number: int) -> None:
        """Take away what a trial had."""
        self.wake(number)
        known = self._of.pop(number, None)
        if known is not None:
            del self._all[bisect_left(self._all, known)]

    def value(self, number: int) -> float:
        """Return the best objective of a trial up to here."""
        return self._sign * self._of[number]

    def place(self, number: int) -> int:
        """Return the place of a trial among all that have come here, from 1; equal ones share theirs."""
        return 1 + bisect_left(self._all, self._of[number])

    def pause(self, number: int) -> None:
        """Let a trial rest here."""
        insort(self._paused, (self._of[number], number))

    def wake(self, number: int) -> None:
        """Let a trial rest here no longer."""
        if number in self._of:
            key = (self._of[number], number)
            at = bisect_left(self._paused, key)
            if at < len(self._paused) and self._paused[at] == key:
                del self._paused[at]

    @property
    def paused(self) -> list[int]:
        """The trials that rest here, the best first."""
        return [number for _, number in self._paused]

    @property
    def best_paused(self) -> int | None:
        """The best trial that rests here."""
        return self._paused[0][1] if self._paused else None
