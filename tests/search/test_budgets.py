"""When a search ends: the rules, and what they are told of earlier runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.config import Plateau, Sampler, Search, study_from_mapping
from tuner.errors import StudyError
from tuner.execution.tune_adapters import StopWhenAsked, TuneSearcher
from tuner.reporting.trial_details import show_trial
from tuner.search.budgets import Budget, reaches, stale
from tuner.search.capacity import Capacity, Shares
from tuner.search.coordinator import Coordinator, NoTrial
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effect_runner import Sinks
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.fleet import Fleet
from tuner.search.lifecycle import Goal
from tuner.search.retries import MAX_DEATHS
from tuner.search.study_rules import StudyRules
from tuner.space import Float, Space
from tuner.store import StudyStore, open_store
from tuner.trials.messages import BEGAN, DONE, EVALUATION, Job, Place
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord
from tuner.workflows.opening import end_of

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

values = st.one_of(st.none(), st.floats(-10, 10))
directions = st.sampled_from(["maximize", "minimize"])


def budget(direction: Direction = "maximize", **search: object) -> Budget:
    return Budget(Search(**search), objective="NDCG@10", direction=direction)


def key(end: object) -> str | None:
    return getattr(end, "budget", None)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# ####  --------------  Plateau and target  --------------  #### #


@pytest.mark.parametrize(
    ("ended", "min_improvement", "waited"),
    [
        ([], 0.0, 0),
        ([None, None], 0.0, 2),
        ([0.1], 0.0, 0),
        ([0.1, 0.1], 0.0, 1),
        ([0.1, 0.2, 0.1, None], 0.0, 2),
        ([0.5, 0.625], 0.125, 0),
        ([0.5, 0.625], 0.25, 1),
        ([0.5, 0.625, 0.75], 0.25, 0),
    ],
)
def test_trials_since_the_best_one_improved(
    ended: list[float | None], min_improvement: float, waited: int
) -> None:
    assert stale(ended, min_improvement, "maximize") == waited
    assert stale([None if v is None else -v for v in ended], min_improvement, "minimize") == waited


@given(st.lists(values, max_size=30), directions)
def test_every_strictly_better_trial_ends_the_waiting(
    ended: list[float | None], direction: Direction
) -> None:
    known = [value for value in ended if value is not None]
    best = (max if direction == "maximize" else min)(known, default=None)
    expected = len(ended) if best is None else len(ended) - 1 - ended.index(best)
    assert stale(ended, 0.0, direction) == expected


@given(st.lists(values, max_size=30), st.floats(0, 5), directions)
def test_wanting_more_improvement_never_shortens_the_waiting(
    ended: list[float | None], more: float, direction: Direction
) -> None:
    assert stale(ended, 0.0, direction) <= stale(ended, more, direction) <= len(ended)


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_a_target_is_reached_by_what_is_as_good(value: float, target: float) -> None:
    assert reaches(value, target, "maximize") == (value >= target)
    assert reaches(value, target, "minimize") == (value <= target)


def test_a_target_is_reached_by_any_complete_trial() -> None:
    rule = budget(trials=9, target=0.5)
    rule.ended(0, 0.4, baseline=False)
    rule.ended(1, None, baseline=False)
    assert rule.no_more(2) is None
    rule.ended(2, 0.5, baseline=True)
    end = rule.no_more(2)
    assert key(end) == "search.target"
    assert str(end) == (
        "trial 2 has NDCG@10 0.5000, and 0.5 was wanted (search.target); "
        "to go on, set search.target to a higher one, or null"
    )
    lower = budget("minimize", trials=9, target=0.5)
    lower.ended(0, 0.6, baseline=False)
    assert lower.no_more(1) is None
    lower.ended(1, 0.4, baseline=False)
    assert "to a lower one, or null" in str(lower.no_more(2))


def test_baselines_are_no_part_of_a_plateau() -> None:
    rule = budget(trials=9, plateau=2)
    rule.ended(0, 0.9, baseline=True)
    for number, value in enumerate([0.1, 0.2, None, 0.3], 1):
        rule.ended(number, value, baseline=False)
    assert rule.no_more(4) is None, "the sampler still improves, though no trial beats the baseline"
    rule.ended(5, 0.3, baseline=False)
    rule.ended(6, None, baseline=False)
    assert key(rule.no_more(6)) == "search.plateau"
    assert "no better trial among the last 2 (search.plateau)" in str(rule.no_more(6))


# ####  --------------  Trials, time and hours  --------------  #### #


def test_trials_that_have_begun_count() -> None:
    rule = budget(trials=3)
    assert rule.no_more(2) is None
    assert str(rule.no_more(3)) == "3 trials are done (search.trials); a larger `search.trials` continues it"
    assert key(budget(trials=0).no_more(0)) == "search.trials"


def test_time_counts_from_the_start_of_this_run_and_then_the_grace() -> None:
    clock = Clock()
    rule = Budget(Search(time_budget="1m", grace=10), objective="NDCG@10", direction="maximize", clock=clock)
    clock.now += 1000
    assert rule.time_is_up() is None, "not started"
    rule.start()
    clock.now += 59
    assert (rule.time_is_up(), rule.grace_is_over) == (None, False)
    clock.now += 1
    assert str(rule.time_is_up()) == "1 min 00 s are over (search.time_budget); the same call goes on"
    assert rule.grace_is_over is False
    clock.now += 10
    assert key(rule.time_is_up()) == "search.time_budget"
    assert rule.grace_is_over is True


def test_hours_are_what_trials_have_held_and_hold() -> None:
    rule = budget(cpu_hours=2, gpu_hours=1)
    rule.use(Usage(3600, 1800))
    rule.use(Usage(1800, 900))
    assert rule.time_is_up(Usage(1799, 899)) is None
    assert key(rule.time_is_up(Usage(1800, 0))) == "search.cpu_hours"
    end = rule.time_is_up(Usage(0, 900))
    assert str(end) == (
        "trials have held 1 GPU hours of 1 (search.gpu_hours); to go on, set search.gpu_hours to more"
    )


def test_no_budget_but_trials_ends_nothing() -> None:
    rule = budget(trials=10)
    rule.start()
    rule.use(Usage(1e9, 1e9))
    for number in range(9):
        rule.ended(number, 0.5, baseline=False)
    assert (rule.no_more(9), rule.time_is_up(), rule.grace_is_over) == (None, None, False)


# ####  --------------  Earlier runs  --------------  #### #


def record(
    number: int, ended: int | None, value: float | None, *, status: TrialStatus, **more: object
) -> TrialRecord:
    summary = None if value is None else Summary(epoch=1, mean=value, std=0.0, metrics={"NDCG@10": value})
    at = None if ended is None else datetime(2024, 1, 1) + timedelta(minutes=ended)
    settings = {"name": None, "params": {}, "summary": summary, "ended": at, "usage": Usage(60, 30)}
    return TrialRecord(number=number, status=status, **{**settings, **more})


def test_what_earlier_runs_recorded_counts_in_the_order_in_which_trials_ended() -> None:
    rule = budget(trials=99, plateau=3, gpu_hours=1)
    rule.remember(
        [
            record(0, 1, 0.9, status=TrialStatus.COMPLETE, name="ease"),
            record(1, 9, 0.5, status=TrialStatus.COMPLETE),  # ended last, and is the best
            record(2, 2, 0.3, status=TrialStatus.COMPLETE),
            record(3, 3, None, status=TrialStatus.STOPPED),
            record(4, 4, None, status=TrialStatus.FAILED),
            record(5, None, None, status=TrialStatus.RUNNING),
            record(6, None, None, status=TrialStatus.QUEUED, usage=Usage()),
        ]
    )
    assert rule.no_more(6) is None
    for number in (7, 8):
        rule.ended(number, 0.4, baseline=False)
    assert rule.no_more(8) is None
    rule.ended(9, 0.5, baseline=False)
    assert key(rule.no_more(9)) == "search.plateau"
    assert rule.time_is_up(Usage(0, 3600 - 6 * 30 - 1)) is None
    assert key(rule.time_is_up(Usage(0, 3600 - 6 * 30))) == "search.gpu_hours"


# ####  --------------  What trials hold  --------------  #### #

SPACE = Space({"cls": "SASRecModel", "lr": Float(0.001, 0.1, log=True)})


def coordinator_of(
    store: StudyStore, space: Space, search: Search, early_stopping: EarlyStopping, **fleet: Any
) -> Coordinator:
    """The real coordinator, of trials that take two CPUs and a quarter of a GPU."""
    rule = Budget(search, objective="NDCG@10", direction="maximize")
    rule.remember(store.records())
    goal = Goal("NDCG@10", "maximize", search.constraints)
    shares = Shares.alike({"CPU": 2, "GPU": 0.25})
    return Coordinator(
        store,
        rule,
        early_stopping,
        rules=StudyRules(space, goal, n_folds=2, finish=dict, refuse=lambda _: None),
        fleet=Fleet(shares, Capacity.of(1), LargeTrials(lambda _: None), **fleet),
        sinks=Sinks(keep_users=lambda *_: None, drop_checkpoint=lambda _: None),
    )


def open_small(folder: Path) -> StudyStore:
    facts = {"objective": "NDCG@10"}
    return open_store(
        folder, name="shop", direction="maximize", sampler=Sampler(use="random"), seed=5, facts=facts
    )


def search_of(
    store: StudyStore, answers: Callable[[Place], bool] = lambda _: True, **search: object
) -> Coordinator:
    early_stopping = EarlyStopping(None, None, epochs=2, n_folds=2, direction="maximize")
    return coordinator_of(store, SPACE, Search(**search), early_stopping, answers=answers)


def usage(store: StudyStore) -> Usage:
    (record,) = store.records()
    assert record.usage.cpu_seconds == pytest.approx(8 * record.usage.gpu_seconds)
    return record.usage


def test_each_attempt_at_a_trial_adds_what_it_held(tmp_path: Path) -> None:
    store = open_small(tmp_path)
    first = search_of(store, trials=1)
    assert isinstance(first.next_job("a"), Job)
    first.report("a", {EVALUATION: Evaluation(0, 1, {"NDCG@10": 0.5})})
    assert usage(store) == Usage(), "it is written when an attempt ends, and now and then"
    first.close()
    before = usage(store)
    assert before.cpu_seconds > 0

    again = search_of(open_small(tmp_path), trials=1)
    assert isinstance(again.next_job("b"), Job)
    again.report("b", {BEGAN: Place("here")})
    again.lost_worker("b", "")
    after = usage(store)
    assert after.cpu_seconds > before.cpu_seconds

    assert isinstance(again.next_job("c"), Job)
    for fold in (0, 1):
        again.report("c", {EVALUATION: Evaluation(fold, 1, {"NDCG@10": 0.5})})
    again.report("c", {DONE: 1.0})
    ended = usage(store)
    again.released("c")
    assert usage(store) == ended
    assert ended.cpu_seconds > after.cpu_seconds
    assert again._budget._used.cpu_seconds == pytest.approx(ended.cpu_seconds), "as a later run will read it"


def test_a_long_trial_writes_what_it_holds_before_it_ends(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tuner.search.usage.NOTE_USAGE_SECONDS", 0.0)
    store = open_small(tmp_path)
    coordinator = search_of(store, trials=1)
    coordinator.next_job("a")
    noted = []
    for epoch in (1, 2):
        coordinator.report("a", {EVALUATION: Evaluation(0, epoch, {"NDCG@10": 0.5})})
        noted.append(usage(store).cpu_seconds)
    assert 0 < noted[0] < noted[1]


def test_when_hours_are_up_a_trial_stops_at_its_next_evaluation_and_none_begins(tmp_path: Path) -> None:
    store = open_small(tmp_path)
    coordinator = search_of(store, trials=2, gpu_hours=1e-9, grace=1e9)
    assert isinstance(coordinator.next_job("a"), Job)
    assert coordinator.report("a", {EVALUATION: Evaluation(0, 1, {"NDCG@10": 0.5})})
    assert coordinator.next_job("b") is NoTrial.FINISHED
    assert not coordinator.ending_now
    coordinator.released("a")
    assert store.interrupted() == [0]
    assert search_of(open_small(tmp_path), trials=2, gpu_hours=1e-9).next_job("c") is NoTrial.FINISHED
    assert isinstance(search_of(open_small(tmp_path), trials=2, gpu_hours=9).next_job("d"), Job)


def test_after_the_grace_trials_end_where_they_are(tmp_path: Path) -> None:
    coordinator = search_of(open_small(tmp_path), trials=2, cpu_hours=1e-9, grace=1e-9)
    assert isinstance(coordinator.next_job("a"), Job)
    assert not coordinator.ending, "a trial that waits for a machine holds nothing"
    assert coordinator.report("a", {BEGAN: Place("here")})
    assert coordinator.ending
    assert StopWhenAsked(TuneSearcher(coordinator)).stop_all()


def test_machines_that_are_lost_count_apart_from_workers_that_die(tmp_path: Path) -> None:
    store = open_small(tmp_path)
    coordinator = search_of(store, trials=1)
    for attempt in range(MAX_DEATHS + 1):
        assert isinstance(coordinator.next_job(str(attempt)), Job)
        coordinator.report(str(attempt), {BEGAN: Place(f"host{attempt}")})
        coordinator.lost_worker(str(attempt), "The actor died because its node has died." if attempt else "")
    assert isinstance(coordinator.next_job("last"), Job), "more were lost than workers may die"
    assert coordinator.report("0", {EVALUATION: Evaluation(0, 1, {"NDCG@10": 0.9})}) is False
    (record,) = store.records()
    assert record.evaluations == (), "a twin that was given up reports late, and is not heard"
    assert [(a.host, a.lost, a.by_machine) for a in record.attempts] == [
        ("host0", "its worker died", False),
        *((f"host{n}", "its machine was lost", True) for n in range(1, MAX_DEATHS + 1)),
    ]


@pytest.mark.parametrize("answers", [True, False])
def test_a_worker_gone_for_an_unknown_reason_is_lost_with_its_machine_if_that_does_not_answer(
    tmp_path: Path, answers: bool
) -> None:
    store = open_small(tmp_path)
    coordinator = search_of(store, answers=lambda place: place.host != "there" or answers, trials=1)
    assert isinstance(coordinator.next_job("a"), Job)
    coordinator.report("a", {BEGAN: Place("there")})
    coordinator.lost_worker("a", "ActorUnavailableError: The actor 98 is unavailable: RPC error")
    (record,) = store.records()
    assert [attempt.by_machine for attempt in record.attempts] == [not answers]


def test_on_a_plateau_what_runs_is_finished_and_nothing_begins(tmp_path: Path) -> None:
    coordinator = search_of(open_small(tmp_path), trials=9, plateau=1)
    for trial_id in ("a", "b"):
        assert isinstance(coordinator.next_job(trial_id), Job)
        for fold in (0, 1):
            assert not coordinator.report(trial_id, {EVALUATION: Evaluation(fold, 1, {"NDCG@10": 0.5})})
        coordinator.report(trial_id, {DONE: 1.0})
        coordinator.released(trial_id)
    assert coordinator.next_job("c") is NoTrial.FINISHED


def test_a_study_is_done_when_a_budget_is_spent_and_nothing_waits_that_may_run(tmp_path: Path) -> None:
    store = open_small(tmp_path)

    def end(**search: object) -> str | None:
        rule = budget(**search)
        rule.remember(store.records())
        return key(end_of(rule, store))

    assert end(trials=0) == "search.trials"
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    assert end(trials=0) is None, "the baseline waits"
    number = store.ask(SPACE, 2, dict).number
    store.note_usage(number, Usage(7200, 1800))
    assert end(trials=0) is None, "it was cut off"
    assert end(trials=0, cpu_hours=2) == "search.cpu_hours", "and may not go on"
    assert end(trials=0, cpu_hours=2.1, gpu_hours=0.6) is None
    done = Summary(epoch=1, mean=0.5, std=0.0, metrics={"NDCG@10": 0.5})
    store.complete(number, done, seconds=1, log="")
    assert end(trials=1) is None
    assert end(trials=1, target=0.5) == "search.target"
    assert "used 2 h 00 min of CPU time and 30 min 00 s of GPU time" in show_trial(tmp_path, "popular")


# ####  --------------  In the study file  --------------  #### #

STUDY = {
    "study": "shop",
    "data": {"interactions": "clicks.csv"},
    "folds": {"split": "last_n", "size": 1},
    "metrics": {"objective": "NDCG@10", "direction": "maximize"},
    "space": "search_spaces.guide",
}


def test_budgets_are_read_as_a_person_writes_them() -> None:
    search = study_from_mapping(
        {
            **STUDY,
            "search": {"cpu_hours": 5, "target": 1, "plateau": 20, "grace": "90s", "gpu_hours": 0.5},
            "resources": {"gpus_per_trial": 0.25},
        }
    ).search
    assert (search.cpu_hours, search.gpu_hours, search.target, search.grace) == (5, 0.5, 1, 90)
    assert search.plateau == Plateau(trials=20)
    assert Search(plateau={"trials": 3, "min_improvement": 0.01}).plateau.min_improvement == 0.01


@pytest.mark.parametrize(
    ("sections", "where", "rule"),
    [
        ({"search": {"gpu_hours": 1}}, "resources", "must give trials a GPU where search.gpu_hours"),
        ({"search": {"cpu_hours": 0}}, "search.cpu_hours", "above 0"),
        ({"search": {"plateau": 0}}, "search.plateau.trials", "at least 1"),
        ({"search": {"plateau": {"min_improvement": 0.1}}}, "search.plateau.trials", "is missing"),
        ({"search": {"plateau": True}}, "search.plateau", "must be"),
        ({"search": {"grace": "soon"}}, "search.grace", "must be a duration"),
        ({"search": {"platau": 3}}, "search.platau", "did you mean 'plateau'?"),
    ],
)
def test_a_budget_that_cannot_be_is_told_before_anything_runs(
    sections: dict[str, object], where: str, rule: str
) -> None:
    with pytest.raises(StudyError) as caught:
        study_from_mapping({**STUDY, **sections})
    (problem,) = caught.value.problems
    assert where in problem.where
    assert rule in str(problem)
