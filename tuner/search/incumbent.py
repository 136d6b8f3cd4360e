"""The best complete trial of a search, with which the race compares other trials."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.config import Race
from tuner.search.race import race
from tuner.search.trial_results import TrialResults
from tuner.trials.objective import Direction, is_better
from tuner.trials.outcomes import Stop
from tuner.trials.records import Users

__all__ = ["Incumbent"]


class Incumbent:
    """The complete trials of a search that satisfy the constraints; the best of them is the incumbent.

    Parameters
    ----------
    rule
        Settings of the race; None switches it off.
    direction
        Direction of the objective.

    Attributes
    ----------
    best
        Number of the incumbent, its objective, and the epoch of the objective; None if there is none.
    """

    def __init__(self, rule: Race | None, direction: Direction) -> None:
        self._rule = rule
        self._direction = direction
        self._complete: dict[int, tuple[float, int]] = {}  # objective and its epoch, by number
        self.best: tuple[int, float, int] | None = None

    def add(self, number: int, value: float, epoch: int) -> None:
        """Add a complete trial. It is the incumbent if it is the best one so far."""
        self._complete[number] = (value, epoch)
        if self.best is None or is_better(value, self.best[1], self._direction):
            self.best = (number, value, epoch)

    def remove(self, number: int) -> None:
        """Compare no trial with this one any more. If it was the incumbent, the next best one is."""
        self._complete.pop(number, None)
        if self.best is not None and self.best[0] == number:
            self.best = None
            for other, (value, epoch) in list(self._complete.items()):
                self.add(other, value, epoch)

    def beats(self, number: int, results: Mapping[int, TrialResults], users: Users) -> Stop | None:
        """Compare a trial with the incumbent, over all folds so far.

        Parameters
        ----------
        number
            The trial.
        results
            Reports of all trials, by number.
        users
            Per-user values of the fold after which the trial is compared.

        Returns
        -------
        Stop or None
            The evidence if the trial is to stop.
        """
        if self._rule is None or self.best is None:
            return None
        best, _, best_epoch = self.best
        against = results[best].users
        if best == number or not against:
            return None
        epoch = results[number].best_epoch(self._direction)
        mine = {fold: values.at(epoch) for fold, values in results[number].users.items()}
        theirs = {fold: values.at(best_epoch) for fold, values in against.items()}
        evidence = race(mine, theirs, self._rule, self._direction)
        if evidence is None:
            return None
        return Stop("race", users.fold, max(users.epochs), evidence | {"incumbent": best})
