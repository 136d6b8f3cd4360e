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

The rules are pure functions in `tuner.search.halving` and `tuner.search.race`. `tuner.search.rungs` and
`tuner.search.incumbent` hold the values that they compare. A search, or a replay of recorded curves, reports
to `EarlyStopping` in the order of events.
"""

from __future__ import annotations

from collections.abc import Iterable

from tuner.config import Halving, Race
from tuner.search.completed import Completed
from tuner.search.halving import Rung
from tuner.search.incumbent import Incumbent
from tuner.search.rungs import Rungs
from tuner.search.trial_results import TrialResults
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Decision, Pause, Stop
from tuner.trials.records import Users

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Decides whether a trial continues, is paused or is stopped, and which paused trial is resumed.

    Parameters
    ----------
    halving, race_rule
        Settings of the rules; None switches a rule off.
    epochs
        Number of epochs of a trial, for rungs that the study does not name.
    evaluate_every
        Number of epochs between two evaluations. A rung between them is at the next one.
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
        evaluate_every: int = 1,
        n_folds: int,
        direction: Direction,
        complete: int = 0,
    ) -> None:
        if halving is not None and n_folds == 1:  # a leader has no other folds that could begin
            halving = halving.model_copy(update={"leaders": False})
        self._n_folds = n_folds
        self._results: dict[int, TrialResults] = {}
        self._completed = Completed(complete)
        self._rungs = Rungs(
            halving,
            epochs=epochs,
            evaluate_every=evaluate_every,
            direction=direction,
            completed=self._completed,
        )
        self._incumbent = Incumbent(race_rule, direction)
        self._excluded: set[int] = set()

    # ####  --------------  Reports of a trial  --------------  #### #

    def begin(self, number: int) -> None:
        """Forget what an earlier attempt of a trial reported."""
        self._results[number] = TrialResults()
        self._rungs.begin(number)

    def evaluated(
        self, number: int, *, fold: int, epoch: int, value: float
    ) -> Stop | Pause | Decision | None:
        """Record an evaluation; return whether the trial pauses or stops at it, or is a leader.

        A resumed trial may report an evaluation a second time. It is not judged there again. A leader is not
        judged at the later rungs.
        """
        rung = self._record(number, fold, epoch, value)
        if rung is None or self._rungs.is_leader(number):
            return None
        if self._rungs.goes_on(number, rung):
            return self._rungs.decision_on(number) if self._rungs.leads(number, rung) else None
        return self._rungs.pause_or_stop(number, rung, fold, epoch)

    def _record(self, number: int, fold: int, epoch: int, value: float) -> Rung | None:
        """Record an evaluation; return the rung at which the trial is to be judged, if there is one."""
        results = self._results.setdefault(number, TrialResults())
        before = max(results.curve.get(fold, {}), default=0)
        results.curve.setdefault(fold, {})[epoch] = value
        return self._rungs.reach(number, results, fold, before, epoch)

    def fold_ended(self, number: int, users: Users) -> Stop | Pause | None:
        """Record the per-user values of a fold; return whether to pause or stop the trial after it."""
        results = self._results.setdefault(number, TrialResults())
        known = users.fold in results.users
        results.users[users.fold] = users
        if known or len(results.users) == self._n_folds:
            return None
        leader = self._rungs.is_leader(number)
        lost = (
            None if leader or self._completed.lacking else self._incumbent.beats(number, self._results, users)
        )
        rung = self._rungs.reach_end(number, results) if users.fold == 0 else None
        if lost is not None or rung is None or leader or self._rungs.goes_on(number, rung):
            return lost
        return self._rungs.pause_or_stop(number, rung, 0, max(users.epochs))

    def completed(self, number: int, *, value: float, epoch: int, feasible: bool = True) -> None:
        """Record a complete trial. It is the incumbent if it is feasible, and the best one so far."""
        if number in self._excluded:
            return
        self._completed.add(number, feasible=feasible)
        if feasible:
            self._incumbent.add(number, value, epoch)

    def exclude(self, number: int) -> None:
        """Compare no trial with this one any more. The caller has stopped it if it had not ended."""
        self._excluded.add(number)
        self._rungs.forget(number)
        self._completed.remove(number)
        self._incumbent.remove(number)

    def remember(self, number: int, curve: Iterable[tuple[int, int, float]], users: Iterable[Users]) -> None:
        """Record all that an earlier run of the study stored of a trial: (fold, epoch, objective), users."""
        if number in self._excluded:
            return
        for fold, epoch, value in curve:
            self._record(number, fold, epoch, value)
        results = self._results.setdefault(number, TrialResults())
        results.users.update({one.fold: one for one in users})
        if 0 in results.users:
            self._rungs.reach_end(number, results)

    # ####  --------------  Paused trials and leaders: see `tuner.search.rungs`  --------------  #### #

    @property
    def pauses_at(self) -> tuple[int, ...]:
        """Epochs within the first fold at which a trial may be paused. It may also be paused at its end."""
        return self._rungs.pauses_at

    @property
    def n_paused(self) -> int:
        """Number of paused trials."""
        return self._rungs.n_paused

    @property
    def paused(self) -> set[int]:
        """Numbers of the paused trials."""
        return self._rungs.paused

    def lead(self, number: int) -> bool:
        """Whether a trial is a leader now, because it was promoted as the best at its rung."""
        return self._rungs.lead(number)

    def decision_on(self, number: int) -> Decision | None:
        """Return the last decision of halving on a trial, None if there was none."""
        return self._rungs.decision_on(number)

    def pause(self, number: int, rung: int) -> bool:
        """Mark a trial as paused at a rung; return False if the rules do not allow it."""
        return self._rungs.pause(number, rung)

    def unpause(self, number: int) -> bool:
        """Unmark a paused trial, because a person stops it; return False if it is not paused here."""
        return self._rungs.unpause(number)

    def promote(self) -> int | None:
        """Choose a paused trial that is among the best by now, and unmark it; None if there is none."""
        return self._rungs.promote()

    def resume_best(self) -> int | None:
        """Choose the paused trial that continues when no new one may begin, and unmark it."""
        return self._rungs.resume_best()

    def resume_lacking(self, n_running: int) -> int | None:
        """Choose a paused trial if too few are complete, and unmark it; None if enough are, or will be."""
        return self._rungs.resume_lacking(n_running)

    def stop_paused(self) -> list[tuple[int, Stop]]:
        """Unmark all paused trials, because the search ends; return each with the evidence against it."""
        return self._rungs.stop_paused(self._results)
