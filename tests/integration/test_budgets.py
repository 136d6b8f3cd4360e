"""Budgets, constraints and several objectives in a real search."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import Small
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def run(small: Small, *changes: str) -> str:
    """Run the study, one trial at a time; return what it said."""
    overrides = [word for change in (*changes, "resources.concurrency=1") for word in ("--set", change)]
    done = small.tuner("run", "study.yaml", *overrides)
    assert done.returncode == 0, done.stderr
    return done.stderr


def states(small: Small) -> list[str]:
    return [record.status for record in read_records(small.results).records]


@pytest.mark.long
def test_a_target_ends_a_search_and_without_it_the_same_search_goes_on_to_a_plateau(small: Small) -> None:
    cheap = ("baselines=[popular]", "training.epochs=1")
    said = run(small, *cheap, "search={trials: 9, target: 0.0001}")
    assert states(small) == ["complete"], "the baseline has reached it; the sampler chose nothing"
    assert "the search ends: trial 0 has NDCG@10 0." in said
    assert "and 0.0001 was wanted (search.target); to go on, --set search.target=..." in said

    said = run(small, *cheap, "search={trials: 9, plateau: {trials: 1, min_improvement: 10}}")
    assert states(small) == ["complete"] * 3, "one sets the level, the next is no better"
    assert "the search ends: no better trial among the last 1 (search.plateau)" in said
    for record in read_records(small.results).records:
        assert record.usage.cpu_seconds > record.summary.fit_seconds
        assert record.usage.gpu_seconds == 0


@pytest.mark.long
def test_when_time_is_up_a_trial_has_a_grace_and_then_goes_on_later(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(
        "import time\n"
        "from pathlib import Path\n"
        "from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers\n\n"
        "class Slow(PreLNTransformerLayers):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        if not Path(__file__).with_name('quick').exists():\n"
        "            time.sleep(1000)\n"
        "        return super().forward(*args, **kwargs)\n"
    )
    params = "cls: SASRecModel, n_factors: 8, session_max_len: 8, transformer_layers_type: mine.Slow"
    slow = f"baselines=[{{name: slow, params: {{{params}}}}}]", "training.epochs=1"
    said = run(small, *slow, "search={trials: 0, time_budget: 8s, grace: 1s}")

    assert "the search ends: 8.0 s are over (search.time_budget); the same command goes on" in said
    (record,) = read_records(small.results).records
    assert (record.status, record.evaluations) == ("running", ())
    usage = record.usage.cpu_seconds
    assert usage > 0

    (small.folder / "quick").touch()
    said = run(small, *slow, "search={trials: 0, time_budget: 2h}")
    assert "trial 0 slow was interrupted and starts again" in said
    (record,) = read_records(small.results).records
    assert record.status == "complete"
    assert record.usage.cpu_seconds > usage, "what the first attempt has held counts as well"


@pytest.mark.long
def test_constraints_and_several_objectives_from_file_to_leaderboard(small: Small) -> None:
    said = run(
        small,
        "baselines=[popular]",
        "training.epochs=1",
        "space.set.n_factors=[4, 64]",
        "search={trials: 4, constraints: ['parameters <= 3000'], seed: 1}",
        "metrics.further_objectives={parameters: minimize, recommend_seconds: minimize}",
    )
    board = load_leaderboard(small.results)
    assert [row.status for row in board.rows] == ["complete"] * 5
    breaks = [bool(row.breaks) for row in board.rows]
    assert breaks == [row.record.params.get("n_factors") == 64 for row in board.rows]
    assert breaks == sorted(breaks)
    assert any(breaks), "the seed gives some of both"
    assert said.count("(violates parameters <= 3000)") == sum(breaks)
    assert f"best: trial {board.best.record.number} " in said
    front = [row.record.number for row in board.rows if row.front == 1]
    assert f"Pareto front: trials {', '.join(map(str, front))}\n" in said
    popular = next(row for row in board.rows if row.record.name == "popular")
    assert popular.front == 1, "none has fewer parameters"
    assert all(row.record.summary.recommend_seconds > 0 for row in board.rows)
    shown = small.tuner("show", "studies/small", str(board.rows[-1].record.number)).stdout
    assert "violates parameters <= 3000: it has " in shown
