"""The order of trials: which one begins next, what a dead driver leaves, and how each trial ends."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.config import Halving, Race, Sampler, Search
from tuner.reporting.formats import render
from tuner.reporting.leaderboard import load_leaderboard
from tuner.reporting.trial_details import show_trial
from tuner.search.budgets import Budget
from tuner.search.capacity import Capacity, Machines, Shares
from tuner.search.coordinator import Coordinator, NoTrial
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effect_runner import Sinks
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.fleet import Fleet
from tuner.search.lifecycle import Goal
from tuner.search.study_rules import StudyRules
from tuner.space import Float, Space
from tuner.store import StudyStore, open_store
from tuner.trials.messages import DONE, EVALUATION, USERS, Job
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause
from tuner.trials.records import Evaluation, Users
from tuner.trials.stored import TrialRecord

EPOCHS, FOLDS, TRIALS = 4, 2, 12
SPACE = Space({"cls": "rectools.models.SASRecModel", "lr": Float(0.0, 1.0)})


def level(job: Job) -> float:
    """Return what a trial's curve rises to: late where the level is high, so that early epochs mislead."""
    return float(str(job.params["lr"]))


def value(job: Job, epoch: int) -> float:
    return level(job) * epoch / EPOCHS if level(job) > 0.8 else level(job) * 0.5


@dataclass
class Run(Observer):
    """A run of a study with virtual workers: a step is an evaluation."""

    folder: Path
    halving: Halving | None = field(default_factory=Halving)
    search: Search = field(default_factory=lambda: Search(trials=TRIALS))
    race: Race | None = None
    capacity: Capacity = field(default_factory=lambda: Capacity.of(2))
    complete: int = 0
    events: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = opened(self.folder)
        self.live: dict[str, tuple[Job, int]] = {}
        self.n_asked = 0
        early_stopping = EarlyStopping(
            self.halving,
            self.race,
            epochs=EPOCHS,
            n_folds=FOLDS,
            direction="maximize",
            complete=self.complete,
        )
        for record in self.store.records():
            curve = [(e.fold, e.epoch, e.metrics["NDCG@10"]) for e in record.evaluations]
            early_stopping.remember(record.number, curve, [])
        budget = Budget(self.search, objective="NDCG@10", direction="maximize")
        budget.remember(self.store.records())
        self.early_stopping = early_stopping
        self.coordinator = Coordinator(
            self.store,
            budget,
            early_stopping,
            rules=StudyRules(
                SPACE,
                Goal("NDCG@10", "maximize"),
                n_folds=FOLDS,
                finish=lambda params: {**params, "epochs": EPOCHS},
                refuse=lambda _: None,
            ),
            fleet=Fleet(Shares.alike({"CPU": 1}), self.capacity, LargeTrials(lambda _: None)),
            sinks=Sinks(
                keep_users=lambda *_: None,
                drop_checkpoint=lambda number: self.events.append(("drop", number)),
                observers=[self],
            ),
        )

    def started(self, job: Job, *, again: bool) -> None:
        self.events.append(("again" if again else "started", job.number))

    def paused(self, job: Job, _pause: Pause) -> None:
        self.events.append(("paused", job.number))

    def finished(self, job: Job, *_: object) -> None:
        self.events.append(("finished", job.number))

    def stopped(self, job: Job, *_: object) -> None:
        self.events.append(("stopped", job.number))

    def failed(self, job: Job, *_: object) -> None:
        self.events.append(("failed", job.number))

    def step(self) -> bool:
        """Let every worker make one report; tell whether there is anything left."""
        while len(self.live) < 2 and isinstance(job := self.coordinator.next_job(str(self.n_asked)), Job):
            self.live[str(self.n_asked)] = (job, 0)
            self.n_asked += 1
        running = list(self.live.items())
        for trial_id, (job, made) in running:
            self.live[trial_id] = (job, made + 1)
            if self._report(trial_id, job, made):
                del self.live[trial_id]
                self.coordinator.released(trial_id)
        return bool(running)

    def _report(self, trial_id: str, job: Job, made: int) -> bool:
        assert job.folds is not None
        fold, epoch = job.folds[made // EPOCHS], made % EPOCHS
        metrics = {"NDCG@10": value(job, epoch + 1)}
        ends = self.coordinator.report(trial_id, {EVALUATION: Evaluation(fold, epoch + 1, metrics)})
        if not ends and epoch + 1 == EPOCHS:
            users = Users(fold, (EPOCHS,), np.full((1, 3), metrics["NDCG@10"], dtype=np.float32))
            ends = self.coordinator.report(trial_id, {USERS: users})
        if not ends and made + 1 == EPOCHS * len(job.folds):
            self.coordinator.report(trial_id, {DONE: 1.0})
            return True
        return ends

    def to_the_end(self) -> list[TrialRecord]:
        while self.step():
            pass
        assert self.coordinator.error is None
        return self.store.records()


@pytest.mark.parametrize(
    ("search", "n_complete"),
    [
        (Search(trials=TRIALS), 5),
        (Search(trials=TRIALS, plateau=1), 5),
        (Search(trials=TRIALS, target=0.0), 1),
        (Search(trials=4), 4),
    ],
    ids=["trials", "plateau", "target", "fewer trials"],
)
def test_enough_trials_complete_unless_the_target_is_reached(
    tmp_path: Path, search: Search, n_complete: int
) -> None:
    rules = Halving(keep=0.1, resume=0.1)
    records = Run(tmp_path, halving=rules, search=search, race=Race(), complete=5).to_the_end()
    complete = [record for record in records if record.status == "complete"]
    if search.target is not None:
        assert n_complete <= len(complete) < 5
    else:
        assert len(complete) >= n_complete
    assert all(record.status.has_ended for record in records)


def opened(folder: Path) -> StudyStore:
    return open_store(
        folder,
        name="small",
        direction="maximize",
        sampler=Sampler(use="random"),
        seed=3,
        facts={"objective": "NDCG@10"},
    )


def states(records: list[TrialRecord]) -> Counter[str]:
    return Counter(record.status for record in records)


def best(records: list[TrialRecord]) -> TrialRecord:
    return max(records, key=lambda record: float(str(record.params["lr"])))


def test_a_paused_trial_is_resumed_under_its_number_and_every_trial_is_reported_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    records = run.to_the_end()
    counted = Counter(run.events)
    assert states(records).keys() == {"complete", "stopped"}
    assert sum(states(records).values()) == TRIALS
    for record in records:
        number = record.number
        assert counted["finished", number] + counted["stopped", number] == 1
        assert counted["started", number] == counted["paused", number] + (record.status == "complete")
        assert counted["drop", number] == 1
        paused = run.events.index(("paused", number)) if ("paused", number) in run.events else None
        assert paused is not None or record.status == "complete"
    assert sum(counted[event] for event in counted if event[0] == "again") == 0
    assert best(records).status == "complete", "its early epochs were not among the best"
    for record in records:
        if record.stop is not None:
            seen = record.stop.evidence
            assert seen["kept"] < seen["place"] <= seen["n_trials"]
            assert f"place {seen['place']:.0f} of {seen['n_trials']:.0f} trials" in show_trial(
                tmp_path, str(record.number)
            )


@pytest.mark.parametrize("after", range(1, 24, 3))
def test_a_driver_that_dies_at_any_moment_loses_no_paused_trial(after: int, tmp_path: Path) -> None:
    run = Run(tmp_path)
    for _ in range(after):
        run.step()
    left = {record.number: record for record in run.store.records() if record.status == "paused"}
    again = Run(tmp_path)  # as after SIGKILL: the first one could write no more
    begun_again = {one.asked.number for one in run.coordinator._attempts.trials}
    assert set(again.store.interrupted()) == begun_again
    assert again.store.paused().keys() == left.keys()
    records = again.to_the_end()
    assert sum(states(records).values()) == TRIALS
    assert states(records).keys() == {"complete", "stopped"}
    assert best(records).status == "complete"
    for number, record in left.items():
        ended = records[number]
        assert ended.evaluations[: len(record.evaluations)] == record.evaluations
        assert ended.params == record.params


@pytest.mark.parametrize("autoscaled", [True, False])
def test_an_idle_worker_is_released_if_its_machine_goes_with_it(autoscaled: bool, tmp_path: Path) -> None:
    two = Machines({"CPU": 1}, 2)
    capacity = Capacity(list, [two]) if autoscaled else Capacity(lambda: [two])
    run = Run(tmp_path, Halving(hold=0), search=Search(trials=1), capacity=capacity)
    coordinator = run.coordinator
    assert isinstance(coordinator.next_job("0"), Job)
    assert not coordinator.may_release_worker
    assert coordinator.next_job("1") is NoTrial.WAIT
    assert coordinator.may_release_worker is autoscaled, (
        "the one trial runs; another may come only through it"
    )
    coordinator.report("0", {EVALUATION: Evaluation(0, 1, {"NDCG@10": 0.5})})
    assert not coordinator.may_release_worker, "that may have brought one"
    assert coordinator.next_job("1") is NoTrial.WAIT
    assert coordinator.may_release_worker is autoscaled
    coordinator.lost_worker("0", "")
    assert not coordinator.may_release_worker
    assert isinstance(coordinator.next_job("1"), Job), "it lost its worker, and gets one again"


def test_a_leaderboard_says_what_is_paused_and_where(tmp_path: Path) -> None:
    run = Run(tmp_path)
    while not (paused := run.store.paused()):
        run.step()
    number, pause = next(iter(paused.items()))
    assert (pause.fold, pause.epoch, pause.rung) == (0, 1, 1)
    paused_lines = [line for line in render(load_leaderboard(tmp_path)).splitlines() if "paused" in line]
    assert len(paused_lines) == len(paused)
    assert all("fold 1, epoch 1: " in line and " of 2" in line for line in paused_lines)
    shown = show_trial(tmp_path, str(number))
    assert "paused after fold 1, epoch 1" in shown
    assert re.search(r"\npaused: 0\.\d+ was place \d of \d trials? at epoch 1; trials are held there", shown)


def test_changed_rules_judge_paused_trials_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    while len(run.store.paused()) < 3:
        run.step()
    for halving in (Halving(resume=None), Halving(rungs=(2,)), None):
        again = Run(tmp_path, halving=halving)
        assert not again.early_stopping.paused
        assert again.coordinator._queue._interrupted
    records = again.to_the_end()
    assert states(records) == {"complete": TRIALS}, "without rules every trial is run to its end"


def test_a_reached_target_stops_paused_trials(tmp_path: Path) -> None:
    run = Run(tmp_path, search=Search(trials=50, target=0.01))
    records = run.to_the_end()
    assert states(records).keys() == {"complete", "stopped"}
    assert len(records) < 50
    assert not run.store.paused()


def test_with_no_resume_what_is_not_among_the_best_is_stopped_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, halving=Halving(resume=None))
    records = run.to_the_end()
    assert "paused" not in {what for what, _ in run.events}
    assert states(records)["stopped"] > 0
    assert sum(states(records).values()) == TRIALS


def test_baselines_are_never_paused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    worst: dict[str, Any] = {"cls": "rectools.models.SASRecModel", "lr": 0.0}
    store.add_baselines([("first", worst, None), ("second", worst | {"lr": 0.001}, None)])
    run = Run(tmp_path)
    records = run.to_the_end()
    assert [record.status for record in records if record.name] == ["complete", "complete"]
    assert sum(states(records).values()) == TRIALS + 2
