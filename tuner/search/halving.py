"""Successive halving: which trials continue from a rung, and which trials are paused there."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable

from tuner.trials.objective import Direction, sort_key

__all__ = ["Rung", "at_evaluations", "goes_on", "leads", "n_first", "n_kept", "rungs_for"]

#: Number of trials that must have reached a rung before one of them is a leader.
_LEAST = 4
_QUARTERS = 4


def rungs_for(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which trials are compared by default: 1, 4, 16, ..., and the last one."""
    powers = (4**power for power in range(max(epochs, 1).bit_length()))
    return (*(power for power in powers if power < epochs), max(epochs, 1))


def at_evaluations(rungs: Iterable[int], every: int, epochs: int) -> tuple[int, ...]:
    """Return the epochs at which trials are compared if they are evaluated every few epochs, and at the last.

    A rung between two evaluations is at the next one. A rung after the last epoch stays there.
    """
    moved = {rung if rung > epochs else min(math.ceil(rung / every) * every, epochs) for rung in rungs}
    return tuple(sorted(moved))


def n_kept(share: float, n_trials: int) -> int:
    """Return the number of trials that a share is: ``max(1, ceil(share * n_trials))``."""
    return max(1, math.ceil(share * n_trials))


def n_first(share: float, n_trials: int, hold: int) -> int:
    """Return the number of trials that continue from a rung at which trials are held.

    It is ``floor(share * n_trials)``, and 0 while fewer than `hold` trials have reached the rung.
    """
    return math.floor(share * n_trials + 1e-9) if n_trials >= hold else 0


def leads(place: int, n_trials: int, rung: int, epochs: int) -> bool:
    """Whether a trial that continues from a rung is a leader.

    It is, if it is the best of at least `_LEAST` trials there, and the rung is late enough: not after the
    first epoch, and not in the first quarter of the fold.
    """
    return place == 1 and n_trials >= _LEAST and rung > 1 and _QUARTERS * rung >= epochs


def goes_on(place: int, n_trials: int, share: float, *, grace: int = 1, hold: int = 0) -> bool:
    """Whether a trial continues from a rung, because it is among the best that have reached it.

    Parameters
    ----------
    place
        Place of the trial, from 1, among all trials that have reached the rung, whatever their status is now.
    n_trials
        Number of trials that have reached the rung, including this one.
    share
        Share of them that continues; see `n_kept`.
    grace
        While fewer trials than this have reached the rung, every trial continues. Not used if they are held.
    hold
        Trials are held at the rung until so many have reached it; see `n_first`. 0: trials are not held.
    """
    if hold:
        return place <= n_first(share, n_trials, hold)
    return n_trials < grace or place <= n_kept(share, n_trials)


class Rung:
    """An epoch of the first fold at which trials are compared.

    The only place in memory that knows which trials are paused. Trials are kept in order, so that a question
    takes the same time however many trials have reached the rung.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    direction
        Direction of the objective.
    """

    def __init__(self, epoch: int, direction: Direction) -> None:
        self.epoch = epoch
        self._sign = sort_key(1.0, direction)
        self._of: dict[int, float] = {}
        self._all: list[float] = []  # ascending, the best first
        self._paused: list[tuple[float, int]] = []  # in the same order, with the trial numbers

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, number: int) -> bool:
        return number in self._of

    def reach(self, number: int, value: float) -> None:
        """Enter the best objective of a trial up to here. It replaces that of an earlier attempt."""
        self.forget(number)
        self._of[number] = self._sign * value
        insort(self._all, self._sign * value)

    def forget(self, number: int) -> None:
        """Remove a trial."""
        self.resume(number)
        known = self._of.pop(number, None)
        if known is not None:
            del self._all[bisect_left(self._all, known)]

    def value(self, number: int) -> float:
        """Return the best objective of a trial up to here."""
        return self._sign * self._of[number]

    def place(self, number: int) -> int:
        """Return the place of a trial among all that have reached the rung, from 1. Ties share a place."""
        return 1 + bisect_left(self._all, self._of[number])

    def pause(self, number: int) -> None:
        """Mark a trial as paused here."""
        insort(self._paused, (self._of[number], number))

    def resume(self, number: int) -> None:
        """Unmark a trial that is paused here; do nothing if it is not."""
        if number in self._of:
            key = (self._of[number], number)
            at = bisect_left(self._paused, key)
            if at < len(self._paused) and self._paused[at] == key:
                del self._paused[at]

    @property
    def n_paused(self) -> int:
        """Number of trials that are paused here."""
        return len(self._paused)

    @property
    def paused(self) -> list[int]:
        """Numbers of the trials that are paused here, the best first."""
        return [number for _, number in self._paused]

    @property
    def best_paused(self) -> int | None:
        """Number of the best trial that is paused here."""
        return self._paused[0][1] if self._paused else None
