"""The coordinator of a search: admits trials, hands events to their lives, and follows a shared study.

It connects `tuner.execution.tune_adapters`, which Ray Tune sees, with the rules of this package. It imports
no Ray: a replay of recorded curves or a test drives it in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tuner.search import events as on
from tuner.search.attempts import Attempts, RunningAttempt, begin_trial
from tuner.search.budgets import Budget
from tuner.search.capacity import Share
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effect_runner import EffectRunner, Sinks
from tuner.search.effects import Requeue
from tuner.search.events import Event
from tuner.search.fleet import Fleet
from tuner.search.lifecycle import Trial, handle
from tuner.search.reports import events_in, loss_of
from tuner.search.retries import Losses
from tuner.search.steering import Steering
from tuner.search.study_rules import StudyRules
from tuner.search.trial_queue import NextTrial, TrialQueue
from tuner.search.usage import NOTE_USAGE_SECONDS
from tuner.store import Asked, StudyStore
from tuner.trials.messages import EVALUATION, Job
from tuner.trials.outcomes import Stop
from tuner.trials.status import TrialStatus

__all__ = ["Coordinator", "NoTrial"]


class NoTrial(Enum):
    """Why no trial begins: only a running trial can bring another one, or the search ends."""

    WAIT = "wait"
    FINISHED = "finished"


@dataclass(frozen=True)
class _Given:
    """A trial that the store gave, or further folds of a running trial, that have not begun."""

    asked: Asked
    status: TrialStatus
    exclusive: bool
    share: Share
    folds: tuple[int, ...] = ()


class Coordinator:
    """Gives trials of a study, takes what becomes of them, and reports each trial exactly once.

    An attempt is known by an id that the caller chooses; Ray Tune chooses its own.

    Parameters
    ----------
    store
        The study.
    budget
        When the search ends. It knows what earlier runs have used.
    early_stopping
        Which trials are paused, resumed and stopped.
    rules, fleet, sinks
        What the study says, where trials run, and where results go.

    Attributes
    ----------
    interrupted
        Set to True to end the search: running trials end at once, and the next run continues them.
    error
        Set to an exception to end the search because of it.
    may_release_worker
        True if an idle worker may be released, because its machine would go with it and no trial begins until
        a running one reports. Never True for a shared study, where another driver may bring a trial.
    """

    def __init__(
        self,
        store: StudyStore,
        budget: Budget,
        early_stopping: EarlyStopping,
        *,
        rules: StudyRules,
        fleet: Fleet,
        sinks: Sinks,
    ) -> None:
        self.interrupted = False
        self.error: Exception | None = None
        self.may_release_worker = False
        self._store = store
        self._budget = budget
        self._early_stopping = early_stopping
        self._rules = rules
        self._fleet = fleet
        self._learn = sinks.learn
        self._queue = TrialQueue(early_stopping, n_queued=store.n_waiting(), n_searched=store.n_searched())
        self._effects = EffectRunner(
            store, budget, early_stopping, queue=self._queue, large=fleet.large, sinks=sinks
        )
        self._steering = Steering(store, budget, early_stopping, rules=rules, stop=self._stop_asked)
        self._attempts = Attempts()
        self._losses: dict[int, Losses] = {}
        self._given: _Given | None = None
        self._caught_up = time.perf_counter()
        self._continue_study()

    # ####  --------------  Earlier runs and other drivers  --------------  #### #

    def _continue_study(self) -> None:
        """Take over what dead drivers left: interrupted trials begin again, paused ones stay paused."""
        for number in self._store.interrupted():
            self._take_over(number, TrialStatus.RUNNING, on.DriverLost())
        if self._store.shared:  # paused trials of a dead driver come with the news of the interrupted ones
            return
        for number, pause in self._store.paused().items():
            if not self._early_stopping.pause(number, pause.rung):
                self._take_over(number, TrialStatus.PAUSED, on.RulesChanged())

    def _take_over(self, number: int, status: TrialStatus, event: Event) -> None:
        _, effects = handle(Trial(status, self._rules.goal), event)
        for effect in effects:
            assert isinstance(effect, Requeue), "nobody runs the trial"
            self._queue.requeue(number)

    def _catch_up(self) -> None:
        """Take what other drivers have done since the last time, if the study is shared."""
        if not self._store.shared:
            return
        given = set() if self._given is None else {self._given.asked.number}
        kept: dict[int, list[int]] = {number: [] for number in given | self._queue.kept}
        news = self._store.news(kept | self._attempts.running_indices)
        self._queue.renew(n_queued=news.waiting, n_searched=news.searched)
        for number in news.interrupted:
            self._take_over(number, news.records[number].status, on.DriverLost())
        self._budget.renew(news.records)
        for number in self._store.requests.excluded:
            self._budget.exclude(number)
        self._caught_up = time.perf_counter()
        for record in news.others:
            self._learn(record)

    # ####  --------------  The end of the search  --------------  #### #

    @property
    def hopeless(self) -> str | None:
        """Cause of failure if the first trials all failed in the same way, which ends the search."""
        return self._effects.hopeless

    @property
    def exhausted(self) -> bool:
        """Whether every point of the space has been tried."""
        return self._queue.exhausted

    @property
    def ending(self) -> bool:
        """Whether running trials are to stop at their next evaluation."""
        if self._ended:
            return True
        return self._budget.time_is_up(self._attempts.usage) is not None

    @property
    def ending_now(self) -> bool:
        """Whether running trials are to stop at once."""
        return self._ended or (self.ending and self._budget.grace_is_over)

    @property
    def _ended(self) -> bool:
        return self.interrupted or self.hopeless is not None or self.error is not None

    # ####  --------------  Admission  --------------  #### #

    def next_job(self, attempt_id: str) -> Job | NoTrial:
        """Begin the next trial under an attempt's id, while no other driver of the study begins one."""
        with self._store.turn():
            self._catch_up()
            self._steer()
            if self.ending:
                return NoTrial.FINISHED
            self._forget_ended()
            if self._is_full() or self._attempts.any_exclusive:
                return NoTrial.WAIT
            given = self._given or self._choose()
            if given is None and self._attempts:
                self.may_release_worker = self._fleet.capacity.may_go and not self._store.shared
                return NoTrial.WAIT
            if given is None:
                if self._steer(now=True):
                    return NoTrial.WAIT
                self._stop_paused()
                return NoTrial.FINISHED
            exclusive_waits = given.exclusive and bool(self._attempts)
            has_room = self._fleet.capacity.has_room(self._attempts.shares, given.share)
            self._given = given if exclusive_waits or not has_room else None
            return NoTrial.WAIT if self._given is not None else self._begin(attempt_id, given)

    @property
    def _n_running(self) -> int:
        """Number of searched trials that run here."""
        return sum(not one.trial.baseline for one in self._attempts.trials)

    def _forget_ended(self) -> None:
        """Forget folds that were about to begin, if their trial has ended or begins again."""
        given = self._given
        if given is not None and given.status is TrialStatus.RUNNING:
            running = self._attempts.running(given.asked.number)
            self._given = given if running is not None and running.asked is given.asked else None

    def _is_full(self) -> bool:
        """Whether no next trial can have room. A trial is chosen as late as possible."""
        shares = self._fleet.shares
        possible = [self._given.share] if self._given is not None else self._queue.possible(shares)
        running = self._attempts.shares
        return not any(self._fleet.capacity.has_room(running, share) for share in possible)

    def _choose(self) -> _Given | None:
        """Let the queue decide and the store give the trial; None if there is none."""
        end = self._budget.no_more(self._queue.n_searched)
        decision = self._queue.next(end, n_running=self._n_running)
        if decision is None:
            return None
        if decision.number is not None and decision.fold is not None:
            trial = self._attempts.running(decision.number)
            assert trial is not None, "folds of a trial leave the queue when it ends"
            return _Given(trial.asked, decision.status, False, trial.share, (decision.fold,))
        asked = self._ask(decision)
        if asked is None:
            self._queue.none_given()
            return self._choose()
        exclusive = decision.exclusive or self._fleet.large.holds(asked.params)
        share = self._fleet.shares.of(asked.params)
        return _Given(asked, decision.status, exclusive, share, self._first_folds(share, exclusive=exclusive))

    def _first_folds(self, share: Share, *, exclusive: bool) -> tuple[int, ...]:
        """Return the folds of a trial's first attempt: one fold, if other workers can take the others."""
        alone = exclusive or self._rules.folds_in_turn or not self._fleet.capacity.holds_several(share)
        return tuple(range(self._rules.n_folds if alone else 1))

    def _ask(self, decision: NextTrial) -> Asked | None:
        rules = self._rules
        if decision.number is not None:
            return self._store.ask_again(decision.number, rules.space, rules.n_folds, rules.finish)
        asked = self._store.ask(rules.space, rules.n_folds, rules.finish, rules.refuse)
        if asked is not None:
            self._queue.given(queued=asked.queued)
        return asked

    def _begin(self, attempt_id: str, given: _Given) -> Job:
        number, trial = given.asked.number, self._attempts.running(given.asked.number)
        if given.status is TrialStatus.RUNNING and trial is not None:
            attempt = trial.attempt(given.folds, self._store.begin_attempt(number))
        else:
            trial = begin_trial(
                given.asked,
                given.share,
                goal=self._rules.goal,
                status=given.status,
                exclusive=given.exclusive,
                pauses_at=self._early_stopping.pauses_at,
                losses=self._losses.get(number),
            )
            attempt = trial.attempt(given.folds, given.asked.attempt)
        self._attempts.add(attempt_id, attempt)
        self._handle(attempt, on.Started(attempt.folds))
        if given.status is TrialStatus.PAUSED and self._early_stopping.lead(number):
            self._handle(attempt, on.LeaderDecided())
        return attempt.job

    def _stop_paused(self) -> None:
        """Report the paused trials that are not to be resumed as stopped."""
        rules = self._rules
        for number, stop in self._early_stopping.stop_paused():
            asked = self._store.ask_again(number, rules.space, rules.n_folds, rules.finish)
            trial = begin_trial(asked, {}, goal=rules.goal, status=TrialStatus.PAUSED)
            self._handle(trial.attempt((), asked.attempt), on.SearchEnded(stop))

    # ####  --------------  Steering  --------------  #### #

    def _steer(self, *, only_here: bool = False, now: bool = False) -> bool:
        """Carry out what people have asked; return whether a trial may have been queued."""
        added = self._steering.carry_out(only_here=only_here, now=now)
        if added:
            self._queue.recount(self._store.n_waiting())
        return added

    def _stop_asked(self, number: int, only_here: bool) -> str | None:
        """Stop a trial; return what became of it, None if it cannot be stopped here now."""
        running = self._attempts.running(number)
        if running is not None:
            place = max(((seen.fold, seen.epoch) for seen in running.trial.evaluations), default=(0, 0))
            asked = on.StopAsked(Stop("request", *place, {}), running.seconds)
            self._handle(running.attempts[-1], asked)
            return f"trial {number} is stopped"
        refused = self._store.why_not_stopped(number)
        if refused is not None:
            return refused
        given = None if only_here else self._take(number)
        if given is None:
            return None
        trial = begin_trial(given.asked, {}, goal=self._rules.goal, status=given.status)
        pause = given.asked.pause
        place = (0, 0) if pause is None else (pause.fold, pause.epoch)
        stopped = on.StopAsked(Stop("request", *place, {}), trial.seconds)
        self._handle(trial.attempt((), given.asked.attempt), stopped)
        return f"trial {number} is stopped"

    def _take(self, number: int) -> _Given | None:
        """Take a trial that does not run here out of wherever it waits; None if it does not wait here."""
        given = self._given
        if given is not None and given.asked.number == number:
            self._given = None
            return given
        if self._early_stopping.unpause(number):
            status = TrialStatus.PAUSED
        elif self._queue.take(number):
            status = TrialStatus.INTERRUPTED
        elif self._store.claim(number):
            status = TrialStatus.QUEUED
            self._queue.recount(self._store.n_waiting())
        else:
            return None
        rules = self._rules
        asked = self._store.ask_again(number, rules.space, rules.n_folds, rules.finish)
        return _Given(asked, status, exclusive=False, share={})

    # ####  --------------  Reports and losses  --------------  #### #

    def report(self, attempt_id: str, result: Mapping[str, Any]) -> bool:
        """Take a report of a worker; return whether the worker is to end its work on the trial.

        Late reports from a superseded attempt are ignored: its id is not known any more.
        """
        self.may_release_worker = False
        attempt = self._attempts.get(attempt_id)
        if attempt is None or self.error is not None:
            return self.error is not None
        for event in events_in(attempt, result, self._fleet):
            self._handle(attempt, event)
        if EVALUATION in result and time.perf_counter() - self._caught_up >= NOTE_USAGE_SECONDS:
            self._catch_up()  # the hours that other drivers have used
        self._steer(only_here=self._store.shared)
        return attempt.stops or self.ending

    def lost_worker(self, attempt_id: str, text: str) -> None:
        """Let go of an attempt whose worker Ray has lost.

        Parameters
        ----------
        attempt_id
            The attempt.
        text
            Ray's error text.
        """
        attempt = self._let_go(attempt_id)
        if attempt is None:
            return
        self._handle(attempt, loss_of(attempt, text, self._fleet, self._rules.timeout))
        self._losses[attempt.job.number] = attempt.trial.losses

    def released(self, attempt_id: str) -> None:
        """Let go of an attempt that Ray Tune has ended without an error."""
        attempt = self._let_go(attempt_id)
        if attempt is not None:
            self._handle(attempt, on.Released(attempt.folds))

    def _let_go(self, attempt_id: str) -> RunningAttempt | None:
        self.may_release_worker = False
        attempt = self._attempts.pop(attempt_id)
        return None if self.error is not None else attempt

    def close(self) -> None:
        """Let go of the attempts that were stopped at once."""
        for attempt_id in self._attempts:
            self.released(attempt_id)

    def _handle(self, attempt: RunningAttempt, event: Event) -> None:
        """Hand an event to the life of a trial, and carry out its effects."""
        attempt.of.trial, effects = handle(attempt.trial, event)
        for effect in effects:
            further = self._effects.run(attempt, effect)
            if further is not None:
                self._handle(attempt, further)
