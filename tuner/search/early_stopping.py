"""Early stopping: which trials are paused, resumed and stopped. Imports no Ray.

Two rules work together. Successive halving over epochs acts within the first fold and at its end (Jamieson
and Talwalkar 2016; asynchronous and by promotion as in Li et al. 2020, https://arxiv.org/abs/1810.05934). It
is coarse, and it saves most of the compute. A trial that is not among the best at a rung is paused. Other
trials run first, and the paused trial is resumed as soon as it is among the best. When no new trial may
begin, the best paused trials are resumed, up to a wider share. Only the remaining ones are stopped. So `keep`
decides what runs first, and `resume` decides what is discarded.

After each fold, the race compares a trial with the incumbent, which is the best complete trial of the search
so far. Both were evaluated on the same users of the same folds, so their per-user values can be compared in
pairs. A comparison of thousands of pairs has more power than one of a few folds.

Both rules compare searched trials with searched trials. Baselines never take part: a search whose trials are
all worse than EASE still has to say which of them is best. No rule stops a trial before `complete` searched
trials are complete. Until then the race has no effect, halving pauses trials instead of stopping them, and
the best paused ones are resumed.

The rules are pure functions in `tuner.search.halving` and `tuner.search.race`. `EarlyStopping` holds the
values that they compare. A search, or a replay of recorded curves, reports to it in the order of events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tuner.config import Halving, Race
from tuner.search.completed import Completed
from tuner.search.halving import Rung, goes_on, leads, n_first, n_kept, rungs_for
from tuner.search.race import race
from tuner.trials.objective import Direction, best_value, is_better
from tuner.trials.outcomes import Decision, DecisionKind, Pause, Stop
from tuner.trials.records import Users

__all__ = ["EarlyStopping"]


@dataclass
class _Results:
    """The reports of one trial."""

    curve: dict[int, dict[int, float]] = field(default_factory=dict)  # fold -> epoch -> objective
    users: dict[int, Users] = field(default_factory=dict)  # by fold

    def of_all_users(self, fold: int) -> dict[int, float]:
        """Return the objective by epoch, without those of a sample if the fold has ended."""
        curve, users = self.curve[fold], self.users.get(fold)
        return {epoch: curve[epoch] for epoch in users.epochs if epoch in curve} if users else curve

    def best(self, direction: Direction) -> float:
        """Return the best objective of the first fold so far."""
        return best_value(self.of_all_users(0).values(), direction)

    def best_epoch(self, direction: Direction) -> int:
        """Return the epoch with the best mean over the finished folds: common to all, or else the latest."""
        finished = [self.of_all_users(fold) for fold in sorted(self.users) if fold in self.curve]
        common = sorted(set.intersection(*map(set, finished))) or [max(map(max, finished))]
        best = common[0]
        for epoch in common[1:]:
            if is_better(_total(finished, epoch), _total(finished, best), direction):
                best = epoch
        return best


def _total(curves: Iterable[Mapping[int, float]], epoch: int) -> float:
    return math.fsum(by_epoch[epoch] for by_epoch in curves)


class EarlyStopping:
    """Decides whether a trial continues, is paused or is stopped, and which paused trial is resumed.

    It is the one place in memory that knows which trials are paused; others ask it.

    Parameters
    ----------
    halving, race_rule
        Settings of the rules; None switches a rule off.
    epochs
        Number of epochs of a trial, for rungs that the study does not name.
    n_folds
        Number of folds of a trial. After the last one there is no compute to save.
    direction
        Direction of the objective.
    complete
        Number of searched trials that complete, whatever the rules say.
    """

    def __init__(
        self,
        halving: Halving | None,
        race_rule: Race | None,
        *,
        epochs: int,
        n_folds: int,
        direction: Direction,
        complete: int = 0,
    ) -> None:
        self._halving = halving
        self._race = race_rule
        epochs_of_rungs = () if halving is None else halving.rungs or rungs_for(epochs)
        self._rungs = {epoch: Rung(epoch, direction) for epoch in epochs_of_rungs}
        self._within_fold = [rung for rung in self._rungs.values() if rung.epoch < epochs]
        self._epochs = epochs
        self._n_folds = n_folds
        self._direction = direction
        self._results: dict[int, _Results] = {}
        self._completed = Completed(complete)
        self._incumbent: tuple[int, float, int] | None = None  # number, objective, epoch of the objective
        self._complete: dict[int, tuple[float, int]] = {}  # feasible ones: objective and its epoch, by number
        self._excluded: set[int] = set()
        self._leaders: set[int] = set()
        self._decisions: dict[int, Decision] = {}  # the last one on each trial

    @property
    def pauses_at(self) -> tuple[int, ...]:
        """Epochs within the first fold at which a trial may be paused. It may also be paused at its end."""
        return tuple(epoch for epoch in self._rungs if epoch < self._epochs) if self._may_pause else ()

    @property
    def n_paused(self) -> int:
        """Number of paused trials."""
        return sum(rung.n_paused for rung in self._rungs.values())

    @property
    def paused(self) -> set[int]:
        """Numbers of the paused trials."""
        return {number for rung in self._rungs.values() for number in rung.paused}

    def begin(self, number: int) -> None:
        """Forget what an earlier attempt of a trial reported."""
        self._results[number] = _Results()
        self._leaders.discard(number)
        for rung in self._rungs.values():
            rung.forget(number)

    def evaluated(
        self, number: int, *, fold: int, epoch: int, value: float
    ) -> Stop | Pause | Decision | None:
        """Record an evaluation; return whether the trial pauses or stops at it, or is a leader.

        A resumed trial may report an evaluation a second time. It is not judged there again. A leader is not
        judged at the later rungs.
        """
        rung = self._record(number, fold, epoch, value)
        if rung is None or number in self._leaders:
            return None
        if self._goes_on(number, rung):
            return self._decisions[number] if self._leads(number, rung) else None
        return self._pause_or_stop(number, rung, fold, epoch)

    def _record(self, number: int, fold: int, epoch: int, value: float) -> Rung | None:
        """Record an evaluation; return the rung at which the trial is to be judged, if there is one."""
        results = self._results.setdefault(number, _Results())
        before = max(results.curve.get(fold, {}), default=0)
        results.curve.setdefault(fold, {})[epoch] = value
        return self._reach(number, fold, before, epoch)

    def lead(self, number: int) -> bool:
        """Whether a trial is a leader now, because it was promoted as the best at its rung."""
        decision = self._decisions.get(number)
        if decision is None or decision.kind != DecisionKind.PROMOTED or number in self._leaders:
            return False
        return self._leads(number, self._rungs[decision.rung])

    def _leads(self, number: int, rung: Rung) -> bool:
        """Whether a trial that continues from a rung is a leader. If it is, remember why."""
        if self._halving is None or not self._halving.leaders or rung.epoch >= self._epochs:
            return False
        if not leads(rung.place(number), len(rung), rung.epoch, self._epochs):
            return False
        self._leaders.add(number)
        self._decide(DecisionKind.LEADER, number, rung, self._kept(rung))
        return True

    def decision_on(self, number: int) -> Decision | None:
        """Return the last decision of halving on a trial, None if there was none."""
        return self._decisions.get(number)

    def _decide(self, kind: DecisionKind, number: int, rung: Rung, kept: int) -> None:
        self._decisions[number] = Decision(
            kind.value, rung.epoch, rung.value(number), rung.place(number), len(rung), kept
        )

    def _pause_or_stop(self, number: int, rung: Rung, fold: int, epoch: int) -> Stop | Pause | None:
        if self._may_pause:
            self._decide(DecisionKind.PAUSED, number, rung, self._kept(rung))
            return Pause(fold, epoch, rung.epoch)
        if self._completed.lacking:
            return None
        return Stop("halving", fold, epoch, self._evidence(number, rung, self._kept(rung)))

    @property
    def _may_pause(self) -> bool:
        return self._halving is not None and self._halving.resume is not None

    @property
    def _keep(self) -> float:
        return 1.0 if self._halving is None else self._halving.keep

    def _goes_on(self, number: int, rung: Rung) -> bool:
        grace = 1 if self._halving is None else self._halving.grace
        place, hold = rung.place(number), self._hold(rung)
        return goes_on(place, len(rung), self._keep, grace=grace, hold=hold)

    def _hold(self, rung: Rung) -> int:
        """Return how many trials have to reach a rung before one continues; 0 if they are not held."""
        held = self._halving is not None and self._may_pause and rung.epoch < self._epochs
        return self._halving.hold if held and self._halving is not None else 0

    def _kept(self, rung: Rung) -> int:
        """Return the number of trials that continue from a rung at once."""
        hold = self._hold(rung)
        return n_first(self._keep, len(rung), hold) if hold else n_kept(self._keep, len(rung))

    def _evidence(self, number: int, rung: Rung, kept: int) -> dict[str, float]:
        return {
            "value": rung.value(number),
            "place": rung.place(number),
            "n_trials": len(rung),
            "kept": kept,
            "rung": rung.epoch,
        }

    def _reach(self, number: int, fold: int, before: int, epoch: int) -> Rung | None:
        """Enter a trial at the rungs that it has reached; return the last one, if it is to be judged there.

        A trial whose first fold ended before a rung, by its patience, is entered at that rung too.
        """
        results = self._results[number]
        if fold and number in self._leaders and 0 not in results.users:
            return None  # its first fold has not ended
        if fold:
            late = [r for r in self._within_fold if number not in r and results.curve.get(0)]
            passed = [r for r in late if r.epoch > max(results.curve[0])]
        else:
            passed = [rung for rung in self._within_fold if before < rung.epoch <= epoch]
        for rung in passed:
            rung.reach(number, results.best(self._direction))
        return passed[-1] if passed and not fold else None

    def pause(self, number: int, rung: int) -> bool:
        """Mark a trial as paused at a rung; return False if the rules do not allow it.

        An earlier run of the study may have paused it by other rules.
        """
        if not self._may_pause or rung not in self._rungs or number not in self._rungs[rung]:
            return False
        self._rungs[rung].pause(number)
        return True

    def promote(self) -> int | None:
        """Choose a paused trial that is among the best by now, and unmark it; None if there is none.

        If there are several, it is the best one at the latest rung.
        """
        for rung in reversed(self._rungs.values()):
            best = rung.best_paused
            if best is not None and self._goes_on(best, rung):
                return self._unmark(best, rung, DecisionKind.PROMOTED, self._kept(rung))
        return None

    def _unmark(self, number: int, rung: Rung, kind: DecisionKind, kept: int) -> int:
        """Let a paused trial continue, and remember why."""
        self._decide(kind, number, rung, kept)
        rung.resume(number)
        return number

    def resume_best(self) -> int | None:
        """Choose the paused trial that continues when no new one may begin, and unmark it; None if none does.

        It is the one with the best place relative to the number of trials at its rung, within the share
        `resume`, and at least among the best `complete`.
        """
        best: tuple[float, int, int] | None = None
        for rung in self._rungs.values():
            number = rung.best_paused
            if number is not None and rung.place(number) <= self._n_resumed(rung):
                best = min(best or (1.0, 0, 0), (rung.place(number) / len(rung), -rung.epoch, number))
        if best is None or not best[1]:
            return None
        rung = self._rungs[-best[1]]
        return self._unmark(best[2], rung, DecisionKind.RESUMED, self._n_resumed(rung))

    def resume_lacking(self, n_running: int) -> int | None:
        """Choose a paused trial if too few are complete, and unmark it; None if enough are, or will be.

        It is the best one at the latest rung.

        Parameters
        ----------
        n_running
            Number of searched trials that run. Each of them may complete.
        """
        if self._completed.lacking <= n_running:
            return None
        for rung in reversed(self._rungs.values()):
            best = rung.best_paused
            if best is not None:
                return self._unmark(
                    best, rung, DecisionKind.RESUMED, max(rung.place(best), self._n_resumed(rung))
                )
        return None

    def stop_paused(self) -> list[tuple[int, Stop]]:
        """Unmark all paused trials, because the search ends; return each with the evidence against it."""
        stopped = []
        for rung in self._rungs.values():
            for number in rung.paused:
                evidence = self._evidence(number, rung, self._n_resumed(rung))
                stopped.append((number, Stop("halving", 0, max(self._results[number].curve[0]), evidence)))
                rung.resume(number)
        return stopped

    def _n_resumed(self, rung: Rung) -> int:
        resume = 0.0 if self._halving is None or self._halving.resume is None else self._halving.resume
        return max(n_kept(resume, len(rung)), self._completed.least)

    def fold_ended(self, number: int, users: Users) -> Stop | Pause | None:
        """Record the per-user values of a fold; return whether to pause or stop the trial after it."""
        results = self._results.setdefault(number, _Results())
        known = users.fold in results.users
        results.users[users.fold] = users
        if known or len(results.users) == self._n_folds:
            return None
        leader = number in self._leaders
        lost = None if leader else self._lost_race(number, users)
        rung = self._end_of_first_fold(number) if users.fold == 0 else None
        if lost is not None or rung is None or leader or self._goes_on(number, rung):
            return lost
        return self._pause_or_stop(number, rung, 0, max(users.epochs))

    def _end_of_first_fold(self, number: int) -> Rung | None:
        """Enter a trial at the rung at the end of the first fold; return that rung, None if there is none."""
        rung = self._rungs.get(self._epochs)
        if rung is not None and self._results[number].curve.get(0):
            rung.reach(number, self._results[number].best(self._direction))
            return rung
        return None

    def _lost_race(self, number: int, users: Users) -> Stop | None:
        """Compare a trial with the incumbent, over all folds so far."""
        if self._race is None or self._incumbent is None or self._completed.lacking:
            return None
        results = self._results[number]
        best, _, best_epoch = self._incumbent
        against = self._results[best].users
        if best == number or not against:
            return None
        epoch = results.best_epoch(self._direction)
        mine = {fold: values.at(epoch) for fold, values in results.users.items()}
        theirs = {fold: values.at(best_epoch) for fold, values in against.items()}
        evidence = race(mine, theirs, self._race, self._direction)
        if evidence is None:
            return None
        return Stop("race", users.fold, max(users.epochs), evidence | {"incumbent": best})

    def completed(self, number: int, *, value: float, epoch: int, feasible: bool = True) -> None:
        """Record a complete trial. It is the incumbent if it is feasible, and the best one so far."""
        if number in self._excluded:
            return
        self._completed.add(number, feasible=feasible)
        if not feasible:
            return
        self._complete[number] = (value, epoch)
        if self._incumbent is None or is_better(value, self._incumbent[1], self._direction):
            self._incumbent = (number, value, epoch)

    def exclude(self, number: int) -> None:
        """Compare no trial with this one any more. The caller has stopped it if it had not ended."""
        self._excluded.add(number)
        for rung in self._rungs.values():
            rung.forget(number)
        self._complete.pop(number, None)
        self._completed.remove(number)
        if self._incumbent is not None and self._incumbent[0] == number:
            self._incumbent = None
            for other, (value, epoch) in list(self._complete.items()):
                self.completed(other, value=value, epoch=epoch)

    def unpause(self, number: int) -> bool:
        """Unmark a paused trial, because a person stops it; return False if it is not paused here."""
        if number not in self.paused:
            return False
        for rung in self._rungs.values():
            rung.resume(number)
        return True

    def remember(self, number: int, curve: Iterable[tuple[int, int, float]], users: Iterable[Users]) -> None:
        """Record all that an earlier run of the study stored of a trial: (fold, epoch, objective), users."""
        if number in self._excluded:
            return
        for fold, epoch, value in curve:
            self._record(number, fold, epoch, value)
        results = self._results.setdefault(number, _Results())
        results.users.update({one.fold: one for one in users})
        if 0 in results.users:
            self._end_of_first_fold(number)
