"""Looks at the holdout in a real store, and a final judgement as people read it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.holdout.test_judge import fitted_of, hits
from tuner.cli import main
from tuner.config import FinalJudgement, Sampler, Study
from tuner.errors import StoreError
from tuner.holdout import Final
from tuner.holdout.judge import judge
from tuner.holdout.looks import Chosen, Fit, HoldoutLooks
from tuner.holdout.text import final_lines, render_final
from tuner.reporting.final import read_final
from tuner.reporting.formats import render
from tuner.reporting.leaderboard import Leaderboard, load_leaderboard
from tuner.reporting.trial_details import show_trial
from tuner.space import Float, Space
from tuner.store import StudyStore, open_store
from tuner.trials.records import Evaluation, Summary
from tuner.workflows.final import _missing_lines, begun_lines, choose, run_final

HIT = "HitRate@10"
STUDY = {
    "study": "shop",
    "data": {"interactions": "clicks.csv"},
    "folds": {"split": "last_n", "size": 1, "holdout": 1},
    "metrics": {"objective": HIT, "direction": "maximize"},
    "space": {"set": {"cls": "EASEModel"}},
}
FIRST = [Chosen(1, 3, (10, 11)), Chosen(0, 0, (20, 21))]


def opened(folder: Path) -> StudyStore:
    return open_store(
        folder,
        name="shop",
        direction="maximize",
        sampler=Sampler(use="random"),
        seed=1,
        facts={"objective": HIT, "constraints": ["parameters <= 10"]},
    )


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    """A study of a baseline and four trials, of which the best breaks a constraint."""
    store = opened(tmp_path)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    space = Space({"cls": "SASRecModel", "lr": Float(0.0, 1.0)})
    for value, parameters in ((0.1, 1), (0.2, 1), (0.3, 1), (0.4, 99), (0.15, 1)):
        asked = store.ask(space, 1, dict)
        assert asked is not None
        summary = Summary(3, value, 0.0, {HIT: value}, ({HIT: value},), 3, n_parameters=parameters)
        store.complete(asked.number, summary, seconds=1.0, log="logs/x.log")
    return store


def final_of_store(look: int = 1, before: tuple[str, ...] = ()) -> Final:
    rows = [
        fitted_of(2, hits(0.31, seed=3), validation=0.3),
        fitted_of(1, hits(0.30, seed=2), validation=0.2),
        fitted_of(0, hits(0.1, seed=1), validation=0.1, name="popular"),
    ]
    return judge(rows, objective=HIT, direction="maximize", look=look, made="now", before=before)


# ####  --------------  What is judged  --------------  #### #


def test_the_best_that_satisfy_all_constraints_and_the_baselines_are_chosen(
    store: StudyStore, tmp_path: Path
) -> None:
    chosen = choose(load_leaderboard(tmp_path), FinalJudgement(top=2, seeds=2), 60)
    assert [(one.number, one.epoch) for one in chosen] == [(2, 3), (1, 3), (0, 3)]
    seeds = [seed for one in chosen for seed in one.seeds]
    assert len(set(seeds)) == 6
    more = choose(load_leaderboard(tmp_path), FinalJudgement(top=5, seeds=3), 60)
    assert more[0].seeds[:2] == chosen[0].seeds, "more seeds are those before and others"
    assert {one.number for one in more} == {0, 1, 2, 4}


def test_the_best_of_a_family_is_chosen_too_and_one_without_a_complete_trial_is_told(
    store: StudyStore, tmp_path: Path
) -> None:
    board, asked = load_leaderboard(tmp_path), FinalJudgement(top=1, seeds=1, best=("popular", "HSTUModel"))
    assert {one.number for one in choose(board, asked, 60)} == {2, 0}
    assert _missing_lines(board, asked) == [
        "final: no trial of the family HSTUModel can be judged: none is complete within all constraints"
    ]


def test_a_family_asked_for_on_the_command_line_is_checked_before_the_holdout_is_read(
    store: StudyStore, tmp_path: Path
) -> None:
    study = Study.model_validate({**STUDY, "final": {"best": ["HSTUModel"]}})
    with pytest.raises(StoreError, match=r"best: must be a trial, but no complete trial .* 'BERT'"):
        run_final(study, tmp_path, FinalJudgement(best=("HSTUModel", "BERT")))


def test_a_study_without_a_result_has_nothing_to_judge() -> None:
    with pytest.raises(StoreError, match="must have a complete trial to judge"):
        choose(Leaderboard("shop", HIT, "maximize", ()), FinalJudgement(), 60)


# ####  --------------  Holdout looks  --------------  #### #


def test_a_look_is_recorded_before_anything_is_seen(store: StudyStore, tmp_path: Path) -> None:
    look = HoldoutLooks(store.study, tmp_path).begin(FIRST)
    assert (look.number, look.before) == (1, ())
    kept = store.study.user_attrs["final:look:1"]
    assert kept["by"].count(" on ") == 1
    assert [row["trial"] for row in kept["rows"]] == [1, 0]
    assert read_final(tmp_path) is None


def test_looking_at_the_same_fits_again_is_the_same_look(store: StudyStore, tmp_path: Path) -> None:
    first = HoldoutLooks(store.study, tmp_path).begin(FIRST)
    again = HoldoutLooks(opened(tmp_path).study, tmp_path)
    assert again.begin(FIRST[::-1]) == first
    assert again.begin(FIRST[:1]) == first
    assert begun_lines(first, FIRST) == []
    (line,) = begun_lines(first, FIRST[:1])
    assert f"was begun with {len(FIRST)} trials" in line


@pytest.mark.parametrize(
    "other",
    [[*FIRST, Chosen(2, 3, (30,))], [Chosen(1, 3, (10, 11, 12))], [Chosen(1, 2, (10,))]],
    ids=["another trial", "another seed", "another epoch"],
)
def test_looking_at_other_fits_is_another_look(
    other: list[Chosen], store: StudyStore, tmp_path: Path
) -> None:
    looks = HoldoutLooks(store.study, tmp_path)
    first = looks.begin(FIRST)
    second = looks.begin(other)
    assert second.number == 2
    assert second.before == (f"{first.made} by {first.by}",)
    assert looks.begin([*FIRST, Chosen(3, 3, (40,))]).number == 3


def test_a_fit_is_missing_until_it_is_stored_whole(store: StudyStore, tmp_path: Path) -> None:
    looks = HoldoutLooks(store.study, tmp_path)
    fit = Fit(Evaluation(2, 3, {HIT: 0.5}), {HIT: np.array([0.0, 1.0], dtype=np.float32)})
    assert looks.read_fit(1, 10, 2) is None
    looks.write_fit(1, 10, fit)
    found = HoldoutLooks(opened(tmp_path).study, tmp_path).read_fit(1, 10, 2)
    assert found is not None
    assert found.evaluation == fit.evaluation
    assert np.array_equal(found.by_user[HIT], fit.by_user[HIT])
    assert looks.read_fit(1, 11, 2) is None
    assert looks.read_fit(1, 10, 3) is None, "of other users"
    (tmp_path / "users" / "final-0001-seed-10.npz").write_bytes(b"torn")
    assert looks.read_fit(1, 10, 2) is None


def test_the_newest_judgement_is_read(store: StudyStore, tmp_path: Path) -> None:
    looks = HoldoutLooks(store.study, tmp_path)
    final = final_of_store()
    looks.write_final(final)
    assert read_final(tmp_path) == final
    second = final_of_store(2, ("then by me",))
    looks.write_final(second)
    assert read_final(tmp_path) == second


# ####  --------------  As people read it  --------------  #### #


@pytest.fixture
def judged(store: StudyStore, tmp_path: Path) -> Path:
    HoldoutLooks(store.study, tmp_path).write_final(final_of_store(2, ("2026-01-01 by ann on shop",)))
    return tmp_path


def test_the_leaderboard_has_the_holdout_beside_the_validation(judged: Path) -> None:
    board = load_leaderboard(judged)
    table = render(board).splitlines()
    for column in ("holdout", "95 %", "optimism", "letters"):
        assert column in table[0]
    assert any("final: this holdout was looked at once before (2026-01-01 by ann" in line for line in table)
    assert [row.judged is not None for row in board.rows] == [True, True, False, True, False]
    cut = render(board, top=2, width=60).splitlines()
    assert all(len(line) <= 60 for line in cut[:3])
    assert any(line.startswith("final: the winner by validation") and len(line) > 60 for line in cut[3:])


def test_every_format_has_the_judgement(judged: Path) -> None:
    board = load_leaderboard(judged)
    rows = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    row = next(row for row in rows if row["trial"] == "2")
    final = read_final(judged)
    assert final is not None
    kept = final.row(2)
    assert kept is not None
    assert float(row["holdout_mean"]) == kept.metrics[HIT]
    assert float(row["holdout_low"]) == kept.intervals[HIT].low
    assert float(row["optimism"]) == kept.optimism
    assert row["letters"] == "a"
    assert next(row for row in rows if row["trial"] == "4")["holdout_mean"] == ""
    assert Final.from_plain(json.loads(render(board, "json"))["final"]) == final
    lines = render(board, "md").splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "- final: the winner by validation is trial 2" in render(board, "md")


def test_a_leaderboard_without_a_judgement_says_nothing_of_one(store: StudyStore, tmp_path: Path) -> None:
    board = load_leaderboard(tmp_path)
    assert "holdout" not in render(board)
    assert "holdout" not in render(board, "csv")
    assert "final" not in json.loads(render(board, "json"))


def test_show_prints_how_a_row_was_judged(judged: Path) -> None:
    text = show_trial(judged, "1")
    assert "holdout: HitRate@10 0.3" in text
    assert (
        "mean of 3 fits for 3 epochs on everything before the holdout; place 2 of 3 by validation, letters a"
        in text
    )
    assert "against the best baseline, trial 0 popular: difference +0.2" in text
    assert "looked at once before" in text
    assert "holdout" not in show_trial(judged, "4")


def test_what_is_said_is_calm_and_true(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    final = read_final(judged)
    assert final is not None
    lines = final_lines(final)
    first = (
        "final: the winner by validation is trial 2 SASRecModel; it is better than the best baseline popular "
        "(difference +0.2"
    )
    assert lines[0].startswith(first)
    assert lines[0].endswith("1,000 users, p < 0.001)")
    assert lines[1] == "final: the holdout cannot tell the winner from trial 1"
    assert lines[2].startswith("final: of the winner, validation is 0.3000, the holdout 0.3")
    table = render_final(final)
    assert "letters" in table
    assert [line.split()[1] for line in table.splitlines()[1:4]] == ["2", "1", "0"]
    assert main(["leaderboard", str(judged)]) == 0
    assert lines[0] in capsys.readouterr().out
