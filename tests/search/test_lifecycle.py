"""The life of a trial: each (status, event), and random lives of whole studies against a real store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tuner.config import Halving, Race, Search
from tuner.search import effects as do
from tuner.search import events as on
from tuner.search.budgets import Budget
from tuner.search.capacity import Capacity, Shares
from tuner.search.coordinator import Coordinator, NoTrial
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effect_runner import Sinks
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.fleet import Fleet
from tuner.search.lifecycle import TRANSITIONS, Goal, Trial, UnknownTransitionError, handle
from tuner.search.retries import MAX_DEATHS, MAX_LOST_MACHINES, Cause, Losses, failure_of
from tuner.search.study_rules import StudyRules
from tuner.space import Float, Space
from tuner.store import StudyStore
from tuner.store.locking.drivers import Hold, hold_by_files
from tuner.trials.messages import BEGAN, DONE, EVALUATION, FAILED, USERS, Job, Place
from tuner.trials.observer import Observer
from tuner.trials.outcomes import OUT_OF_MEMORY, TIMEOUT, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Users
from tuner.trials.requests import Request, RequestKind
from tuner.trials.schema import excluded_key, pending_requests, request_key
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

S = TrialStatus
GOAL = Goal("NDCG@10", "maximize")

# ####  --------------  Each pair  --------------  #### #

STOP = Stop("race", 0, 1, {})
ASKED = Stop("request", 0, 1, {})
EVALUATED = Evaluation(0, 1, {"NDCG@10": 0.5})
FIRST, SECOND = frozenset({0}), frozenset({1})
NO_MEMORY = Failure("no memory", OUT_OF_MEMORY)
EVENTS: list[on.Event] = [
    on.Started(FIRST),
    on.Placed(Place("here")),
    on.Evaluated(EVALUATED),
    on.FoldMeasured(Users(0, (1,), np.zeros((1, 2), dtype=np.float32))),
    on.PauseDecided(Pause(0, 1, 1)),
    on.LeaderDecided(),
    on.StopDecided(STOP, 1.0, FIRST),
    on.StopAsked(ASKED, 1.0),
    on.Measured(FIRST, 1.0),
    on.Failed(FIRST, Failure("no", "ValueError"), 1.0),
    on.OutOfMemory(FIRST, NO_MEMORY, 1.0),
    on.WorkerLost(FIRST, Cause.WORKER, failure_of(Cause.WORKER), 1.0),
    on.Released(FIRST),
    on.DriverLost(),
    on.RulesChanged(),
    on.SearchEnded(STOP),
]
#: The statuses after each event, as the picture in `TrialStatus` has them; other pairs are refused.
AFTER: dict[tuple[TrialStatus, type[on.Event]], TrialStatus] = {
    (S.QUEUED, on.Started): S.RUNNING,
    (S.INTERRUPTED, on.Started): S.RUNNING,
    (S.PAUSED, on.Started): S.RUNNING,
    (S.PAUSED, on.SearchEnded): S.STOPPED,
    (S.PAUSED, on.DriverLost): S.INTERRUPTED,
    (S.PAUSED, on.RulesChanged): S.INTERRUPTED,
    (S.RUNNING, on.Started): S.RUNNING,
    (S.RUNNING, on.LeaderDecided): S.RUNNING,
    (S.RUNNING, on.Placed): S.RUNNING,
    (S.RUNNING, on.Evaluated): S.RUNNING,
    (S.RUNNING, on.FoldMeasured): S.RUNNING,
    (S.RUNNING, on.PauseDecided): S.PAUSED,
    (S.RUNNING, on.StopDecided): S.STOPPED,
    **{(status, on.StopAsked): S.STOPPED for status in (S.QUEUED, S.RUNNING, S.PAUSED, S.INTERRUPTED)},
    (S.RUNNING, on.Measured): S.COMPLETE,
    (S.RUNNING, on.Failed): S.FAILED,
    (S.RUNNING, on.OutOfMemory): S.INTERRUPTED,
    (S.RUNNING, on.WorkerLost): S.INTERRUPTED,
    (S.RUNNING, on.Released): S.INTERRUPTED,
    (S.RUNNING, on.DriverLost): S.INTERRUPTED,
}
LATE = (
    on.Placed,
    on.Evaluated,
    on.FoldMeasured,
    on.Measured,
    on.Failed,
    on.OutOfMemory,
    on.WorkerLost,
    on.Released,
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("status", TrialStatus)
def test_each_status_and_event_is_in_the_table_or_refused(status: TrialStatus, event: on.Event) -> None:
    trial = Trial(
        status, GOAL, evaluations=(EVALUATED,), running=FIRST if status is S.RUNNING else frozenset()
    )
    if type(event) in LATE and status in {S.PAUSED, S.INTERRUPTED, S.STOPPED, S.COMPLETE, S.FAILED}:
        assert handle(trial, event) == (trial, []), "a late report"
    elif (expected := AFTER.get((status, type(event)))) is not None:
        assert handle(trial, event)[0].status is expected
    else:
        with pytest.raises(UnknownTransitionError, match=rf"\({status}, {type(event).__name__}"):
            handle(trial, event)


def test_the_pairs_name_every_event() -> None:
    assert {type(event) for event in EVENTS} == set(on.Event.__subclasses__())
    assert {event for _, event in TRANSITIONS} == set(on.Event.__subclasses__())


@pytest.mark.parametrize(
    ("cause", "before", "exclusive", "after"),
    [
        (Cause.WORKER, Losses(workers=MAX_DEATHS - 2), False, S.INTERRUPTED),
        (Cause.WORKER, Losses(workers=MAX_DEATHS - 1), False, S.FAILED),
        (Cause.MACHINE, Losses(machines=MAX_LOST_MACHINES - 2), False, S.INTERRUPTED),
        (Cause.MACHINE, Losses(workers=MAX_DEATHS - 1), False, S.INTERRUPTED),
        (Cause.MACHINE, Losses(machines=MAX_LOST_MACHINES - 1), False, S.FAILED),
        (Cause.MEMORY, Losses(workers=MAX_DEATHS), False, S.INTERRUPTED),
        (Cause.MEMORY, Losses(), True, S.FAILED),
        (Cause.TIMEOUT, Losses(), False, S.FAILED),
    ],
)
def test_a_lost_worker_is_the_end_of_a_trial_only_at_the_limits(
    cause: Cause, before: Losses, exclusive: bool, after: TrialStatus
) -> None:
    trial = Trial(S.RUNNING, GOAL, exclusive=exclusive, losses=before, running=FIRST)
    lost = on.WorkerLost(FIRST, cause, failure_of(cause, timeout=1.0), 1.0)
    assert handle(trial, lost)[0].status is after


def test_a_baseline_takes_no_part_in_early_stopping() -> None:
    trial = Trial(S.RUNNING, GOAL, baseline=True, evaluations=(EVALUATED,), running=FIRST)
    for event in EVENTS:
        if (S.RUNNING, type(event)) in TRANSITIONS:
            judged = (do.Judge, do.JudgeFold, do.RememberComplete)
            assert not [one for one in handle(trial, event)[1] if isinstance(one, judged)]
    assert handle(trial, on.PauseDecided(Pause(0, 1, 1))) == (trial, [])
    assert handle(trial, on.StopDecided(STOP, 1.0, FIRST)) == (trial, [])


@pytest.mark.parametrize("status", [S.QUEUED, S.RUNNING, S.PAUSED, S.INTERRUPTED])
def test_a_person_may_stop_a_baseline_too_and_only_a_running_trial_is_charged(status: TrialStatus) -> None:
    trial, effects = handle(Trial(status, GOAL, baseline=True, earlier=3.0), on.StopAsked(ASKED, 5.0))
    runs = status is S.RUNNING
    assert trial.status is S.STOPPED
    assert do.WriteStop(ASKED, 5.0 if runs else 3.0) in effects
    assert (do.Charge() in effects, do.StopWorkers() in effects) == (runs, runs)


def run_of(*events: on.Event, folds: int = 3, baseline: bool = False) -> tuple[Trial, list[do.Effect]]:
    """Return a trial after some events, and the effects of the last one."""
    trial = Trial(S.QUEUED, GOAL, baseline=baseline, waiting=frozenset(range(folds)))
    effects: list[do.Effect] = []
    for event in events:
        trial, effects = handle(trial, event)
    return trial, effects


BEGUN = (on.Started(FIRST), on.Evaluated(EVALUATED))
BOTH = (*BEGUN, on.Measured(FIRST, 1.0), on.Started(SECOND), on.Started(frozenset({2})))


def evaluated(fold: int) -> on.Evaluated:
    return on.Evaluated(Evaluation(fold, 1, {"NDCG@10": 0.5 + fold}))


def test_the_other_folds_are_queued_once_after_the_first_or_when_the_trial_leads() -> None:
    assert do.QueueFolds((1, 2)) in run_of(*BEGUN, on.Measured(FIRST, 1.0))[1]
    assert do.QueueFolds((1, 2)) in run_of(*BEGUN, on.LeaderDecided())[1]
    trial, effects = run_of(*BEGUN, on.LeaderDecided(), on.Started(SECOND), on.Measured(FIRST, 1.0))
    assert effects == [do.ChargeAttempt(), do.StopWorker()]
    assert (trial.running, trial.waiting) == (SECOND, {2})
    assert do.QueueFolds((1, 2)) in run_of(on.Started(FIRST), baseline=True)[1], "a baseline is never judged"


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_trial_completes_with_its_last_fold_in_any_order_and_lasts_the_sum_of_its_attempts(
    order: tuple[int, int],
) -> None:
    last = [event for fold in order for event in (evaluated(fold), on.Measured(frozenset({fold}), 2.0))]
    trial, effects = run_of(*BOTH, *last)
    assert trial.status is S.COMPLETE
    (complete,) = [one for one in effects if isinstance(one, do.WriteComplete)]
    assert complete.seconds == 5.0
    assert [fold["NDCG@10"] for fold in complete.summary.folds] == [0.5, 1.5, 2.5]
    assert run_of(*BOTH, *last[:-1])[0].status is S.RUNNING


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (on.Failed(SECOND, Failure("no", "ValueError"), 1.0), S.FAILED),
        (on.OutOfMemory(SECOND, NO_MEMORY, 1.0), S.INTERRUPTED),
        (on.WorkerLost(SECOND, Cause.TIMEOUT, failure_of(Cause.TIMEOUT, timeout=1.0), 1.0), S.FAILED),
        (on.StopDecided(STOP, 1.0, SECOND), S.STOPPED),
        (on.StopAsked(ASKED, 1.0), S.STOPPED),
    ],
)
def test_one_of_several_attempts_ends_the_trial_once_and_stops_the_others(
    event: on.Event, after: TrialStatus
) -> None:
    trial, effects = run_of(*BOTH, event)
    assert trial.status is after
    assert do.Charge() in effects
    assert do.StopWorkers() in effects
    for late in (evaluated(2), on.Failed(frozenset({2}), Failure("no", "ValueError"), 1.0)):
        assert handle(trial, late) == (trial, [])
    after_it = handle(trial, on.Released(frozenset({2})))[1]
    assert after_it == ([] if after is S.INTERRUPTED else [do.DropCheckpoint()]), "it may have written one"


def test_a_lost_worker_of_several_begins_only_its_own_fold_again() -> None:
    lost = on.WorkerLost(SECOND, Cause.WORKER, failure_of(Cause.WORKER), 1.0)
    trial, effects = run_of(*BOTH, lost)
    assert (trial.status, trial.waiting) == (S.RUNNING, SECOND)
    assert [one.folds for one in effects if isinstance(one, do.QueueFolds)] == [(1,)]
    assert do.NotifyFoldLost(1, "its worker died") in effects
    trial, effects = handle(trial, replace(lost, folds=frozenset({2})))
    assert trial.status is S.INTERRUPTED, "nobody runs it"
    assert do.StopWorkers() in effects, "no queued fold of it begins"
    assert effects[-2:] == [do.Requeue(), do.NotifyInterrupted("its worker died")]


def test_a_trial_is_interrupted_when_the_last_of_its_attempts_is_released() -> None:
    trial, effects = run_of(*BOTH, on.Released(SECOND))
    assert (trial.status, effects) == (S.RUNNING, [do.ChargeAttempt()])
    trial, effects = handle(trial, on.Released(frozenset({2})))
    assert (trial.status, effects) == (S.INTERRUPTED, [do.Charge()])


# ####  --------------  Whole studies  --------------  #### #

EPOCHS, FOLDS, TRIALS, SLOTS, SEED, COMPLETE = 2, 3, 6, 3, 7, 3
REPORTS = 1 + FOLDS * (EPOCHS + 1)  # of a worker that evaluates all folds
SPACE = Space({"cls": "rectools.models.SASRecModel", "lr": Float(0.0, 1.0)})
BASELINE = ("popular", {"cls": "rectools.models.PopularModel", "lr": 0.0}, None)
RULES = StudyRules(
    SPACE,
    GOAL,
    n_folds=FOLDS,
    finish=lambda params: {**params, "epochs": EPOCHS},
    refuse=lambda _: None,
    timeout=3600.0,
)
PAUSES, PAUSES_LATE = Halving(keep=0.25, grace=2), Halving(rungs=(2,), keep=0.25, grace=2)
HALVINGS = [PAUSES, PAUSES_LATE, Halving(keep=0.5, grace=2), Halving(resume=None, grace=2), None]
LOST_TEXTS = {"worker": "", "machine": "because its node has died.", "memory": "running low on memory"}


@dataclass
class _Attempt:
    """What a worker does, as a test plays it."""

    driver: _Driver
    job: Job
    reports: Iterator[dict[str, Any]]
    ends: bool = False  # whether it was told to stop, and Tune has not let go of it


class _Driver(Observer):
    """A driver of the study, with a coordinator of its own."""

    def __init__(self, study: optuna.Study, folder: Path, halving: Halving | None, *, shared: bool) -> None:
        self.reported: Counter[int] = Counter()
        self._life = ExitStack()
        hold: Hold | None = None
        if shared:
            hold = self._life.enter_context(hold_by_files(folder, ".lock", source="it", shared=True))
        self.store = StudyStore(study, SEED, hold)
        self.store.add_baselines([BASELINE])
        self.early_stopping = EarlyStopping(
            halving, Race(z=2), epochs=EPOCHS, n_folds=FOLDS, direction="maximize", complete=COMPLETE
        )
        for record in self.store.records():
            self._learn(record)
        self.budget = Budget(Search(trials=TRIALS), objective="NDCG@10", direction="maximize")
        self.budget.remember(self.store.records())
        self.coordinator = Coordinator(
            self.store,
            self.budget,
            self.early_stopping,
            rules=RULES,
            fleet=Fleet(Shares.alike({"CPU": 1}), Capacity.of(SLOTS), LargeTrials(lambda _: None)),
            sinks=Sinks(lambda *_: None, lambda _: None, learn=self._learn, observers=[self]),
        )

    def _learn(self, record: TrialRecord) -> None:
        if record.name is None:
            curve = [(e.fold, e.epoch, e.metrics["NDCG@10"]) for e in record.evaluations]
            self.early_stopping.remember(record.number, curve, [])
        if record.name is None and record.summary is not None:
            summary = record.summary
            self.early_stopping.completed(record.number, value=summary.mean, epoch=summary.epoch)

    def die(self) -> None:
        """End as a killed process does: its locks are released, and nothing else happens."""
        self._life.close()

    def finished(self, job: Job, *_: object) -> None:
        self.reported[job.number] += 1

    stopped = failed = finished


def _reports(job: Job) -> Iterator[dict[str, Any]]:
    """Give what a worker reports of a trial; the early epochs of a good one mislead."""
    level = float(str(job.params["lr"]))
    yield {BEGAN: Place("host", "node", 1)}
    assert job.folds is not None
    for fold in job.folds:
        for epoch in range(1, EPOCHS + 1):
            value = level * epoch / EPOCHS if level > 0.6 else 0.5 * level
            yield {EVALUATION: Evaluation(fold, epoch, {"NDCG@10": value})}
        users = {USERS: Users(fold, (EPOCHS,), np.array([[value, value / 2]], dtype=np.float32))}
        yield users | ({DONE: 1.0} if fold == job.folds[-1] else {})


class Lives(RuleBasedStateMachine):
    """One study, run by one driver or by two, with whatever may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._place = TemporaryDirectory()
        self._study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.RandomSampler(seed=SEED)
        )
        self._drivers: list[_Driver] = []
        self._attempts: dict[str, _Attempt] = {}
        self._gone: list[tuple[_Driver, str]] = []
        self._points: dict[int, tuple[dict[str, Any], tuple[int, ...]]] = {}
        self._ended: dict[int, object] = {}
        self._reported: Counter[int] = Counter()
        self._n = self._added = self._asked = 0

    @initialize(shared=st.booleans(), halving=st.sampled_from(HALVINGS[:3]))
    def open(self, shared: bool, halving: Halving | None) -> None:
        self._shared, self._halving = shared, halving
        for _ in range(1 + shared):
            self._drivers.append(self._new_driver())

    def _new_driver(self) -> _Driver:
        return _Driver(self._study, Path(self._place.name), self._halving, shared=self._shared)

    # What may happen

    @rule(which=st.integers(0, 1))
    def begin(self, which: int) -> None:
        self._begin(self._drivers[which % len(self._drivers)])

    def _begin(self, driver: _Driver) -> bool:
        self._n += 1
        job = driver.coordinator.next_job(str(self._n))
        if not isinstance(job, Job):
            return job is NoTrial.FINISHED
        point = (dict(job.params), job.seeds)
        assert self._points.setdefault(job.number, point) == point, "params and seeds never change"
        running = [one for one in self._attempts.values() if not one.ends and one.job.number == job.number]
        assert all(one.driver is driver for one in running), "one driver has all folds of a trial"
        folds = [fold for one in running for fold in one.job.folds or ()]
        assert not {*folds} & {*(job.folds or ())}, "a fold runs once at a time"
        self._attempts[str(self._n)] = _Attempt(driver, job, _reports(job))
        return False

    @precondition(lambda self: self._attempts)
    @rule(data=st.data(), times=st.integers(1, 7))
    def evaluate(self, data: st.DataObject, times: int) -> None:
        attempt_id, attempt = self._draw(data)
        for _ in range(times):
            self._report(attempt_id, attempt)

    @precondition(lambda self: self._drivers)
    @rule(times=st.integers(1, 4))
    def work(self, times: int) -> None:
        """Let all drivers and workers go on for a while undisturbed."""
        for _ in range(times):
            for driver in self._drivers:
                self._begin(driver)
            for attempt_id, attempt in self._attempts.items():
                self._report(attempt_id, attempt)
            self.let_go()

    def _draw(self, data: st.DataObject) -> tuple[str, _Attempt]:
        return data.draw(st.sampled_from(sorted(self._attempts.items(), key=lambda item: int(item[0]))))

    def _report(self, attempt_id: str, attempt: _Attempt) -> None:
        report = next(attempt.reports, None)
        if report is not None:
            attempt.ends = attempt.driver.coordinator.report(attempt_id, report) or attempt.ends

    @precondition(lambda self: any(one.ends for one in self._attempts.values()))
    @rule()
    def let_go(self) -> None:
        for attempt_id in [one for one, attempt in self._attempts.items() if attempt.ends]:
            attempt = self._forget(attempt_id)
            attempt.driver.coordinator.released(attempt_id)

    def _forget(self, attempt_id: str) -> _Attempt:
        attempt = self._attempts.pop(attempt_id)
        self._gone.append((attempt.driver, attempt_id))
        return attempt

    @precondition(lambda self: self._attempts)
    @rule(data=st.data(), how=st.sampled_from(sorted(LOST_TEXTS)))
    def lose(self, data: st.DataObject, how: str) -> None:
        attempt_id, _ = self._draw(data)
        self._forget(attempt_id).driver.coordinator.lost_worker(attempt_id, LOST_TEXTS[how])

    @precondition(lambda self: self._attempts)
    @rule(data=st.data())
    def take_too_long(self, data: st.DataObject) -> None:
        attempt_id, attempt = self._draw(data)
        coordinator = attempt.driver.coordinator
        self._report(attempt_id, attempt)
        coordinator._attempts.get(attempt_id).meter._began -= 3600.0
        self._forget(attempt_id)
        coordinator.lost_worker(attempt_id, "")

    @precondition(lambda self: self._attempts)
    @rule(data=st.data(), kind=st.sampled_from(["ValueError", OUT_OF_MEMORY, TIMEOUT]))
    def fail(self, data: st.DataObject, kind: str) -> None:
        attempt_id, attempt = self._draw(data)
        kind = f"{kind}{attempt_id}" if kind == "ValueError" else kind
        report = {FAILED: Failure("it failed", kind), DONE: 1.0}
        attempt.ends = attempt.driver.coordinator.report(attempt_id, report) or attempt.ends

    @rule(number=st.integers(0, TRIALS + 2))
    def ask_to_stop(self, number: int) -> None:
        self._ask(RequestKind.STOP, trial=number)

    @precondition(lambda self: self._added < 2)
    @rule(lr=st.floats(0.0, 1.0))
    def ask_to_add(self, lr: float) -> None:
        self._added += 1
        self._ask(RequestKind.ADD, params={"cls": "rectools.models.SASRecModel", "lr": lr})

    def _ask(self, kind: RequestKind, **given: Any) -> None:
        """Write a request as another process does; the drivers look again at once.

        Requests have ids and times in their order, so that an example can be repeated.
        """
        self._asked += 1
        request = Request(kind, **given, at=f"{self._asked:06}", id=f"{self._asked:012x}")
        self._study.set_user_attr(request_key(request.id), request.to_plain())
        self._look()

    def _look(self) -> None:
        for driver in self._drivers:
            driver.coordinator._steering._looked.clear()

    @rule(number=st.integers(0, TRIALS + 2))
    def exclude(self, number: int) -> None:
        if number < len(self._study.get_trials(deepcopy=False)):
            self._study.set_user_attr(excluded_key(number), {"why": "a test", "by": "", "at": ""})
            self._look()

    @precondition(lambda self: self._gone)
    @rule(data=st.data())
    def report_late(self, data: st.DataObject) -> None:
        driver, attempt_id = data.draw(st.sampled_from(self._gone))
        before = driver.store.records()
        if driver in self._drivers:
            for report in ({EVALUATION: Evaluation(0, 1, {"NDCG@10": 9.0})}, {DONE: 1.0}):
                driver.coordinator.report(attempt_id, report)
        assert driver.store.records() == before, "late reports from a superseded attempt are ignored"

    @rule(which=st.integers(0, 1), halving=st.sampled_from(HALVINGS), calmly=st.booleans())
    def end_driver(self, which: int, halving: Halving | None, calmly: bool) -> None:
        """Kill a driver, or end it by Ctrl-C, and run the study again, perhaps with other rules."""
        driver = self._drivers[which % len(self._drivers)]
        if calmly:
            driver.coordinator.interrupted = True
            assert driver.coordinator.next_job("none") is NoTrial.FINISHED
            driver.coordinator.close()
        self._halving = halving
        self._replace(driver)

    @precondition(lambda self: any(one.early_stopping.paused for one in self._drivers))
    @rule(halving=st.sampled_from(HALVINGS))
    def kill_driver_with_paused_trials(self, halving: Halving | None) -> None:
        self._halving = halving
        self._replace(next(one for one in self._drivers if one.early_stopping.paused))

    def _replace(self, driver: _Driver) -> None:
        for attempt_id in [one for one, attempt in self._attempts.items() if attempt.driver is driver]:
            self._forget(attempt_id)
        driver.die()
        self._reported += driver.reported
        self._drivers[self._drivers.index(driver)] = self._new_driver()

    # What holds

    @invariant()
    def ended_trials_never_change(self) -> None:
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                assert self._ended.setdefault(trial.number, trial) == trial

    @invariant()
    def each_trial_is_reported_at_most_once(self) -> None:
        assert set(self._all_reported().values()) <= {1}

    def _all_reported(self) -> Counter[int]:
        return sum((driver.reported for driver in self._drivers), Counter(self._reported))

    @invariant()
    def the_store_has_the_paused_trials(self) -> None:
        in_memory: set[int] = set()
        for driver in self._drivers:
            in_memory |= driver.early_stopping.paused
        states = {record.number for record in self._drivers[0].store.records() if record.status is S.PAUSED}
        queued = {number for one in self._drivers for number in one.coordinator._queue._interrupted}
        assert in_memory <= states
        if not self._shared:
            assert states <= in_memory | queued

    def teardown(self) -> None:
        try:
            if self._drivers:
                self._run_to_the_end()
                self._check_end()
        finally:
            for driver in self._drivers:
                driver.die()
            self._place.cleanup()

    def _run_to_the_end(self) -> None:
        for _ in range(200):
            self._look()
            finished = [self._begin(driver) for driver in list(self._drivers)]
            for attempt_id, attempt in list(self._attempts.items()):
                for _ in range(REPORTS):
                    if not attempt.ends:
                        self._report(attempt_id, attempt)
                assert attempt.ends, "a worker without further reports is stopped"
                self.let_go()
            hopeless = [one for one in self._drivers if one.coordinator.hopeless is not None]
            for driver in hopeless:  # a person looks at it, and runs the study again
                self._replace(driver)
            if all(finished) and not self._attempts and not hopeless:
                return
        pytest.fail("the search does not end")

    def _check_end(self) -> None:
        self.ended_trials_never_change()
        records = self._drivers[0].store.records()
        added = [record.request for record in records if record.request is not None]
        sampled = [record for record in records if record.name is None and record.request is None]
        assert len(sampled) == TRIALS, "exactly the budget"
        assert len(records) == TRIALS + 1 + len(added)
        assert len(set(added)) == len(added), "a request is carried out at most once"
        attributes = self._study.user_attrs
        assert pending_requests(attributes) == [], "every request is answered"
        answers = [value["text"] for key, value in attributes.items() if key.startswith("answer:")]
        queued = [text for text in answers if text.startswith("queued")]
        assert len(queued) == len(added), "no configuration is lost"
        assert sum(text.startswith("refused: trial") for text in answers) == self._added - len(added)
        assert all(record.status.has_ended for record in records), "nothing runs at the end"
        assert self._all_reported() == Counter(record.number for record in records), "reported exactly once"
        assert all(len(record.seeds) == FOLDS for record in records)
        searched = [record for record in records if record.name is None and record.status is not S.FAILED]
        asked = [record for record in searched if record.stop is not None and record.stop.rule == "request"]
        n_complete = sum(record.status is S.COMPLETE for record in searched)
        assert n_complete >= min(COMPLETE, len(searched) - len(asked)), "a search ends with an answer"
        for driver in self._drivers if not self._shared else ():
            used = sum((record.usage for record in records), Usage())
            charged = driver.budget._used.cpu_seconds
            assert charged == pytest.approx(used.cpu_seconds), "each attempt is charged once"


Lives.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLives = Lives.TestCase
