"""How far trials without a result came: their last value, and their place among trials that came as far."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tuner.trials.objective import Direction, sort_key

__all__ = ["Curve", "Reached", "reached_by"]

#: The objective of a trial by (fold, epoch), both as in `tuner.trials.records.Evaluation`.
Curve = Mapping[tuple[int, int], float]


@dataclass(frozen=True)
class Reached:
    """The last evaluation of a trial without a result.

    Attributes
    ----------
    fold, epoch
        Index of the fold, from 0, and number of finished epochs in it.
    value
        The objective there. It is not the mean of several folds.
    place, n_trials
        Place of the trial, from 1, among the trials of the search that have a value there, and their number.
    """

    fold: int
    epoch: int
    value: float
    place: int
    n_trials: int

    @property
    def where(self) -> str:
        """Fold and epoch, as text for people."""
        return f"fold {self.fold + 1}" + (f", epoch {self.epoch}" if self.epoch else "")

    @property
    def among(self) -> str:
        """The place, as text for people."""
        return f"{self.place} of {self.n_trials}"


def reached_by(
    numbers: Iterable[int], curves: Mapping[int, Curve], searched: Iterable[int], direction: Direction
) -> dict[int, Reached]:
    """Return how far trials came, by number; without those that have no evaluation.

    Parameters
    ----------
    numbers
        Trials without a result.
    curves
        Curves of all trials, by number.
    searched
        Trials of the search. Others get a place among them too.
    direction
        Direction of the objective.
    """
    last = {number: max(curves[number]) for number in numbers if curves.get(number)}
    losses: dict[tuple[int, int], list[float]] = {point: [] for point in last.values()}
    for number in {*searched, *last}:
        curve = curves.get(number, {})
        for point in losses.keys() & curve.keys():
            losses[point].append(sort_key(curve[point], direction))
    for values in losses.values():
        values.sort()
    return {
        number: _reached(point, curves[number][point], losses[point], direction)
        for number, point in last.items()
    }


def _reached(point: tuple[int, int], value: float, losses: list[float], direction: Direction) -> Reached:
    place = 1 + bisect_left(losses, sort_key(value, direction))
    return Reached(*point, value, place, len(losses))
