"""All rungs of a search: which trials continue from them, pause, lead, and are resumed, and why."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.config import Halving
from tuner.search.completed import Completed
from tuner.search.halving import Rung, at_evaluations, goes_on, leads, n_first, n_kept, rungs_for
from tuner.search.trial_results import TrialResults
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Decision, DecisionKind, Pause, Stop

__all__ = ["Rungs"]


class Rungs:
    """Applies the rules of `tuner.search.halving` to the trials of a search.

    It is the one place in memory that knows which trials are paused; others ask it.

    Parameters
    ----------
    halving
        Settings of halving; None switches it off.
    epochs
        Number of epochs of a trial, for rungs that the study does not name.
    evaluate_every
        Number of epochs between two evaluations of a trial.
    direction
        Direction of the objective.
    completed
        How many trials still have to complete, whatever halving says.
    """

    def __init__(
        self,
        halving: Halving | None,
        *,
        epochs: int,
        evaluate_every: int,
        direction: Direction,
        completed: Completed,
    ) -> None:
        self._halving = halving
        epochs_of_rungs = () if halving is None else halving.rungs or rungs_for(epochs)
        evaluated = at_evaluations(epochs_of_rungs, evaluate_every, epochs)
        self._rungs = {epoch: Rung(epoch, direction) for epoch in evaluated}
        self._within_fold = [rung for rung in self._rungs.values() if rung.epoch < epochs]
        self._epochs = epochs
        self._direction = direction
        self._completed = completed
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

    def is_leader(self, number: int) -> bool:
        """Whether a trial is a leader, which halving and the race do not judge any more."""
        return number in self._leaders

    def begin(self, number: int) -> None:
        """Forget what an earlier attempt of a trial reached."""
        self._leaders.discard(number)
        self.forget(number)

    def forget(self, number: int) -> None:
        """Remove a trial from all rungs."""
        for rung in self._rungs.values():
            rung.forget(number)

    # ####  --------------  A trial reaches a rung  --------------  #### #

    def reach(self, number: int, results: TrialResults, fold: int, before: int, epoch: int) -> Rung | None:
        """Enter a trial at the rungs that it has reached; return the last one, if it is to be judged there.

        A trial whose first fold ended before a rung, by its patience, is entered at that rung too.

        Parameters
        ----------
        number, results
            The trial and its reports.
        fold, before, epoch
            The fold of the last report, its last epoch before that report, and the epoch of the report.
        """
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

    def reach_end(self, number: int, results: TrialResults) -> Rung | None:
        """Enter a trial at the rung at the end of the first fold; return that rung, None if there is none."""
        rung = self._rungs.get(self._epochs)
        if rung is not None and results.curve.get(0):
            rung.reach(number, results.best(self._direction))
            return rung
        return None

    def goes_on(self, number: int, rung: Rung) -> bool:
        """Whether a trial continues from a rung, because it is among the best there by now."""
        grace = 1 if self._halving is None else self._halving.grace
        place, hold = rung.place(number), self._hold(rung)
        return goes_on(place, len(rung), self._keep, grace=grace, hold=hold)

    def pause_or_stop(self, number: int, rung: Rung, fold: int, epoch: int) -> Stop | Pause | None:
        """Return what becomes of a trial that does not continue; None if it has to continue all the same."""
        if self._may_pause:
            self._decide(DecisionKind.PAUSED, number, rung, self._kept(rung))
            return Pause(fold, epoch, rung.epoch)
        if self._completed.lacking:
            return None
        return Stop("halving", fold, epoch, self._evidence(number, rung, self._kept(rung)))

    # ####  --------------  Leaders and decisions  --------------  #### #

    def lead(self, number: int) -> bool:
        """Whether a trial is a leader now, because it was promoted as the best at its rung."""
        decision = self._decisions.get(number)
        if decision is None or decision.kind != DecisionKind.PROMOTED or number in self._leaders:
            return False
        return self.leads(number, self._rungs[decision.rung])

    def leads(self, number: int, rung: Rung) -> bool:
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

    # ####  --------------  Paused trials  --------------  #### #

    def pause(self, number: int, rung: int) -> bool:
        """Mark a trial as paused at a rung; return False if the rules do not allow it.

        An earlier run of the study may have paused it by other rules.
        """
        if not self._may_pause or rung not in self._rungs or number not in self._rungs[rung]:
            return False
        self._rungs[rung].pause(number)
        return True

    def unpause(self, number: int) -> bool:
        """Unmark a paused trial, because a person stops it; return False if it is not paused here."""
        if number not in self.paused:
            return False
        for rung in self._rungs.values():
            rung.resume(number)
        return True

    def promote(self) -> int | None:
        """Choose a paused trial that is among the best by now, and unmark it; None if there is none.

        If there are several, it is the best one at the latest rung.
        """
        for rung in reversed(self._rungs.values()):
            best = rung.best_paused
            if best is not None and self.goes_on(best, rung):
                return self._unmark(best, rung, DecisionKind.PROMOTED, self._kept(rung))
        return None

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

    def stop_paused(self, results: Mapping[int, TrialResults]) -> list[tuple[int, Stop]]:
        """Unmark all paused trials, because the search ends; return each with the evidence against it.

        Parameters
        ----------
        results
            Reports of all trials, by number.
        """
        stopped = []
        for rung in self._rungs.values():
            for number in rung.paused:
                evidence = self._evidence(number, rung, self._n_resumed(rung))
                stopped.append((number, Stop("halving", 0, max(results[number].curve[0]), evidence)))
                rung.resume(number)
        return stopped

    def _unmark(self, number: int, rung: Rung, kind: DecisionKind, kept: int) -> int:
        """Let a paused trial continue, and remember why."""
        self._decide(kind, number, rung, kept)
        rung.resume(number)
        return number

    # ####  --------------  Numbers of trials  --------------  #### #

    @property
    def _may_pause(self) -> bool:
        return self._halving is not None and self._halving.resume is not None

    @property
    def _keep(self) -> float:
        return 1.0 if self._halving is None else self._halving.keep

    def _hold(self, rung: Rung) -> int:
        """Return how many trials have to reach a rung before one continues; 0 if they are not held."""
        held = self._halving is not None and self._may_pause and rung.epoch < self._epochs
        return self._halving.hold if held and self._halving is not None else 0

    def _kept(self, rung: Rung) -> int:
        """Return the number of trials that continue from a rung at once."""
        hold = self._hold(rung)
        return n_first(self._keep, len(rung), hold) if hold else n_kept(self._keep, len(rung))

    def _n_resumed(self, rung: Rung) -> int:
        resume = 0.0 if self._halving is None or self._halving.resume is None else self._halving.resume
        return max(n_kept(resume, len(rung)), self._completed.least)

    def _evidence(self, number: int, rung: Rung, kept: int) -> dict[str, float]:
        return {
            "value": rung.value(number),
            "place": rung.place(number),
            "n_trials": len(rung),
            "kept": kept,
            "rung": rung.epoch,
        }
