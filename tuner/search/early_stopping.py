"""When a trial is not worth going on with: rules over results at the same point. Knows no Ray.

Two rules, each for what it can tell. Within the first fold and at its end, successive halving over epochs
(Jamieson and Talwalkar 2016, asynchronous and by promotion as in Li et al. 2020,
https://arxiv.org/abs/1810.05934): coarse, and where most is saved. A trial that is not among the best at a
rung *rests* there: other trials come first, and it is taken up again as soon as it is among the best after
all. When no new trial is to begin, those that rest are taken up, the best first, down to a wider share; only
what is left then is stopped. So greed decides the order, and the wider share what is lost. After each fold, a
race on users: all trials are judged on the same users of the same folds, so that their per-user values can be
compared in pairs with those of the incumbent, the best trial so far; thousands of pairs have a power that a
few folds lack.

The rules are pure functions. `Referee` holds what they compare with, and is fed in the order of events:
by a search, or by a replay of recorded curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tuner.config import Halving, Race
from tuner.search.rung import Rung
from tuner.trials.objective import Direction, is_better
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.paired import paired_difference
from tuner.trials.records import Users

__all__ = ["Referee", "goes_on", "n_kept", "race", "rungs_for"]

PerUser = NDArray[np.float32]


def rungs_for(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which trials are compared by default: 1, 4, 16, ..., and the last one."""
    powers = (4**power for power in range(max(epochs, 1).bit_length()))
    return (*(power for power in powers if power < epochs), max(epochs, 1))


def n_kept(share: float, n_trials: int) -> int:
    """Return how many of so many trials a share is: ``max(1, ceil(share * n))``."""
    return max(1, math.ceil(share * n_trials))


def goes_on(place: int, n_trials: int, share: float, *, grace: int = 1) -> bool:
    """Whether a trial goes on from a rung: if it is among the best that have come there.

    Parameters
    ----------
    place
        Of the trial among those that have come there, in whatever state they are now, from 1.
    n_trials
        That have come there, with this one.
    share
        Of them that goes on; see `n_kept`.
    grace
        How many come before any is held up.
    """
    return n_trials < grace or place <= n_kept(share, n_trials)


def race(
    candidate: Mapping[int, PerUser], incumbent: Mapping[int, PerUser], rule: Race, direction: Direction
) -> dict[str, float] | None:
    """Whether to stop a trial that trails the incumbent on the same users of the folds that both have.

    It stops if its difference to the incumbent is worse than zero by more than z standard errors; see
    `tuner.trials.paired.paired_difference`.

    Parameters
    ----------
    candidate, incumbent
        Values of each fold, shape (n_users,).
    rule
        Its z.
    direction
        Of the objective.

    Returns
    -------
    dict or None
        The evidence if it is to stop: mean difference, and the interval of z standard errors around it.
    """
    found = paired_difference(candidate, incumbent)
    if found is None or found.better(direction, rule.z) is not False:
        return None
    low, high = found.bounds(rule.z)
    return {"difference": found.difference, "low": low, "high": high, "n_users": found.n_users}


@dataclass
class _Runner:
    """What is known of one trial."""

    curve: dict[int, dict[int, float]] = field(default_factory=dict)  # fold -> epoch -> objective
    users: dict[int, Users] = field(default_factory=dict)  # by fold

    def best(self, direction: Direction) -> float:
        """Return the best objective of the first fold so far."""
        values = self.curve[0].values()
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
    """Tells of each result whether its trial goes on, rests or stops there; and which resting one is next.

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
        epochs_of_rungs = () if halving is None else halving.rungs or rungs_for(epochs)
        self._rungs = {epoch: Rung(epoch, direction) for epoch in epochs_of_rungs}
        self._within_fold = [rung for rung in self._rungs.values() if rung.epoch < epochs]
        self._epochs = epochs
        self._n_folds = n_folds
        self._direction = direction
        self._runners: dict[int, _Runner] = {}
        self._incumbent: tuple[int, float, int] | None = None  # number, objective, its epoch

    @property
    def pauses_at(self) -> tuple[int, ...]:
        """Epochs within the first fold at which a trial may come to rest; it may at its end as well."""
        return tuple(epoch for epoch in self._rungs if epoch < self._epochs) if self._may_rest else ()

    def begins(self, number: int) -> None:
        """Forget what an earlier attempt at this trial reported."""
        self._runners[number] = _Runner()
        for rung in self._rungs.values():
            rung.forget(number)

    def evaluated(self, number: int, *, fold: int, epoch: int, value: float) -> Stop | Pause | None:
        """Take an evaluation; tell whether the trial rests or stops at it.

        What a trial that was resting reports again is known, and not judged again.
        """
        runner = self._runners.setdefault(number, _Runner())
        before = max(runner.curve.get(fold, {}), default=0)
        runner.curve.setdefault(fold, {})[epoch] = value
        rung = self._come(number, fold, before, epoch)
        if rung is None or self._goes_on(number, rung):
            return None
        if self._may_rest:
            return Pause(fold, epoch, rung.epoch)
        return Stop("halving", fold, epoch, self._evidence(number, rung, n_kept(self._keep, len(rung))))

    @property
    def _may_rest(self) -> bool:
        return self._halving is not None and self._halving.resume is not None

    @property
    def _keep(self) -> float:
        return 1.0 if self._halving is None else self._halving.keep

    def _goes_on(self, number: int, rung: Rung) -> bool:
        grace = 1 if self._halving is None else self._halving.grace
        return goes_on(rung.place(number), len(rung), self._keep, grace=grace)

    def _evidence(self, number: int, rung: Rung, kept: int) -> dict[str, float]:
        return {
            "value": rung.value(number),
            "place": rung.place(number),
            "n_trials": len(rung),
            "kept": kept,
            "rung": rung.epoch,
        }

    def _come(self, number: int, fold: int, before: int, epoch: int) -> Rung | None:
        """Note the rungs that a trial has come to; return the last one, if it is to be judged there.

        A trial whose patience ended the first fold's training counts at the rungs after it.
        """
        runner = self._runners[number]
        if fold:
            late = [r for r in self._within_fold if number not in r and runner.curve.get(0)]
            passed = [r for r in late if r.epoch > max(runner.curve[0])]
        else:
            passed = [rung for rung in self._within_fold if before < rung.epoch <= epoch]
        for rung in passed:
            rung.come(number, runner.best(self._direction))
        return passed[-1] if passed and not fold else None

    def pauses(self, number: int, rung: int) -> bool:
        """Let a trial rest at a rung; tell whether it may, which an earlier run may have seen otherwise."""
        if not self._may_rest or rung not in self._rungs or number not in self._rungs[rung]:
            return False
        self._rungs[rung].pause(number)
        return True

    def promoted(self) -> int | None:
        """Return a resting trial that is among the best by now, and let it rest no longer; None: none is.

        Of several the one at the latest rung, and there the best.
        """
        for rung in reversed(self._rungs.values()):
            best = rung.best_paused
            if best is not None and self._goes_on(best, rung):
                rung.wake(best)
                return best
        return None

    def last_chance(self) -> int | None:
        """Return the resting trial that goes on when no new one is to begin; None: none does any more.

        The one with the best place for the number of trials at its rung, within the share `resume`.
        """
        best: tuple[float, int, int] | None = None
        for rung in self._rungs.values():
            number = rung.best_paused
            if number is not None and rung.place(number) <= self._kept_last(rung):
                best = min(best or (1.0, 0, 0), (rung.place(number) / len(rung), -rung.epoch, number))
        if best is None or not best[1]:
            return None
        self._rungs[-best[1]].wake(best[2])
        return best[2]

    def dismissed(self) -> list[tuple[int, Stop]]:
        """Return all trials that rest, which are to be stopped, with the evidence; none rests any more."""
        stopped = []
        for rung in self._rungs.values():
            for number in rung.paused:
                evidence = self._evidence(number, rung, self._kept_last(rung))
                stopped.append((number, Stop("halving", 0, max(self._runners[number].curve[0]), evidence)))
                rung.wake(number)
        return stopped

    def _kept_last(self, rung: Rung) -> int:
        resume = 0.0 if self._halving is None or self._halving.resume is None else self._halving.resume
        return n_kept(resume, len(rung))

    def fold_ended(self, number: int, users: Users) -> Stop | Pause | None:
        """Take the per-user values of a fold; tell whether the trial rests or stops after it."""
        runner = self._runners.setdefault(number, _Runner())
        known = users.fold in runner.users
        runner.users[users.fold] = users
        if known or users.fold + 1 >= self._n_folds:
            return None
        lost = self._lost_race(number, users)
        rung = self._end_of_first_fold(number) if users.fold == 0 else None
        if lost is not None or rung is None or self._goes_on(number, rung):
            return lost
        epoch = max(users.epochs)
        if self._may_rest:
            return Pause(0, epoch, rung.epoch)
        return Stop("halving", 0, epoch, self._evidence(number, rung, n_kept(self._keep, len(rung))))

    def _end_of_first_fold(self, number: int) -> Rung | None:
        """Note that a trial has come to the first fold's end; return the rung there, None if it is none."""
        rung = self._rungs.get(self._epochs)
        if rung is not None and self._runners[number].curve.get(0):
            rung.come(number, self._runners[number].best(self._direction))
            return rung
        return None

    def _lost_race(self, number: int, users: Users) -> Stop | None:
        """Compare a trial with the incumbent, over all folds so far."""
        if self._race is None or self._incumbent is None:
            return None
        runner = self._runners[number]
        best, _, best_epoch = self._incumbent
        against = self._runners[best].users
        if best == number or not against:
            return None
        epoch = runner.best_epoch(self._direction)
        mine = {fold: values.at(epoch) for fold, values in runner.users.items()}
        theirs = {fold: values.at(best_epoch) for fold, values in against.items()}
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
        for fold, epoch, value in curve:
            self.evaluated(number, fold=fold, epoch=epoch, value=value)
        runner = self._runners.setdefault(number, _Runner())
        runner.users.update({one.fold: one for one in users})
        if 0 in runner.users:
            self._end_of_first_fold(number)
