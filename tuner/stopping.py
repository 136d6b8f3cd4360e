"""When a trial is not worth going on with: rules over results at the same point. Knows no Ray.

Two rules, each for what it can tell. Within the first fold, successive halving over epochs (Jamieson and
Talwalkar 2016, asynchronous as in Li et al. 2020, https://arxiv.org/abs/1810.05934): coarse, and where most
is saved. After each fold, a race on users: all trials are judged on the same users of the same folds, so
that their per-user values can be compared in pairs with those of the incumbent, the best trial so far;
thousands of pairs have a power that a few folds lack.

The rules are pure functions. `Referee` holds what they compare with, and is fed in the order of events:
by a search, or by a replay of recorded curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tuner.results import Direction, Stop, Users, is_better
from tuner.spec import Halving, Race

__all__ = ["Referee", "halve", "race", "rungs_for"]

PerUser = NDArray[np.float32]


def rungs_for(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which trials are compared by default: 2, 4, 8, ... below the last."""
    return tuple(2**power for power in range(1, max(epochs, 1).bit_length()) if 2**power < epochs)


def halve(
    value: float, others: Sequence[float], rule: Halving, direction: Direction
) -> dict[str, float] | None:
    """Whether to stop a trial at a rung: unless it is among the best of those that have come there.

    Parameters
    ----------
    value
        The trial's best objective up to the rung.
    others
        The same of every other trial that has come there, in whatever state it is now.
    rule
        Which share goes on, ``max(1, ceil(keep * n))`` of n trials, and how many come before any is stopped.
    direction
        Of the objective.

    Returns
    -------
    dict or None
        The evidence if it is to stop.
    """
    n_trials = len(others) + 1
    kept = max(1, math.ceil(rule.keep * n_trials))
    place = 1 + sum(is_better(other, value, direction) for other in others)
    if n_trials < rule.grace or place <= kept:
        return None
    return {"value": value, "place": place, "n_trials": n_trials, "kept": kept}


def race(candidate: PerUser, incumbent: PerUser, rule: Race, direction: Direction) -> dict[str, float] | None:
    """Whether to stop a trial that trails the incumbent on the same users.

    With d the per-user differences, stops where ``mean(d) + z * sd(d) / sqrt(n) < 0``.

    Parameters
    ----------
    candidate, incumbent
        Values of the same users, shape (n_users,).
    rule
        Its z.
    direction
        Of the objective.

    Returns
    -------
    dict or None
        The evidence if it is to stop: mean difference, and the interval of z standard errors around it.
    """
    differences = candidate.astype(np.float64) - incumbent.astype(np.float64)
    n_users = len(differences)
    if n_users <= 1:
        return None
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(n_users)
    low, high = mean - rule.z * error, mean + rule.z * error
    trails = high < 0 if direction == "maximize" else low > 0
    return {"difference": mean, "low": low, "high": high, "n_users": n_users} if trails else None


@dataclass
class _Runner:
    """What is known of one trial."""

    curve: dict[int, dict[int, float]] = field(default_factory=dict)  # fold -> epoch -> objective
    users: dict[int, Users] = field(default_factory=dict)  # by fold

    def best_until(self, epoch: int, direction: Direction) -> float | None:
        """Return the best objective of the first fold up to an epoch."""
        values = [value for at, value in self.curve.get(0, {}).items() if at <= epoch]
        if not values:
            return None
        return max(values) if direction == "maximize" else min(values)

    def best_epoch(self, direction: Direction) -> int:
        """Return the epoch with the best mean over the folds so far, of those evaluated in all."""
        common = sorted(set.intersection(*(set(epochs) for epochs in self.curve.values())))
        best = common[0]
        for epoch in common[1:]:
            if is_better(self._total(epoch), self._total(best), direction):
                best = epoch
        return best

    def _total(self, epoch: int) -> float:
        return math.fsum(by_epoch[epoch] for by_epoch in self.curve.values())


class Referee:
    """Tells of each result whether its trial is to stop there.

    Parameters
    ----------
    halving, race_rule
        The rules; None for one that is off.
    epochs
        Of a trial, for rungs that the study does not name.
    n_folds
        Of a trial; after the last there is nothing to stop.
    direction
        Of the objective.
    """

    def __init__(
        self,
        halving: Halving | None,
        race_rule: Race | None,
        *,
        epochs: int,
        n_folds: int,
        direction: Direction,
    ) -> None:
        self._halving = halving
        self._race = race_rule
        self._rungs = () if halving is None else halving.rungs or rungs_for(epochs)
        self._n_folds = n_folds
        self._direction = direction
        self._runners: dict[int, _Runner] = {}
        self._incumbent: tuple[int, float, int] | None = None  # number, objective, its epoch

    def begins(self, number: int) -> None:
        """Forget what an earlier attempt at this trial reported."""
        self._runners[number] = _Runner()

    def evaluated(self, number: int, *, fold: int, epoch: int, value: float) -> Stop | None:
        """Take an evaluation; tell whether the trial stops at it."""
        runner = self._runners.setdefault(number, _Runner())
        before = max(runner.curve.get(fold, {}), default=0)
        runner.curve.setdefault(fold, {})[epoch] = value
        rung = max((rung for rung in self._rungs if before < rung <= epoch), default=None)
        if self._halving is None or fold or rung is None:
            return None
        here = runner.best_until(epoch, self._direction)
        others = [
            best
            for other, peer in self._runners.items()
            if other != number and self._has_come(peer, rung)
            for best in [peer.best_until(epoch, self._direction)]
            if best is not None
        ]
        assert here is not None, "the evaluation just noted"
        evidence = halve(here, others, self._halving, self._direction)
        return None if evidence is None else Stop("halving", fold, epoch, evidence | {"rung": rung})

    def fold_ended(self, number: int, users: Users) -> Stop | None:
        """Take the per-user values of a fold; tell whether the trial stops after it."""
        runner = self._runners.setdefault(number, _Runner())
        runner.users[users.fold] = users
        if self._race is None or self._incumbent is None or users.fold + 1 >= self._n_folds:
            return None
        best, _, best_epoch = self._incumbent
        against = self._runners[best].users
        folds = sorted(runner.users.keys() & against.keys())
        if best == number or not folds:
            return None
        epoch = runner.best_epoch(self._direction)
        mine = np.concatenate([runner.users[fold].at(epoch) for fold in folds])
        theirs = np.concatenate([against[fold].at(best_epoch) for fold in folds])
        if len(mine) != len(theirs):  # the incumbent's values are of another form of the study's data
            return None
        evidence = race(mine, theirs, self._race, self._direction)
        if evidence is None:
            return None
        return Stop("race", users.fold, max(users.epochs), evidence | {"incumbent": best})

    def completed(self, number: int, *, value: float, epoch: int) -> None:
        """Take a complete trial: it is the incumbent if it is the best one so far."""
        if self._incumbent is None or is_better(value, self._incumbent[1], self._direction):
            self._incumbent = (number, value, epoch)

    def remember(self, number: int, curve: Iterable[tuple[int, int, float]], users: Iterable[Users]) -> None:
        """Take all that an earlier run of the study recorded of a trial: (fold, epoch, objective), users."""
        runner = self._runners.setdefault(number, _Runner())
        for fold, epoch, value in curve:
            runner.curve.setdefault(fold, {})[epoch] = value
        runner.users.update({one.fold: one for one in users})

    def _has_come(self, peer: _Runner, rung: int) -> bool:
        """Whether a trial reached a rung of the first fold, or ended the fold's training before it."""
        last = max(peer.curve.get(0, {}), default=0)
        return last >= rung or (last > 0 and len(peer.curve) > 1)
