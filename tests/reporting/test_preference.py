"""Of the searched trials that validation cannot tell apart, the study takes the cheapest one, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuner.artifacts.user_values import write_users
from tuner.config import FinalJudgement, Metrics, Sampler
from tuner.errors import StudyError
from tuner.reporting.leaderboard import load_leaderboard
from tuner.reporting.preference import preferred
from tuner.space import Float, Space
from tuner.store import open_store
from tuner.trials.objective import summarise
from tuner.trials.records import Evaluation, Users
from tuner.workflows.final import choose

#: Shift of the mean, and parameters, of each searched trial. The second and the fourth equal the first.
TRIALS = ((0.02, 900), (0.019, 300), (-0.05, 10), (0.0195, 300))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    facts = {"objective": "NDCG@10"}
    sampler = Sampler(use="random")
    store = open_store(folder, name="shop", direction="maximize", sampler=sampler, seed=1, facts=facts)
    rng = np.random.default_rng(3)
    users = rng.uniform(0.2, 0.4, 500)
    for shift, parameters in TRIALS:
        asked = store.ask(Space({"cls": "SASRecModel", "lr": Float(0.0, 1.0)}), 1, dict)
        assert asked is not None
        noise = rng.normal(0, 0.1, 500)
        values = (users + noise - noise.mean() + shift).astype(np.float32)
        evaluation = Evaluation(0, 1, {"NDCG@10": float(values.mean())}, n_parameters=parameters)
        write_users(folder, asked.number, Users(0, (1,), values[None]))
        store.complete(asked.number, summarise([evaluation], "NDCG@10", "maximize"), seconds=1.0, log="x")
    return folder


def test_the_cheapest_of_the_equals_is_taken_and_that_is_said(folder: Path) -> None:
    board = load_leaderboard(folder)
    found = preferred(board, folder, ("parameters",))
    assert found is not None
    assert found.row.record.number == 3, "of two that are equally cheap, the better one by validation"
    assert "validation cannot tell 3 searched trials apart, of which trial 0 is the best" in found.note
    assert found.note.endswith("(parameters 300 instead of 900)")


def test_without_a_preference_or_per_user_values_the_best_is_taken(folder: Path, tmp_path: Path) -> None:
    board = load_leaderboard(folder)
    for place, prefer in ((folder, ()), (tmp_path, ("parameters",))):
        found = preferred(board, place, prefer)
        assert found is not None
        assert (found.row.record.number, found.note) == (0, "")


def test_what_is_preferred_is_judged_also_if_it_is_not_among_the_best(folder: Path) -> None:
    board = load_leaderboard(folder)
    found = preferred(board, folder, ("parameters",))
    chosen = choose(board, FinalJudgement(top=1, seeds=1), 60, found)
    assert [one.number for one in chosen] == [0, 3]


@pytest.mark.parametrize(
    ("prefer", "rule"), [(["weight"], "must name parameters"), (["parameters"] * 2, "once")]
)
def test_what_is_preferred_must_be_a_quantity(prefer: list[str], rule: str) -> None:
    with pytest.raises(StudyError, match=rule):
        Metrics(objective="NDCG@10", direction="maximize", prefer=prefer)
