"""The search: between Ray Tune, which asks for trials and brings results, and the store.

`StudySearcher` is thin on purpose. Each trial is told to the store exactly once; a trial whose worker
was lost is begun again under its number; nothing relies on Tune's own snapshots.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from ray.tune.search import Searcher

from tuner.artifacts import layout
from tuner.formatting import duration, size
from tuner.search.budgets import Budget
from tuner.search.capacity import Capacity, Share, Shares
from tuner.search.early_stopping import Referee
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.trial_queue import Turn, Turns
from tuner.space import Space, Value
from tuner.store import Asked, StudyStore
from tuner.training.memory import oom_kills
from tuner.trials.constraints import Constraint, broken
from tuner.trials.messages import BEGAN, DONE, EVALUATION, FAILED, USERS, Job, Place
from tuner.trials.objective import Direction, summarise
from tuner.trials.observer import Observer
from tuner.trials.outcomes import OUT_OF_MEMORY, PAUSED, TIMEOUT, Attempt, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Users
from tuner.trials.stored import TrialRecord

__all__ = ["StudySearcher", "fail_alike"]

logger = logging.getLogger(__name__)

_Done = TypeVar("_Done")
_Not = TypeVar("_Not")

#: Workers that may die under a trial in one run, by themselves and with their machines.
MAX_DEATHS, MAX_LOST_MACHINES = 3, 10
#: What Ray says of a worker that its memory monitor has killed.
KILLED_BY_RAY = "running low on memory"
#: What Ray says of a worker that was lost with its machine, or because it could no longer be reached.
LOST_MACHINE = (
    "node has died",
    "node is dead",
    "node was terminated",
    "node died",
    "preempt",
    "is dead or unavailable",
    "raylet",
    "missing too many heartbeats",
    "health check",
)
#: What Ray says of a worker that it cannot reach and does not yet know why; its machine is asked then.
UNKNOWN_WHY = "is unavailable"
#: Seconds of a trial that count for no budget when the driver is killed, beside those to its next evaluation.
NOTE_HELD_SECONDS = 60.0
#: Failures in a row, from the first trial on, after which a search is given up.
HOPELESS = 3


@dataclass
class _Live:
    """A trial that is running."""

    job: Job
    began: float
    baseline: bool
    alone: bool
    share: Share
    place: Place | None = None  # None while it waits for a machine
    evaluations: list[Evaluation] = field(default_factory=list)
    earlier: float = 0.0  # seconds until it rested
    told: bool = False  # whether this attempt has ended for the store
    charged: bool = False
    noted: float = 0.0  # seconds that the store knows of
    oom_kills: int = field(default_factory=oom_kills)
    lost: str = ""


class StudySearcher(Searcher):
    """Gives Ray Tune trials of a study, and the study their results.

    Parameters
    ----------
    store, space
        What is known, and what may be tried.
    budget
        When to end; knows what earlier runs have had.
    shares
        What trials hold of the machines.
    referee
        Tells which trials to stop early.
    keep_users
        Function of a trial's number and the per-user values of a fold that keeps them.
    drop_checkpoint
        Function of the number of a trial that has ended; what it would have gone on from is not needed.
    constraints
        A trial that breaks one is never the best.
    n_folds
        Seeds that a trial needs.
    objective, direction
        What decides.
    capacity
        Knows for how many trials there is room.
    finish
        From suggested params to full params.
    refuse
        From full params to why they cannot work, None if they may.
    large
        Knows which trials are to run alone.
    timeout
        Seconds after which a trial's worker ends itself.
    learn
        Function that takes what another driver of the study has recorded of a trial.
    answers
        Function that tells whether the machine of an attempt can still be reached.
    observers
        Are told of every event, in order.

    Attributes
    ----------
    spares_workers
        Whether a worker without a trial is of no use, and its machine would go without it: there is nothing
        to give until a trial that runs reports. Never of a shared study: another driver may bring something.
    """

    def __init__(
        self,
        store: StudyStore,
        space: Space,
        budget: Budget,
        *,
        shares: Shares,
        referee: Referee,
        keep_users: Callable[[int, Users], None],
        drop_checkpoint: Callable[[int], None],
        constraints: Sequence[Constraint] = (),
        n_folds: int,
        objective: str,
        direction: Direction,
        capacity: Capacity,
        finish: Callable[[Mapping[str, Value]], dict[str, Value]],
        refuse: Callable[[Mapping[str, Value]], str | None],
        large: LargeTrials,
        timeout: float | None = None,
        learn: Callable[[TrialRecord], None] = lambda _: None,
        answers: Callable[[Place], bool] = lambda _: True,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__()
        self.hopeless: str | None = None
        self.interrupted = False
        self.spares_workers = False
        self.error: Exception | None = None
        self._store = store
        self._budget = budget
        self._shares = shares
        self._referee = referee
        self._keep_users = keep_users
        self._drop_checkpoint = drop_checkpoint
        self._constraints = constraints
        self._objective = objective
        self._direction = direction
        self._capacity = capacity
        self._large = large
        self._timeout = timeout
        self._learn = learn
        self._answers = answers
        self._observers = observers
        self._turns = Turns(store, space, referee, large, n_folds=n_folds, finish=finish, refuse=refuse)
        self._live: dict[str, _Live] = {}
        self._deaths: Counter[int] = Counter()
        self._lost_machines: Counter[int] = Counter()
        self._caught_up = time.perf_counter()
        self._kinds: list[str | None] = [
            record.failure.kind if record.failure else None
            for record in store.records()
            if record.status.has_ended
        ]

    @property
    def exhausted(self) -> bool:
        """Whether every point of the space has been tried."""
        return self._turns.exhausted

    @property
    def ending(self) -> bool:
        """Whether running trials are to stop at their next evaluation."""
        if self._ended:
            return True
        running = [self._held_by(live) for live in self._live.values() if not live.charged]
        return self._budget.time_is_up(sum(running, Usage())) is not None

    @property
    def ending_now(self) -> bool:
        """Whether running trials are to stop where they are."""
        return self._ended or (self.ending and self._budget.grace_is_over)

    @property
    def _ended(self) -> bool:
        return self.interrupted or self.hopeless is not None or self.error is not None

    def _or_end(self, act: Callable[[], _Done], otherwise: _Not) -> _Done | _Not:
        """Act; an error ends the search and is kept, where Tune would pass on its text in one of its own."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001  # as above; `launch` raises it
            self.error = self.error or error
            return otherwise

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # Ray's own FINISHED is a str
        """Return the next trial, None to wait, or FINISHED."""
        return self._or_end(partial(self._suggest_in_turn, trial_id), Searcher.FINISHED)

    def _suggest_in_turn(self, trial_id: str) -> dict[str, Any] | str | None:
        """Suggest while no other driver of the study does, knowing what all of them have done."""
        with self._store.turn():
            self._catch_up()
            return self._suggest(trial_id)

    def _catch_up(self) -> None:
        """Take what other drivers have done since the last time, if the study has any."""
        if not self._store.shared:
            return
        running = {live.job.number for live in self._live.values() if not live.charged}
        news = self._store.news(running | self._turns.kept)
        self._turns.catch_up(news)
        self._budget.renew(news.records)
        self._caught_up = time.perf_counter()
        for record in news.others:
            self._learn(record)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.ending:
            return Searcher.FINISHED
        if self._full() or any(live.alone for live in self._live.values()):
            return None
        turn = self._turns.next(self._budget.no_more(self._turns.searched))
        if turn is None and self._live:
            self.spares_workers = self._capacity.may_go and not self._store.shared
            return None
        if turn is None:
            self._dismiss()
            return Searcher.FINISHED
        share = self._shares.of(turn.asked.params)
        if (turn.alone and self._live) or not self._capacity.has_room(self._running(), share):
            self._turns.hold(turn)
            return None
        return {"job": self._start(trial_id, turn, share)}

    def _running(self) -> list[Share]:
        return [live.share for live in self._live.values()]

    def _full(self) -> bool:
        """Whether the next trial can have no room; known before it is chosen, which is as late as may be."""
        running = self._running()
        possible = self._turns.possible(self._shares)
        return not any(self._capacity.has_room(running, share) for share in possible)

    def _start(self, trial_id: str, turn: Turn, share: Share) -> Job:
        live = _live(
            turn.asked, share, pauses_at=self._referee.pauses_at, alone=turn.alone, paused=turn.paused
        )
        self._live[trial_id] = live
        if turn.paused is None:
            self._referee.begins(live.job.number)
        for observer in self._observers:
            observer.started(live.job, again=turn.again)
        return live.job

    def _dismiss(self) -> None:
        """Tell the trials that rest and are not to be taken up any more."""
        for asked, pause, stop in self._turns.dismiss():
            live = _live(asked, {}, paused=pause)
            live.charged = True  # it did not run
            self._prune(live, stop)

    def take(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Write what a trial reports, once for each report; tell whether it is to stop there.

        The last report ends the trial.
        """
        self.spares_workers = False
        live = self._live.get(trial_id)
        if live is None or live.told or self.error is not None:
            return self.error is not None
        return self._or_end(partial(self._take, live, result), otherwise=True)

    def _take(self, live: _Live, result: dict[str, Any]) -> bool:
        verdict: Stop | Pause | None = None
        if BEGAN in result:
            self._placed(live, result[BEGAN])
        elif EVALUATION in result:
            verdict = self._evaluated(live, result[EVALUATION])
        elif USERS in result:
            self._keep_users(live.job.number, result[USERS])
            verdict = self._referee.fold_ended(live.job.number, result[USERS])
        if DONE in result:
            failure: Failure | None = result.get(FAILED)
            if failure is not None and failure.kind == OUT_OF_MEMORY:
                self._out_of_memory(live, failure, result[DONE])
            elif failure is not None:
                self._fail(live, failure, result[DONE])
            else:
                self._complete(live, result[DONE])
            return True  # so that Tune need not ask the worker once more to learn that there is nothing
        if live.baseline or verdict is None:
            return self.ending
        if isinstance(verdict, Pause):
            self._rest(live, verdict)
        else:
            self._prune(live, verdict)
        return True

    def _placed(self, live: _Live, place: Place) -> None:
        """Note where a trial runs; from here on it holds what it was given."""
        live.place, live.began = place, time.perf_counter()
        self._store.note_attempt(live.job.number, _attempt(live))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: `StopWhenAsked` has brought the result to `take`."""

    def lost(self, trial_id: str, words: str) -> None:
        """Note what Ray says of a worker that it has lost, just before `on_trial_complete`."""
        if trial_id in self._live:
            self._live[trial_id].lost = words

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # noqa: ARG002  # Ray's signature
        error: bool = False,
    ) -> None:
        """Let go of a trial; one whose worker was lost is begun again, up to a limit."""
        self.spares_workers = False
        live = self._live.pop(trial_id, None)
        if live is None or self.error is not None:
            return
        self._or_end(partial(self._charge, live), None)
        if live.told or not error or self.error is not None:
            return
        seconds = time.perf_counter() - live.began
        self._or_end(partial(self._lost_worker, live, seconds), None)

    def _lost_worker(self, live: _Live, seconds: float) -> None:
        number = live.job.number
        for_want_of_memory = KILLED_BY_RAY in live.lost or oom_kills() > live.oom_kills
        if not for_want_of_memory and self._machine_is_lost(live):
            self._lost_machine(live, seconds)
            return
        self._cut_off(live, "its worker died")
        self._deaths[number] += 1
        began = live.place is not None  # the worker's own clock began later
        if self._timeout is not None and began and seconds >= self._timeout:
            limit = duration(self._timeout)
            cause = f"took longer than training.timeout, {limit}; its log ends with where it was"
            self._fail(live, Failure(cause, TIMEOUT), seconds)
        elif for_want_of_memory:
            self._out_of_memory(
                live, Failure("its worker was killed for want of memory", OUT_OF_MEMORY), seconds
            )
        elif self._deaths[number] < MAX_DEATHS:
            logger.warning("trial %d lost its worker and is begun again", number)
            self._turns.begin_again(number)
        else:
            cause = f"its worker died {MAX_DEATHS} times; out of memory is the usual reason"
            self._fail(live, Failure(cause, "WorkerDied"), seconds)

    def _machine_is_lost(self, live: _Live) -> bool:
        if any(words in live.lost for words in LOST_MACHINE):
            return True
        return UNKNOWN_WHY in live.lost and live.place is not None and not self._answers(live.place)

    def _lost_machine(self, live: _Live, seconds: float) -> None:
        """Begin a trial again that is not to blame: its machine died, was taken away or cannot be reached."""
        number = live.job.number
        self._cut_off(live, "its machine was lost", by_machine=True)
        self._lost_machines[number] += 1
        if self._lost_machines[number] < MAX_LOST_MACHINES:
            logger.warning("trial %d lost its machine and is begun again", number)
            self._turns.begin_again(number)
        else:
            cause = f"its machines were lost {MAX_LOST_MACHINES} times"
            self._fail(live, Failure(cause, "MachineLost"), seconds)

    def _cut_off(self, live: _Live, lost: str, *, by_machine: bool = False) -> None:
        """Note why an attempt did not come to an end of its own."""
        self._store.note_attempt(live.job.number, replace(_attempt(live), lost=lost, by_machine=by_machine))

    def close(self) -> None:
        """Let go of the trials that have been ended where they were."""
        for trial_id in list(self._live):
            self.on_trial_complete(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        """Go empty into Tune's snapshot, which nothing reads back."""
        return {}

    def __deepcopy__(self, _memo: dict[int, object]) -> StudySearcher:
        """Stay the one searcher when Tune copies its configuration."""
        return self

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store is the truth, not Tune's snapshots."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, as `save`."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Do nothing, as `save`."""

    def _evaluated(self, live: _Live, evaluation: Evaluation) -> Stop | Pause | None:
        live.evaluations.append(evaluation)
        number = live.job.number
        self._store.report(number, evaluation, self._objective, int(str(live.job.params.get("epochs", 0))))
        if time.perf_counter() - live.began >= live.noted + NOTE_HELD_SECONDS:
            self._note_usage(live)
        if time.perf_counter() - self._caught_up >= NOTE_HELD_SECONDS:  # hours that others have held
            self._catch_up()
        for observer in self._observers:
            observer.evaluated(live.job, evaluation)
        value = evaluation.metrics[self._objective]
        return self._referee.evaluated(number, fold=evaluation.fold, epoch=evaluation.epoch, value=value)

    def _held_by(self, live: _Live) -> Usage:
        if live.place is None and not live.evaluations:
            return Usage()  # it waits for a machine
        seconds = time.perf_counter() - live.began
        return Usage(seconds * live.share.get("CPU", 0), seconds * live.share.get("GPU", 0))

    def _note_usage(self, live: _Live) -> Usage:
        usage = self._held_by(live)
        live.noted = time.perf_counter() - live.began
        self._store.note_usage(live.job.number, usage)
        return usage

    def _charge(self, live: _Live) -> None:
        """Settle, once, what this attempt has held; before its trial is told, for the store to take it."""
        if not live.charged:
            live.charged = True
            self._budget.use(self._note_usage(live))

    def _complete(self, live: _Live, seconds: float) -> None:
        live.told = True
        self._charge(live)
        self._drop_checkpoint(live.job.number)
        summary = summarise(live.evaluations, self._objective, self._direction)
        seconds += live.earlier
        self._store.complete(live.job.number, summary, seconds=seconds, log=_log_name(live.job))
        self._kinds.append(None)
        feasible = not broken(self._constraints, summary)
        if feasible:
            self._referee.completed(live.job.number, value=summary.mean, epoch=summary.epoch)
        self._budget.ended(live.job.number, summary.mean if feasible else None, baseline=live.baseline)
        for observer in self._observers:
            observer.finished(live.job, summary, seconds)

    def _rest(self, live: _Live, pause: Pause) -> None:
        live.told = True
        self._charge(live)
        self._cut_off(live, PAUSED)
        pause = replace(pause, seconds=round(_seconds(live), 3))
        self._turns.pause(live.job.number, pause)
        for observer in self._observers:
            observer.paused(live.job, pause)

    def _prune(self, live: _Live, stop: Stop) -> None:
        live.told = True
        self._charge(live)
        self._budget.ended(live.job.number, None, baseline=live.baseline)
        self._drop_checkpoint(live.job.number)
        seconds = _seconds(live)
        self._store.prune(live.job.number, stop=stop, seconds=seconds, log=_log_name(live.job))
        self._kinds.append(None)
        for observer in self._observers:
            observer.stopped(live.job, stop, seconds)

    def _out_of_memory(self, live: _Live, failure: Failure, seconds: float) -> None:
        """Give the trial the machine to itself; if it had that already, it has failed."""
        params = live.job.params
        self._charge(live)
        self._large.ran_out(params)
        if not live.alone:
            live.told = True
            self._cut_off(live, failure.cause)
            logger.warning("trial %d is begun again alone: %s", live.job.number, failure.cause)
            self._turns.begin_alone(live.job.number)
            return
        peak = max([failure.peak_memory or 0, *(e.peak_memory or 0 for e in live.evaluations)])
        gpu = max([failure.peak_gpu_memory or 0, *(e.peak_gpu_memory or 0 for e in live.evaluations)])
        needs = [
            f"{how} {size(amount)}"
            for how, amount in (
                ("estimated at", self._large.estimate(params)),
                ("its process had", peak),
                ("its tensors on the GPU had", gpu),
            )
            if amount
        ]
        cause = f"{failure.cause}; alone on the machine ({', '.join(needs)})"
        self._fail(live, replace(failure, cause=cause), seconds)

    def _fail(self, live: _Live, failure: Failure, seconds: float) -> None:
        live.told = True
        self._charge(live)
        self._drop_checkpoint(live.job.number)
        log = _log_name(live.job)
        self._store.fail(live.job.number, failure=failure, seconds=seconds, log=log)
        self._kinds.append(failure.kind)
        for observer in self._observers:
            observer.failed(live.job, failure.cause, log)
        if fail_alike(self._kinds):
            self.hopeless = failure.cause


def fail_alike(kinds: Sequence[str | None]) -> bool:
    """Whether a search is hopeless: all its trials so far failed, several of them, and all in one way.

    Parameters
    ----------
    kinds
        For each ended trial the kind of its failure, None if it was complete.
    """
    return len(kinds) >= HOPELESS and None not in kinds and len(set(kinds)) == 1


def _attempt(live: _Live) -> Attempt:
    """Return what is known of the attempt at a trial that is running."""
    place = live.place or Place("")
    began = time.time() - (time.perf_counter() - live.began)
    return Attempt(place.host, place.pid, began, live.share.get("CPU", 0), live.share.get("GPU", 0))


def _live(
    asked: Asked,
    share: Share,
    *,
    pauses_at: tuple[int, ...] = (),
    alone: bool = False,
    paused: Pause | None = None,
) -> _Live:
    """Return a trial as one that runs from now on."""
    baseline = asked.name is not None
    label = asked.name or str(asked.params["cls"]).rsplit(".", 1)[-1]
    job = Job(asked.number, asked.params, asked.seeds, label, () if baseline else pauses_at)
    earlier = 0.0 if paused is None else paused.seconds
    return _Live(job, time.perf_counter(), baseline=baseline, alone=alone, share=share, earlier=earlier)


def _seconds(live: _Live) -> float:
    """Return how long a trial has run, also before it rested."""
    return live.earlier + time.perf_counter() - live.began


def _log_name(job: Job) -> str:
    return layout.trial_log(job.number)
