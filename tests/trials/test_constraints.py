"""Constraints: how they are written, what violates them, and what that changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from rich.console import Console

from tests.search.test_budgets import coordinator_of
from tuner.config import Race, Sampler, Search, Study, study_from_mapping
from tuner.errors import StoreError, StudyError
from tuner.monitoring.console import Progress
from tuner.reporting.find import find_row
from tuner.reporting.formats import render
from tuner.reporting.leaderboard import load_leaderboard
from tuner.reporting.trial_details import show_trial
from tuner.sampling.samplers import HISTORY, _History, make_sampler
from tuner.search.budgets import Budget
from tuner.search.early_stopping import EarlyStopping
from tuner.space import Float, Int, Space
from tuner.store import StudyStore, open_store, read_records
from tuner.trials.constraints import QUANTITIES, Constraint, broken, quantities
from tuner.trials.messages import DONE, EVALUATION, Job
from tuner.trials.messages import USERS as USERS_KEY
from tuner.trials.objective import summarise
from tuner.trials.records import Evaluation, Summary, Users

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

NDCG, USERS = "NDCG@10", "CoveredUsers@10"
SMALL, COVERED = "parameters <= 1000", "CoveredUsers@10 >= 0.99"
SPACE = Space({"cls": "SASRecModel", "lr": Float(0.001, 0.1, log=True), "n_blocks": Int(1, 8)})


def summary(value: float = 0.5, *, n_parameters: int | None = 1000, users: float = 1.0) -> Summary:
    metrics = {NDCG: value, USERS: users}
    evaluation = Evaluation(0, 1, metrics, fit_seconds=2.5, n_parameters=n_parameters, recommend_seconds=0.25)
    return summarise([evaluation], NDCG, "maximize")


def opened(folder: Path, *constraints: str, use: str = "random") -> StudyStore:
    folder.mkdir(exist_ok=True)
    facts = {"objective": NDCG, **({"constraints": sorted(constraints)} if constraints else {})}
    return open_store(
        folder, name="shop", direction="maximize", sampler=Sampler(use=use), seed=5, facts=facts
    )


def run(store: StudyStore, value: float = 0.5, **measured: object) -> int:
    """Run a trial to its end; return its number."""
    asked = store.ask(SPACE, 1, dict)
    assert asked is not None
    store.complete(asked.number, summary(value, **measured), seconds=1, log="")
    return asked.number


# ####  --------------  As they are written  --------------  #### #


@pytest.mark.parametrize(
    ("text", "constraint", "plain"),
    [
        ("parameters <= 5e6", Constraint("parameters", "<=", 5e6), "parameters <= 5000000"),
        ("  CoveredUsers@10>=.99 ", Constraint(USERS, ">=", 0.99), "CoveredUsers@10 >= 0.99"),
        ("fit_seconds <= -1", Constraint("fit_seconds", "<=", -1), "fit_seconds <= -1"),
    ],
)
def test_a_constraint_is_read_and_written(text: str, constraint: Constraint, plain: str) -> None:
    assert Constraint.parse(text) == constraint
    assert str(constraint) == plain
    assert Constraint.parse(plain) == constraint


@pytest.mark.parametrize(
    "text", ["parameters < 5", "parameters", "5 >= parameters", "a <= b", "a <= nan", "a <= inf", "", 3, None]
)
def test_what_is_no_constraint_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be NAME <= NUMBER or NAME >= NUMBER"):
        Constraint.parse(text)


STUDY = {
    "study": "shop",
    "data": {"interactions": "clicks.csv"},
    "folds": {"split": "last_n", "size": 1},
    "metrics": {"objective": NDCG, "direction": "maximize", "report": [USERS]},
    "space": "search_spaces.guide",
}


def test_a_study_bounds_its_metrics_and_quantities() -> None:
    texts = [COVERED, "NDCG@10 >= 0.1", *(f"{name} <= 1" for name in QUANTITIES)]
    study = study_from_mapping({**STUDY, "search": {"constraints": texts}})
    assert list(map(str, study.search.constraints)) == texts
    plain = study.search.model_dump(mode="json")
    assert plain["constraints"] == texts
    assert study_from_mapping({**STUDY, "search": plain}).search == study.search


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("CoveredUser@10 >= 1", "did you mean 'CoveredUsers@10'?"),
        ("HitRate@10 >= 1", "must bound a metric of the study"),
        ("parameter <= 1", "did you mean 'parameters'?"),
        ("parameters < 1", "such as 'parameters <= 5e6'"),
    ],
)
def test_a_wrong_constraint_is_reported_before_anything_runs(text: str, rule: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_from_mapping({**STUDY, "search": {"constraints": [SMALL, text]}})
    (problem,) = caught.value.problems
    assert problem.where.startswith("search")
    assert rule in str(problem)
    assert text in str(problem)


# ####  --------------  What violates them  --------------  #### #


def test_all_that_can_be_bounded_is_measured() -> None:
    taken = quantities(summary(0.5, n_parameters=7))
    assert taken.keys() == {NDCG, USERS, *QUANTITIES}
    assert (taken["parameters"], taken["fit_seconds"], taken["recommend_seconds"]) == (7, 2.5, 0.25)
    assert quantities(summary(0.5, n_parameters=None))["parameters"] == 0


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_bound_is_broken_beyond_itself(value: float, bound: float) -> None:
    measured = Summary(epoch=1, mean=value, std=0.0, metrics={NDCG: value})
    assert bool(broken([Constraint(NDCG, "<=", bound)], measured)) == (value > bound)
    assert bool(broken([Constraint(NDCG, ">=", bound)], measured)) == (value < bound)


def test_the_best_of_a_budget_keeps_to_all() -> None:
    search = Search(trials=9, target=0.5, plateau=2, constraints=[SMALL])
    stored = Budget(search, objective=NDCG, direction="maximize")
    stored.ended(0, 0.3, baseline=False)
    stored.ended(1, None, baseline=False)
    assert stored.no_more(2) is None


# ####  --------------  In the store  --------------  #### #


def test_optuna_has_the_values_and_its_best_trial_keeps_to_all(tmp_path: Path) -> None:
    store = opened(tmp_path, SMALL, COVERED)
    small, large = run(store, 0.1), run(store, 0.9, n_parameters=1500)
    uncovered = run(store, 0.8, users=0.5)
    trials = store.study.trials
    assert trials[small].constraints == {COVERED: pytest.approx(-0.01), SMALL: 0}
    assert trials[large].constraints == {COVERED: pytest.approx(-0.01), SMALL: 500}
    assert trials[uncovered].constraints == {COVERED: pytest.approx(0.49), SMALL: 0}
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert store.study.best_trial.number == small


@pytest.mark.parametrize("use", ["tpe", "gp", "nsga2", "random", "brute_force"])
def test_samplers_take_them_also_of_baselines(tmp_path: Path, use: str) -> None:
    store = opened(tmp_path, SMALL, COVERED, use=use)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    finite = Space({"cls": "SASRecModel", "n_blocks": Int(1, 8), "n_factors": Int(1, 3)})
    for _ in range(14):
        asked = store.ask(finite, 1, dict)
        assert asked is not None
        n_parameters = 500 * int(str(asked.params.get("n_blocks", 0)))
        done = summary(n_parameters / 10_000, n_parameters=n_parameters)
        store.complete(asked.number, done, seconds=1, log="")
    complete = store.study.get_trials(states=[TrialState.COMPLETE])
    assert all(trial.constraints.keys() == {SMALL, COVERED} for trial in complete)


def test_a_repeated_point_is_reported_with_the_values_of_the_first(tmp_path: Path) -> None:
    store = opened(tmp_path, SMALL)
    few = Space({"cls": "SASRecModel", "n_blocks": Int(1, 3)})
    while (asked := store.ask(few, 1, dict)) is not None:
        n_parameters = 500 * int(str(asked.params["n_blocks"]))
        store.complete(asked.number, summary(n_parameters=n_parameters), seconds=1, log="")
    trials = store.study.get_trials()
    repeats = [trial for trial in trials if "repeats" in trial.user_attrs]
    assert len(trials) - len(repeats) == 3
    assert {trial.params["n_blocks"]: trial.constraints[SMALL] for trial in repeats} == {
        1: -500,
        2: 0,
        3: 500,
    }


def test_a_trial_half_reported_when_its_driver_died_is_reported_again(tmp_path: Path, recwarn) -> None:
    store = opened(tmp_path, SMALL)
    asked = store.ask(SPACE, 1, dict)
    half_reported = optuna.trial.Trial(store.study, store.study.trials[asked.number]._trial_id)
    half_reported.set_constraint(SMALL, 200)
    again = opened(tmp_path, SMALL)
    assert again.interrupted() == [asked.number]
    again.ask_again(asked.number, SPACE, 1, dict)
    again.complete(asked.number, summary(n_parameters=1200), seconds=1, log="")
    assert again.study.trials[0].constraints == {SMALL: 200}
    assert [str(warning.message) for warning in recwarn if "constraint" in str(warning.message)] == []


def test_constraints_are_a_fact_of_a_study(tmp_path: Path) -> None:
    opened(tmp_path, SMALL)
    with pytest.raises(StoreError, match="constraints: must stay as it was when the study began"):
        opened(tmp_path, "parameters <= 2000")
    with pytest.raises(StoreError, match="constraints"):
        opened(tmp_path)


def test_of_a_long_history_the_best_feasible_trials_are_seen() -> None:
    study = optuna.create_study(direction="maximize", sampler=make_sampler(Sampler(use="tpe"), 3))
    distribution = {"x": optuna.distributions.FloatDistribution(0, 1)}
    n_complete = 2 * HISTORY
    for number in range(n_complete):
        x = number / n_complete
        trial = optuna.trial.create_trial(params={"x": x}, distributions=distribution, value=1 - x)
        trial.set_constraint(SMALL, 1.0 if number < 100 else 0.0)
        study.add_trial(trial)
    history = _History(study)
    history.renew()
    seen = {trial.number for trial in history.excerpt()._get_trials()}
    assert seen == {*range(100, 100 + HISTORY // 2), *range(n_complete - HISTORY // 2, n_complete)}


def test_a_trial_that_violates_one_is_no_incumbent_of_the_race(tmp_path: Path) -> None:
    early_stopping = EarlyStopping(None, Race(), epochs=1, n_folds=2, direction="maximize")
    search = Search(trials=2, target=0.9, constraints=[SMALL])
    coordinator = coordinator_of(opened(tmp_path, SMALL), SPACE, search, early_stopping)
    for trial_id, n_parameters in (("a", 5000), ("b", 1000)):
        assert isinstance(coordinator.next_job(trial_id), Job)
        for fold in range(2):
            evaluation = Evaluation(fold, 1, {NDCG: 0.9, USERS: 1.0}, n_parameters=n_parameters)
            coordinator.report(trial_id, {EVALUATION: evaluation})
            coordinator.report(trial_id, {USERS_KEY: Users(fold, (1,), np.full((1, 5), 0.9, np.float32))})
        coordinator.report(trial_id, {DONE: 1.0})
        coordinator.released(trial_id)
        assert early_stopping._incumbent.best == (None if trial_id == "a" else (1, 0.9, 1))
        assert (coordinator._budget.no_more(0) is None) == (trial_id == "a"), "nor does it reach the target"


# ####  --------------  For people  --------------  #### #


def test_the_leaderboard_has_trials_that_break_one_below_the_others(tmp_path: Path) -> None:
    store = opened(tmp_path, SMALL, COVERED)
    run(store, 0.1)
    run(store, 0.9, n_parameters=1500, users=0.5)
    run(store, 0.2)
    run(store, 0.8, n_parameters=1001)
    board = load_leaderboard(tmp_path)
    assert [(row.rank, row.record.number) for row in board.rows] == [(1, 2), (2, 0), (3, 1), (4, 3)]
    assert board.best is not None
    assert board.best.record.number == 2
    assert find_row(board, "best").record.number == 2
    assert f"complete, violates {COVERED} and {SMALL}" in render(board)
    breaks = [row["breaks"] for row in json.loads(render(board, "json"))["rows"]]
    assert breaks == [None, None, f"{COVERED}; {SMALL}", SMALL]
    assert f"violates {SMALL}: it has 1500" in show_trial(tmp_path, "1")
    assert "violates" not in show_trial(tmp_path, "0")
    assert [row.record.number for row in load_leaderboard(tmp_path, sort=USERS).rows] == [0, 2, 3, 1]


def test_without_a_feasible_trial_there_is_no_best(tmp_path: Path) -> None:
    store = opened(tmp_path, SMALL)
    run(store, n_parameters=5000)
    board = load_leaderboard(tmp_path)
    assert (board.rows[0].rank, board.best) == (1, None)
    with pytest.raises(StoreError, match="no complete trial satisfies all constraints"):
        find_row(board, "best")


def test_the_live_table_marks_it_and_shows_another_as_best(tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    progress = Progress(
        console,
        total=2,
        already=0,
        n_folds=1,
        objective=NDCG,
        direction="maximize",
        constraints=[Constraint.parse(SMALL)],
        concurrency=1,
        folder="studies/shop",
    )
    for number, done in enumerate([summary(0.9, n_parameters=5000), summary(0.1)]):
        progress.finished(Job(number, {}, (), "SASRec"), done, 1.0)
    first, second = console.export_text().splitlines()
    assert first.endswith(f"({'violates ' + SMALL})")
    assert second.endswith("(best)")


def test_the_constraints_of_the_study_are_what_the_store_keeps(tmp_path: Path) -> None:
    study = Study.model_validate(
        {**STUDY, "search": {"constraints": [SMALL, COVERED]}, "folds": {"split": "last_n", "size": 1}}
    )
    opened(tmp_path, *map(str, study.search.constraints))
    assert read_records(tmp_path).facts["constraints"] == [COVERED, SMALL]
