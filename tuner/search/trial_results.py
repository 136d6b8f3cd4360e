"""The reports of a trial, as early stopping compares them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tuner.trials.objective import Direction, best_value, is_better
from tuner.trials.records import Users

__all__ = ["TrialResults"]


@dataclass
class TrialResults:
    """The reports of one trial.

    Attributes
    ----------
    curve
        The objective by fold and epoch.
    users
        Per-user values of the folds that have ended, by fold.
    """

    curve: dict[int, dict[int, float]] = field(default_factory=dict)
    users: dict[int, Users] = field(default_factory=dict)

    def of_all_users(self, fold: int) -> dict[int, float]:
        """Return the objective by epoch, without values of a sample of users if the fold has ended."""
        curve, users = self.curve[fold], self.users.get(fold)
        return {epoch: curve[epoch] for epoch in users.epochs if epoch in curve} if users else curve

    def best(self, direction: Direction) -> float:
        """Return the best objective of the first fold so far."""
        return best_value(self.of_all_users(0).values(), direction)

    def best_epoch(self, direction: Direction) -> int:
        """Return the epoch with the best mean over the finished folds, of those evaluated in all of them.

        If there is none, because only the last evaluation of each fold is of all users, it is the latest one.
        """
        finished = [self.of_all_users(fold) for fold in sorted(self.users) if fold in self.curve]
        common = sorted(set.intersection(*map(set, finished))) or [max(map(max, finished))]
        best = common[0]
        for epoch in common[1:]:
            if is_better(_total(finished, epoch), _total(finished, best), direction):
                best = epoch
        return best


def _total(curves: Iterable[Mapping[int, float]], epoch: int) -> float:
    return math.fsum(by_epoch[epoch] for by_epoch in curves)
