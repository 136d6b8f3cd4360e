"""Segments on validation: their means add up to the objective, and what is worse for some users is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rectools import Columns

from tests.workflows.test_final import HIT, opened
from tuner.artifacts.user_values import read_groupings, write_groupings, write_users
from tuner.cli import main
from tuner.config import Data, Folds
from tuner.data.folds import search_folds
from tuner.data.segments import groupings_of
from tuner.data.source import load_source
from tuner.reporting.leaderboard import load_leaderboard
from tuner.reporting.segments import segment_lines
from tuner.space import Float, Space
from tuner.trials.records import Summary, Users
from tuner.trials.segments import Grouping, by_amount, by_category, by_history, segment_means

CODES = st.lists(st.integers(0, 3), min_size=1, max_size=40)


@given(st.lists(CODES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_means_of_segments_weighted_by_their_users_are_the_objective(drawn, random) -> None:
    values = {
        fold: np.array([random.random() for _ in codes], np.float32) for fold, codes in enumerate(drawn)
    }
    groupings = {
        fold: [Grouping("kind", ("a", "b", "c", "d"), np.array(codes))] for fold, codes in enumerate(drawn)
    }
    found = segment_means(values, groupings)
    objective = np.mean([one.astype(np.float64).mean() for one in values.values()])
    assert sum(one.share for one in found) == pytest.approx(1)
    assert sum(one.share * one.value for one in found) == pytest.approx(objective)


def test_a_grouping_that_a_fold_lacks_is_left_out() -> None:
    grouping = Grouping("kind", ("a", "b"), np.array([0, 1]))
    values = {fold: np.array([0.5, 0.1], np.float32) for fold in (0, 1)}
    assert segment_means(values, {0: [grouping]}) == ()
    assert [one.name for one in segment_means(values, {0: [grouping], 1: [grouping]})] == ["a", "b"]


def test_users_are_grouped_by_amount_and_by_category() -> None:
    amounts = by_amount("age", np.array([20.0, 30.0, 40.0, np.nan]))
    assert amounts is not None
    assert (amounts.names, amounts.codes.tolist()) == (("low", "middle", "high", "none"), [0, 1, 2, 3])
    assert by_amount("age", np.full(3, np.nan)) is None
    assert by_category("sex", ["F", "F"]) is None
    letters = by_category("letter", list("aaabbcdefgh"))
    assert letters is not None
    assert letters.names == ("a", "b", "c", "d", "e", "others")
    assert letters.codes.tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 5, 5, 5]
    history = by_history(np.array([1, 2, 3]))
    assert history is not None
    assert (history.names, history.shown[0]) == (("few", "some", "many"), "few (1)")


def test_features_of_users_make_segments(tmp_path: Path) -> None:
    rows = [(f"u{user}", step % 2, f"2024-01-{1 + step:02}") for user in range(6) for step in range(2 + user)]
    pd.DataFrame(rows, columns=["user", "item", "day"]).to_csv(tmp_path / "clicks.csv", index=False)
    features = [("u0", "sex", "F"), ("u1", "sex", "F"), ("u2", "sex", "M"), ("u2", "sex", "X")]
    features += [(f"u{user}", "age", str(20 + user)) for user in range(5)]
    pd.DataFrame(features, columns=["id", "feature", "value"]).to_csv(tmp_path / "users.csv", index=False)
    data = Data.model_validate(
        {
            "interactions": str(tmp_path / "clicks.csv"),
            "columns": {"user": "user", "item": "item", "datetime": "day"},
            "user_features": str(tmp_path / "users.csv"),
            "numeric_user_features": ["age"],
        }
    )
    folds = Folds(split="last_n", size=1, n_folds=1, holdout=0, filter_viewed=False)
    (fold,) = search_folds(load_source(data), data, folds)
    found = {one.by: one for one in groupings_of(fold)}
    assert list(found) == ["history", "age", "sex"]
    by_user = {
        by: dict(zip(fold.users.tolist(), (one.names[code] for code in one.codes), strict=True))
        for by, one in found.items()
    }
    assert by_user["sex"] | {"u3": "none", "u5": "none"} == by_user["sex"]
    assert (by_user["sex"]["u0"], by_user["sex"]["u2"]) == ("F", "several")
    assert (by_user["age"]["u0"], by_user["age"]["u4"], by_user["age"]["u5"]) == ("low", "high", "none")
    lengths = fold.seen[Columns.User].value_counts()
    assert by_user["history"][lengths.idxmax()] == "many"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study whose best trial is worse than the baseline for users with a short history."""
    store = opened(tmp_path)
    store.add_baselines([("popular", {"cls": "PopularModel"}, None)])
    space = Space({"cls": "SASRecModel", "lr": Float(0.0, 1.0)})
    short = np.repeat([True, False], [100, 300])
    write_groupings(tmp_path, [[Grouping("history", ("few", "many"), (~short).astype(np.int64))]])
    rng = np.random.default_rng(0)
    for chances in (np.full(400, 0.3), np.where(short, 0.02, 0.6)):
        asked = store.ask(space, 1, dict)
        assert asked is not None
        values = (rng.random(400) < chances).astype(np.float32)
        write_users(tmp_path, asked.number, Users(0, (3,), values[None]))
        value = float(values.mean())
        summary = Summary(3, value, 0.0, {HIT: value}, ({HIT: value},), 3)
        store.complete(asked.number, summary, seconds=1.0, log="logs/x.log")
    return tmp_path


def test_the_leaderboard_shows_segments_on_validation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", str(folder), "--segments"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{HIT} on validation, mean over folds"
    assert " ".join(shown[2].split()) == "trial model history few, 25% of users history many, 75% of users"
    (line,) = segment_lines(load_leaderboard(folder), folder)
    assert line.startswith("for users with history few, the best trial of the search is worse than the best")
    assert shown[-1] == f"validation: {line}"
    assert main(["show", str(folder), "1"]) == 0
    assert "validation, users with history few, 25% of users: 0.0" in capsys.readouterr().out


def test_what_was_written_is_read_and_damage_is_no_error(folder: Path) -> None:
    (grouping,) = read_groupings(folder)[0]
    assert (grouping.by, grouping.names, grouping.codes.sum()) == ("history", ("few", "many"), 300)
    (folder / "users" / "segments.npz").write_bytes(b"PK\x03\x04 cut off")
    assert read_groupings(folder) == {}
    assert list(segment_lines(load_leaderboard(folder), folder)) == []
