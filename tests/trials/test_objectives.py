"""Several objectives: the Pareto front, and what the store, samplers and leaderboard make of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tuner.artifacts.layout import STUDY_FILE
from tuner.config import Sampler, Stopping, Study, study_from_mapping
from tuner.errors import StoreError, StudyError
from tuner.reporting.formats import render
from tuner.reporting.leaderboard import load_leaderboard
from tuner.space import Int, Space
from tuner.store import StudyStore, open_store, read_records
from tuner.trials.objective import Direction, summarise
from tuner.trials.outcomes import Stop
from tuner.trials.pareto import fronts
from tuner.trials.records import Evaluation, Summary

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

NDCG, NOVEL = "NDCG@10", "Serendipity@10"
SPACE = Space({"cls": "SASRecModel", "n_blocks": Int(1, 8), "n_factors": Int(1, 3)})
FURTHER: dict[str, Direction] = {NOVEL: "maximize", "parameters": "minimize"}

levels = st.integers(0, 4).map(float)
directions = st.lists(st.sampled_from(["maximize", "minimize"]), min_size=1, max_size=3)


@st.composite
def clouds(draw: st.DrawFn) -> tuple[list[tuple[float, ...]], list[Direction]]:
    """Few levels, so that points tie and are equal."""
    ways = draw(directions)
    points = draw(st.lists(st.tuples(*[levels] * len(ways)), max_size=25))
    return points, ways


def dominates(one: tuple[float, ...], other: tuple[float, ...], ways: list[Direction]) -> bool:
    gains = [a - b if way == "maximize" else b - a for a, b, way in zip(one, other, ways, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


# ####  --------------  The front  --------------  #### #


def test_fronts_of_a_few_points() -> None:
    points = [(0.5, 100), (0.4, 50), (0.4, 60), (0.5, 100), (0.1, 200), (0.9, 300)]
    assert fronts(points, ["maximize", "minimize"]) == [1, 1, 2, 1, 3, 1]
    assert fronts([], ["maximize"]) == []


@given(clouds())
def test_each_front_is_what_none_dominates_without_those_before_it(
    cloud: tuple[list[tuple[float, ...]], list[Direction]],
) -> None:
    points, ways = cloud
    found = fronts(points, ways)
    left, front = set(range(len(points))), 0
    while left:
        front += 1
        free = {i for i in left if not any(dominates(points[j], points[i], ways) for j in left)}
        assert free == {i for i in range(len(points)) if found[i] == front}
        left -= free


# ####  --------------  In the study file  --------------  #### #

STUDY = {
    "study": "shop",
    "data": {"interactions": "clicks.csv"},
    "folds": {"split": "last_n", "size": 1},
    "metrics": {
        "objective": NDCG,
        "direction": "maximize",
        "report": [NOVEL, NDCG],
        "further_objectives": FURTHER,
    },
    "space": "search_spaces.guide",
}


def metrics(**changes: object) -> dict[str, object]:
    return {**STUDY, "metrics": {**STUDY["metrics"], **changes}}


def test_with_several_objectives_trials_are_stopped_early_only_where_that_is_asked_for() -> None:
    off = Stopping(halving=None, race=None)
    assert study_from_mapping(STUDY).stopping == off
    assert study_from_mapping({**STUDY, "stopping": True}).stopping == Stopping()
    assert study_from_mapping({**STUDY, "stopping": {"race": False}}).stopping == Stopping(race=None)
    assert study_from_mapping(metrics(further_objectives={})).stopping == Stopping()
    again = study_from_mapping(STUDY).model_dump(mode="json", include={"stopping"})
    assert study_from_mapping({**STUDY, **again}).stopping == off


@pytest.mark.parametrize(
    ("further", "rule"),
    [
        ({"Serendipity@5": "maximize"}, "did you mean 'Serendipity@10'?"),
        ({NDCG: "maximize"}, "must name metrics of the report"),
        ({"HitRate@10": "maximize"}, "must name metrics of the report"),
        ({"params": "minimize"}, "did you mean 'parameters'?"),
        ({"parameters": "min"}, "must be one of maximize, minimize, but got 'min'"),
        (["parameters"], "must be"),
    ],
)
def test_a_wrong_objective_is_reported(further: object, rule: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_from_mapping(metrics(further_objectives=further))
    (problem,) = caught.value.problems
    assert "metrics.further_objectives" in problem.where
    assert rule in str(problem)


def test_a_sampler_of_one_objective_is_refused() -> None:
    with pytest.raises(StudyError, match="must be one for several objectives, as tpe, gp"):
        study_from_mapping({**STUDY, "search": {"sampler": "cmaes"}})


# ####  --------------  In the store  --------------  #### #


def opened(
    folder: Path,
    *constraints: str,
    use: str = "random",
    further: dict[str, Direction] = FURTHER,
    storage: str | None = None,
) -> StudyStore:
    folder.mkdir(exist_ok=True)
    facts = {"objective": NDCG, "further objectives": further, "constraints": sorted(constraints)}
    sampler = Sampler(use=use)
    return open_store(
        folder, name="shop", direction="maximize", sampler=sampler, seed=5, facts=facts, storage=storage
    )


def summary(value: float, novel: float, n_parameters: int) -> Summary:
    return summarise([evaluation(value, novel, n_parameters)], NDCG, "maximize")


def evaluation(value: float, novel: float, n_parameters: int) -> Evaluation:
    return Evaluation(0, 1, {NDCG: value, NOVEL: novel}, n_parameters=n_parameters, recommend_seconds=0.5)


def run(store: StudyStore, value: float, novel: float, n_parameters: int) -> None:
    asked = store.ask(SPACE, 1, dict)
    store.report(asked.number, evaluation(value, novel, n_parameters), NDCG, 1)
    store.complete(asked.number, summary(value, novel, n_parameters), seconds=1, log="")


@pytest.mark.parametrize("storage", [None, "sqlite:///trials.db"])
def test_optuna_has_all_objectives_and_finds_the_same_front(tmp_path: Path, storage: str | None) -> None:
    (tmp_path / STUDY_FILE).write_text(json.dumps({"study": "shop", "storage": storage}))
    # This sampler repeats no point, so that the numbers are those of the calls.
    store = opened(tmp_path, use="brute_force", storage=storage)
    assert store.study.directions == [
        StudyDirection.MAXIMIZE,
        StudyDirection.MAXIMIZE,
        StudyDirection.MINIMIZE,
    ]
    for values in [(0.5, 0.1, 90), (0.4, 0.1, 90), (0.1, 0.9, 90), (0.1, 0.1, 10), (0.1, 0.1, 11)]:
        run(store, *values)
    assert store.study.trials[2].values == [0.1, 0.9, 90]
    front = {row.record.number for row in load_leaderboard(tmp_path).front}
    assert front == {trial.number for trial in store.study.best_trials} == {0, 2, 3}
    again = opened(tmp_path, storage=storage)
    assert again.study.directions == store.study.directions
    assert again.n_searched() == 5


def test_objectives_are_facts_of_a_study(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(
        StoreError, match=r"metrics\.further_objectives.*: must stay as it was when the study began"
    ):
        opened(tmp_path, further={"parameters": "minimize"})


@pytest.mark.parametrize("use", ["tpe", "gp", "nsga2", "nsga3", "random", "brute_force"])
def test_samplers_continue_with_baselines_repeats_and_stopped_trials(tmp_path: Path, use: str) -> None:
    store = opened(tmp_path, "parameters <= 3000", use=use)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    for place in range(24):
        asked = store.ask(SPACE, 1, dict)
        if asked is None:
            break
        blocks = int(str(asked.params.get("n_blocks", 0)))
        store.report(asked.number, evaluation(blocks / 10, -blocks / 10, 500 * blocks), NDCG, 1)
        if place % 6 == 5:
            stop = Stop("halving", 0, 1, {"value": 0.1, "place": 9, "n_trials": 9, "kept": 1, "rung": 1})
            store.prune(asked.number, stop=stop, seconds=1, log="")
        else:
            store.complete(asked.number, summary(blocks / 10, -blocks / 10, 500 * blocks), seconds=1, log="")
    assert all(len(trial.values) == 3 for trial in store.study.get_trials(states=[TrialState.COMPLETE]))
    records = read_records(tmp_path).records
    points = [tuple(sorted(record.params.items())) for record in records if record.status != "duplicate"]
    assert len(points) == len(set(points)) == 24


# ####  --------------  On the leaderboard  --------------  #### #


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Trials 0 and 2 on the first front, 1 on the second, 3 breaks a constraint."""
    store = opened(
        tmp_path,
        "parameters <= 500",
        further={"recommend_seconds": "minimize", "parameters": "minimize"},
    )
    for values in [(0.4, 0, 100), (0.4, 0, 200), (0.5, 0, 300), (0.9, 0, 600)]:
        run(store, *values)
    return tmp_path


def test_rows_are_ranked_by_front_and_then_by_the_first_objective(shop: Path) -> None:
    board = load_leaderboard(shop)
    assert [(row.record.number, row.rank, row.front) for row in board.rows] == [
        (2, 1, 1),
        (0, 2, 1),
        (1, 3, 2),
        (3, 4, None),
    ]
    assert board.best is board.rows[0]
    assert [row.record.number for row in board.front] == [2, 0]
    by_metric = load_leaderboard(shop, sort=NDCG)
    assert [row.record.number for row in by_metric.rows] == [2, 0, 1, 3]
    assert [row.front for row in by_metric.rows] == [1, 1, 2, None]


def test_every_format_has_the_front_and_the_objectives(shop: Path) -> None:
    board = load_leaderboard(shop)
    header, first, *_ = render(board).splitlines()
    assert header.split()[:3] == ["rank", "front", "trial"]
    assert "recommend_seconds" in header
    assert first.split()[:3] == ["1", "1", "2"]
    assert "0.5000" in first
    rows = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    assert [row["front"] for row in rows] == ["1", "1", "2", ""]
    assert [row["recommend_seconds"] for row in rows] == ["0.5"] * 4
    plain = json.loads(render(board, "json"))
    assert plain["further_objectives"] == {"recommend_seconds": "minimize", "parameters": "minimize"}
    assert [row["front"] for row in plain["rows"]] == [1, 1, 2, None]
    assert render(board, "md", top=1).splitlines()[2].startswith("| 1 | 1 | 2 |")


def test_with_one_objective_there_is_no_such_column(tmp_path: Path) -> None:
    store = opened(tmp_path, further={})
    run(store, 0.5, 0, 1)
    run(store, 0.4, 0, 1)
    board = load_leaderboard(tmp_path)
    assert "front" not in render(board)
    assert "front" not in render(board, "json")
    assert board.front == (board.rows[0],)


def test_a_study_from_python_has_the_same_objectives() -> None:
    study = Study.model_validate(STUDY)
    assert study.metrics.further_objectives == FURTHER
