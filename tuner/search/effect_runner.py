"""Carries out the effects of a trial's life: writes the store, charges the budget, notifies observers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatchmethod

from tuner.search import effects as do
from tuner.search import events as on
from tuner.search.attempts import RunningAttempt
from tuner.search.budgets import Budget, fail_alike
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effects import Effect
from tuner.search.events import Event
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.trial_queue import TrialQueue
from tuner.store import StudyStore
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Decision, Pause, Stop
from tuner.trials.records import Users
from tuner.trials.stored import TrialRecord

__all__ = ["EffectRunner", "Sinks"]

logger = logging.getLogger(__name__)


def _ignore(_record: TrialRecord) -> None:
    """Take a record, and do nothing."""


@dataclass(frozen=True)
class Sinks:
    """Where the results of trials go, besides the store.

    Attributes
    ----------
    keep_users
        Saves the per-user values of a fold; takes the trial number and the values.
    drop_checkpoint
        Deletes the checkpoints of a trial that has ended; takes the trial number.
    learn
        Takes the record of a trial that another driver of the study ran.
    observers
        Are notified of every event, in order.
    """

    keep_users: Callable[[int, Users], None]
    drop_checkpoint: Callable[[int], None]
    learn: Callable[[TrialRecord], None] = _ignore
    observers: Sequence[Observer] = ()


class EffectRunner:
    """Carries out effects.

    Parameters
    ----------
    store, budget, early_stopping, queue, large, sinks
        What the effects act on.

    Attributes
    ----------
    hopeless
        Cause of failure if the first trials all failed in the same way; else None.
    """

    def __init__(
        self,
        store: StudyStore,
        budget: Budget,
        early_stopping: EarlyStopping,
        *,
        queue: TrialQueue,
        large: LargeTrials,
        sinks: Sinks,
    ) -> None:
        self.hopeless: str | None = None
        self._failures: list[str | None] = [  # for each trial that has ended, None if it did not fail
            record.failure.kind if record.failure else None
            for record in store.records()
            if record.status.has_ended
        ]
        self._store = store
        self._budget = budget
        self._early_stopping = early_stopping
        self._queue = queue
        self._large = large
        self._sinks = sinks
        self._observers = sinks.observers

    def run(self, attempt: RunningAttempt, effect: Effect) -> Event | None:
        """Carry out an effect; return the event that it brings about, if any."""
        found: Event | None = self._run(effect, attempt)
        return found

    @singledispatchmethod
    def _run(self, effect: Effect, attempt: RunningAttempt) -> Event | None:
        msg = f"every effect must have a method here, but {effect} of trial {attempt.job.number} has none"
        raise NotImplementedError(msg)

    # ####  --------------  Store  --------------  #### #

    @_run.register
    def _write_attempt(self, effect: do.WriteAttempt, attempt: RunningAttempt) -> None:
        record = attempt.record(effect.lost, by_machine=effect.by_machine)
        self._store.note_attempt(attempt.job.number, record, attempt.index)

    @_run.register
    def _write_evaluation(self, effect: do.WriteEvaluation, attempt: RunningAttempt) -> None:
        attempt.meter.evaluated()
        job, objective = attempt.job, attempt.trial.goal.objective
        self._store.report(job.number, effect.evaluation, objective, int(str(job.params.get("epochs", 0))))
        if attempt.meter.is_due:
            self._store.note_usage(job.number, attempt.meter.note(), attempt.index)

    @_run.register
    def _write_pause(self, effect: do.WritePause, attempt: RunningAttempt) -> None:
        self._store.pause(attempt.job.number, effect.pause)
        self._early_stopping.pause(attempt.job.number, effect.pause.rung)

    @_run.register
    def _write_decision(self, _effect: do.WriteDecision, attempt: RunningAttempt) -> None:
        decision = self._early_stopping.decision_on(attempt.job.number)
        if decision is not None:
            self._store.note_decision(attempt.job.number, decision)

    @_run.register
    def _write_complete(self, effect: do.WriteComplete, attempt: RunningAttempt) -> None:
        self._store.complete(attempt.job.number, effect.summary, seconds=effect.seconds, log=attempt.of.log)
        self._failures.append(None)

    @_run.register
    def _write_stop(self, effect: do.WriteStop, attempt: RunningAttempt) -> None:
        self._store.prune(attempt.job.number, stop=effect.stop, seconds=effect.seconds, log=attempt.of.log)
        self._failures.append(None)

    @_run.register
    def _write_failure(self, effect: do.WriteFailure, attempt: RunningAttempt) -> None:
        number, failure = attempt.job.number, effect.failure
        self._store.fail(number, failure=failure, seconds=effect.seconds, log=attempt.log)
        self._failures.append(failure.kind)
        if fail_alike(self._failures):
            self.hopeless = failure.cause

    # ####  --------------  Budget, early stopping, memory  --------------  #### #

    @_run.register
    def _begin_meter(self, effect: do.BeginMeter, attempt: RunningAttempt) -> None:
        attempt.place = effect.place
        attempt.meter.begin()

    @_run.register
    def _charge(self, _effect: do.Charge, attempt: RunningAttempt) -> None:
        for one in attempt.of.running:
            self._charge_one(one)

    @_run.register
    def _charge_attempt(self, _effect: do.ChargeAttempt, attempt: RunningAttempt) -> None:
        self._charge_one(attempt)

    def _charge_one(self, attempt: RunningAttempt) -> None:
        usage = attempt.meter.note()
        self._store.note_usage(attempt.job.number, usage, attempt.index)
        self._budget.use(usage)
        attempt.charged = True

    @_run.register
    def _count_ended(self, effect: do.CountEnded, attempt: RunningAttempt) -> None:
        self._budget.ended(attempt.job.number, effect.value, baseline=attempt.trial.baseline)

    @_run.register
    def _forget_results(self, _effect: do.ForgetResults, attempt: RunningAttempt) -> None:
        self._early_stopping.begin(attempt.job.number)

    @_run.register
    def _judge(self, effect: do.Judge, attempt: RunningAttempt) -> Event | None:
        one, objective = effect.evaluation, attempt.trial.goal.objective
        verdict = self._early_stopping.evaluated(
            attempt.job.number, fold=one.fold, epoch=one.epoch, value=one.metrics[objective]
        )
        return _decided(attempt, verdict)

    @_run.register
    def _judge_fold(self, effect: do.JudgeFold, attempt: RunningAttempt) -> Event | None:
        return _decided(attempt, self._early_stopping.fold_ended(attempt.job.number, effect.users))

    @_run.register
    def _remember_complete(self, effect: do.RememberComplete, attempt: RunningAttempt) -> None:
        summary = effect.summary
        self._early_stopping.completed(
            attempt.job.number, value=summary.mean, epoch=summary.epoch, feasible=effect.feasible
        )

    @_run.register
    def _remember_large(self, _effect: do.RememberLarge, attempt: RunningAttempt) -> None:
        self._large.ran_out(attempt.job.params)

    # ####  --------------  Files, workers, queue  --------------  #### #

    @_run.register
    def _keep_users(self, effect: do.KeepUsers, attempt: RunningAttempt) -> None:
        self._sinks.keep_users(attempt.job.number, effect.users)

    @_run.register
    def _drop_checkpoint(self, _effect: do.DropCheckpoint, attempt: RunningAttempt) -> None:
        self._sinks.drop_checkpoint(attempt.job.number)

    @_run.register
    def _stop_worker(self, _effect: do.StopWorker, attempt: RunningAttempt) -> None:
        attempt.stops = True

    @_run.register
    def _stop_workers(self, _effect: do.StopWorkers, attempt: RunningAttempt) -> None:
        self._queue.drop_folds(attempt.job.number)
        for one in attempt.of.attempts:
            one.stops = True

    @_run.register
    def _queue_folds(self, effect: do.QueueFolds, attempt: RunningAttempt) -> None:
        self._queue.queue_folds(attempt.job.number, effect.folds)

    @_run.register
    def _requeue(self, effect: do.Requeue, attempt: RunningAttempt) -> None:
        self._queue.requeue(attempt.job.number, exclusive=effect.exclusive)

    # ####  --------------  Observers  --------------  #### #

    @_run.register
    def _notify_started(self, effect: do.NotifyStarted, attempt: RunningAttempt) -> None:
        for observer in self._observers:
            observer.started(attempt.job, again=effect.again)

    @_run.register
    def _notify_evaluated(self, effect: do.NotifyEvaluated, attempt: RunningAttempt) -> None:
        for observer in self._observers:
            observer.evaluated(attempt.job, effect.evaluation)

    @_run.register
    def _notify_fold_lost(self, effect: do.NotifyFoldLost, attempt: RunningAttempt) -> None:
        job, fold = attempt.job, effect.fold
        logger.warning("fold %d of trial %d begins again: %s", fold + 1, job.number, effect.because)
        for observer in self._observers:
            observer.fold_lost(job, fold, effect.because)

    @_run.register
    def _notify_interrupted(self, effect: do.NotifyInterrupted, attempt: RunningAttempt) -> None:
        logger.warning("trial %d begins again: %s", attempt.job.number, effect.because)
        for observer in self._observers:
            observer.interrupted(attempt.job, effect.because)

    @_run.register
    def _notify_finished(self, effect: do.NotifyFinished, attempt: RunningAttempt) -> None:
        for observer in self._observers:
            observer.finished(attempt.job, effect.summary, effect.seconds)

    @_run.register
    def _notify_paused(self, effect: do.NotifyPaused, attempt: RunningAttempt) -> None:
        for observer in self._observers:
            observer.paused(attempt.job, effect.pause)

    @_run.register
    def _notify_stopped(self, effect: do.NotifyStopped, attempt: RunningAttempt) -> None:
        for observer in self._observers:
            observer.stopped(attempt.job, effect.stop, effect.seconds)

    @_run.register
    def _notify_failed(self, effect: do.NotifyFailed, attempt: RunningAttempt) -> None:
        for observer in self._observers:
            observer.failed(attempt.job, effect.cause, attempt.log)


def _decided(attempt: RunningAttempt, verdict: Pause | Stop | Decision | None) -> Event | None:
    if isinstance(verdict, Decision):
        return on.LeaderDecided()
    if isinstance(verdict, Pause):
        return on.PauseDecided(replace(verdict, seconds=round(attempt.of.seconds, 3)))
    return None if verdict is None else on.StopDecided(verdict, attempt.of.seconds, attempt.folds)
