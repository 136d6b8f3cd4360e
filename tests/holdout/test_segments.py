"""Segments part the users of the holdout: their means add up, and a winner that is worse for some is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.holdout.test_judge import fitted_of, hits
from tests.workflows.test_final import opened
from tuner.cli import main
from tuner.holdout import Final
from tuner.holdout.judge import judge
from tuner.holdout.looks import HoldoutLooks
from tuner.holdout.segment_text import render_segments
from tuner.holdout.text import final_lines, row_lines
from tuner.trials.segments import by_history, hot_and_cold

HIT = "HitRate@10"
LENGTHS = np.repeat(np.arange(1, 11), 100)


@pytest.fixture(scope="module")
def final() -> Final:
    """The winner is better on the whole, and worse for users with a short history."""
    winner, baseline = hits(0.5, seed=1), hits(0.3, seed=2)
    winner[:, :300] = hits(0.1, seed=3)[:, :300]
    rows = [
        fitted_of(2, winner, validation=0.3),
        fitted_of(1, hits(0.2), validation=0.2),
        fitted_of(0, baseline, validation=0.1, name="popular"),
    ]
    grouping = by_history(LENGTHS)
    assert grouping is not None
    return judge(rows, objective=HIT, direction="maximize", groupings=[grouping])


def test_the_mean_over_segments_weighted_by_users_is_the_metric(final: Final) -> None:
    assert sum(segment.n_users for segment in final.segments) == final.n_users
    for place, row in enumerate(final.rows):
        parts = [(segment.n_users, segment.rows[place]) for segment in final.segments]
        assert all(part.number == row.number for _, part in parts)
        together = sum(n * part.metrics[HIT] for n, part in parts) / final.n_users
        assert together == pytest.approx(row.metrics[HIT], rel=1e-6)
        for _, part in parts:
            assert part.intervals[HIT].low <= part.metrics[HIT] <= part.intervals[HIT].high


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_each_user_is_in_one_segment_and_longer_histories_in_later_ones(drawn: list[int]) -> None:
    lengths = np.array(drawn, dtype=np.int64)
    grouping = by_history(lengths)
    if grouping is None:
        assert np.mean(lengths == lengths.max()) > 2 / 3
        return
    assert set(grouping.codes.tolist()) == set(range(len(grouping.names)))
    order = np.argsort(lengths, kind="stable")
    assert (np.diff(grouping.codes[order]) >= 0).all()
    for length in set(drawn):
        assert len(set(grouping.codes[lengths == length].tolist())) == 1


def test_users_are_hot_warm_or_cold() -> None:
    lengths = np.array([3, 0, 0, 1])
    assert hot_and_cold(lengths[lengths > 0]) is None
    cold = hot_and_cold(lengths)
    assert cold is not None
    assert (cold.names, cold.codes.tolist()) == (("hot", "cold"), [0, 1, 1, 0])
    warm = hot_and_cold(lengths, np.array([True, True, False, False]))
    assert warm is not None
    assert (warm.names, warm.codes.tolist()) == (("hot", "warm", "cold"), [0, 1, 2, 0])


def test_a_winner_that_is_worse_for_a_segment_is_told(final: Final) -> None:
    assert final.primary is not None
    assert final.primary.better("maximize")
    few = final.segments[0]
    assert few.name == "few (1 to 4)"
    assert few.compared is not None
    assert few.compared.n_compared == 3
    (line,) = (line for line in final_lines(final) if "for users with" in line)
    assert line.startswith(
        "final: for users with history few (1 to 4), the winner is worse than the best bas"
    )
    assert "both corrected for 3 comparisons" in line
    lines = list(row_lines(final, final.rows[0]))
    assert any(line.startswith(f"  {HIT}, history many (8 to 10), 300 users: 0.5") for line in lines)
    shown = render_segments(final).splitlines()
    assert shown[0] == f"{HIT} by history"
    assert shown[1].split()[:3] == ["trial", "model", "few"]


def test_all_metrics_of_users_are_shown_by_segment_the_objective_first(final: Final) -> None:
    grouping = by_history(LENGTHS)
    assert grouping is not None
    rows = [
        replace(one, by_user={"MAP@10": one.by_user[HIT] / 2, **one.by_user})
        for one in (fitted_of(2, hits(0.5), validation=0.3), fitted_of(0, hits(0.3), name="popular"))
    ]
    both = judge(rows, objective=HIT, direction="maximize", groupings=[grouping])
    tables = render_segments(both).split("\n\n")
    assert [table.splitlines()[0] for table in tables] == [f"{HIT} by history", "MAP@10 by history"]
    halves = [segment.rows[0].metrics["MAP@10"] / segment.rows[0].metrics[HIT] for segment in both.segments]
    assert halves == pytest.approx([0.5] * 3)
    assert sum(line.startswith("  MAP@10, history") for line in row_lines(both, both.rows[0])) == 3


def test_the_leaderboard_shows_the_segments_of_a_stored_judgement(
    final: Final, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Final.from_plain(json.loads(json.dumps(final.to_plain()))) == final
    store = opened(tmp_path)
    assert main(["leaderboard", str(tmp_path), "--segments"]) == 2
    assert "needs a complete trial" in capsys.readouterr().err
    HoldoutLooks(store.study, tmp_path).write_final(final)
    assert main(["leaderboard", str(tmp_path), "--segments"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"on the holdout\n\n{render_segments(final)[:40]}")
    assert "the winner is worse than the best baseline popular" in shown
