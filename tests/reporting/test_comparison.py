"""Studies side by side: only those that were measured alike."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from tuner.artifacts.user_values import write_users
from tuner.cli import main
from tuner.config import Sampler
from tuner.errors import StoreError
from tuner.reporting.comparison import compare, draw_comparison, shared_trials
from tuner.reporting.paired import compare_on_users
from tuner.space import Choice, Space
from tuner.store import open_store
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Usage
from tuner.trials.records import Evaluation, Users

FACTS = {"data": "abc", "folds": {"size": 1}, "objective": "NDCG@10", "direction": "maximize", "epochs": 5}
ROWS = {"popular": ({"cls": "PopularModel"}, 0.1), "sasrec": ({"cls": "SASRecModel"}, 0.3)}
SPACE = Space({"cls": Choice("SASRecModel", "PopularModel")})


@pytest.fixture
def make(tmp_path):
    """Write a study of some baselines, each with values by user around its mean."""

    def write(name, rows=ROWS, **facts):
        folder = tmp_path / name
        folder.mkdir()
        store = open_store(
            folder,
            name=name,
            direction="maximize",
            sampler=Sampler(),
            seed=1,
            facts={**FACTS, **facts},
        )
        store.add_baselines([(label, params, None) for label, (params, _) in rows.items()])
        for _, value in rows.values():
            asked = store.ask(SPACE, 1, dict)
            evaluation = Evaluation(0, 1, {"NDCG@10": value})
            store.report(asked.number, evaluation, "NDCG@10", 1)
            store.note_usage(asked.number, Usage(60.0, 0.0))
            store.complete(asked.number, summarise([evaluation], "NDCG@10", "maximize"), seconds=1.0, log="x")
            noise = np.random.default_rng(3).normal(0, 0.05, 400).astype(np.float32)
            write_users(folder, asked.number, Users(0, (1,), (noise + np.float32(value))[None]))
        return folder

    return write


def test_studies_stand_side_by_side(make, capsys):
    first, second = make("first"), make("second", {**ROWS, "sasrec": (ROWS["sasrec"][0], 0.35)}, epochs=9)
    assert main(["compare", str(first), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 studies on the same data and folds, by NDCG@10 (maximize)"
    assert "  epochs: 5, 9" in lines
    assert any(line.split() == ["popular", "0.1000", "0.1000"] for line in lines)
    assert any(line.split() == ["sasrec", "0.3000", "0.3500"] for line in lines)
    assert any("2 min 00 s" in line for line in lines)
    assert "2 complete trials have the same params in all studies (with equal values: 1)" in lines


@pytest.mark.parametrize("fact", ["data", "folds", "objective"])
def test_what_was_measured_otherwise_is_refused_by_name(make, fact):
    first, second = make("first"), make("second", **{fact: "NDCG@20"})
    if fact == "objective":
        second = make("third", objective="MAP@10")
    with pytest.raises(StoreError, match=f", {fact}: must be as in"):
        compare([first, second])


def test_a_difference_by_user_is_found_where_means_of_folds_could_not_tell(make):
    rows = {**ROWS, "sasrec": (ROWS["sasrec"][0], 0.31)}
    studies = compare([make("first"), make("second", rows)])
    best = [study.board.best for study in studies]
    paired = compare_on_users(studies[1].folder, best[1].record, best[0].record, studies[0].folder)
    assert paired is not None
    assert paired.difference == pytest.approx(0.01, abs=1e-6)
    assert paired.better("maximize") is True
    assert "+0.0100" in draw_comparison(studies)
    assert "better" in draw_comparison(studies)


def test_all_settings_that_differ_are_named_and_the_best_of_the_searches_are_compared(make):
    first, second = make("first"), make("second", {"popular": ROWS["popular"]})
    for folder, stopping in ((first, {"race": None}), (second, {"race": {"z": 1.0}})):
        training = {"epochs": len(stopping["race"] or ()), "patience": 3}
        plain = {"study": folder.name, "stopping": stopping, "training": training}
        (folder / "study.yaml").write_text(yaml.safe_dump(plain))
    lines = draw_comparison(compare([first, second])).splitlines()
    assert "  stopping.race.z: none, 1.0" in lines
    assert "  baselines: popular sasrec | popular" in lines
    named = [line.split(":")[0].strip() for line in lines if line.startswith("  ")]
    assert named == ["stopping.race.z", "baselines"], "what is a fact or equal is not named"
    assert any(line.startswith("best of the search of") for line in lines)


def test_without_values_by_user_it_says_so(make):
    first, second = make("first"), make("second")
    for path in (second / "users").iterdir():
        path.unlink()
    studies = compare([first, second])
    assert "no per-user values" in draw_comparison(studies)
    assert [one.label for one in shared_trials(studies)] == ["sasrec", "popular"]
