"""Race, report and comparison say the same of the same two trials, on folds of different size."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tuner.artifacts.user_values import read_users, write_users
from tuner.config import Race, Sampler
from tuner.reporting.comparison import compare, draw_comparison
from tuner.reporting.html.answer import answer
from tuner.reporting.paired import compare_on_users
from tuner.reporting.report_data import gather
from tuner.search.race import race
from tuner.space import Choice, Space
from tuner.store import open_store
from tuner.trials.objective import summarise
from tuner.trials.paired import Z95
from tuner.trials.records import Evaluation, Users

SPACE = Space({"cls": Choice("SASRecModel")})
BASELINE = ("popular", {"cls": "PopularModel"}, None)
SIZES = (200, 1800)
FACTS = {"data": "abc", "folds": {}, "objective": "NDCG@10", "direction": "maximize"}


def values(rng: np.random.Generator, *shifts: float) -> list[np.ndarray]:
    """Return the values of each fold, around a mean of their own."""
    means = 0.3 + np.array(shifts)
    return [rng.normal(mean, 0.1, size).astype(np.float32) for size, mean in zip(SIZES, means, strict=True)]


def write(folder: Path, trials: list[list[np.ndarray]]) -> Path:
    """Write a study: a baseline, then searched trials, each with its values by user."""
    folder.mkdir()
    store = open_store(folder, name=folder.name, direction="maximize", sampler=Sampler(), seed=1, facts=FACTS)
    store.add_baselines([BASELINE])
    for folds in trials:
        asked = store.ask(SPACE, len(SIZES), dict)
        evaluations = [Evaluation(fold, 1, {"NDCG@10": float(one.mean())}) for fold, one in enumerate(folds)]
        for step, evaluation in enumerate(evaluations):
            store.report(asked.number, evaluation, "NDCG@10", step)
        for fold, one in enumerate(folds):
            write_users(folder, asked.number, Users(fold, (1,), one[None]))
        summary = summarise(evaluations, "NDCG@10", "maximize")
        store.complete(asked.number, summary, seconds=1.0, log="x")
    return folder


@pytest.fixture
def studies(tmp_path: Path) -> tuple[Path, Path]:
    """Return a study with a baseline alone, and one that has a better trial beside it."""
    rng = np.random.default_rng(5)
    baseline, searched = values(rng, 0.0, 0.0), values(rng, 0.01, 0.03)
    return write(tmp_path / "first", [baseline]), write(tmp_path / "second", [baseline, searched])


def test_race_report_and_comparison_agree(studies: tuple[Path, Path]) -> None:
    first, second = compare(studies)
    best, baseline = second.board.best.record, first.board.best.record
    found = compare_on_users(studies[1], best, baseline, studies[0])
    assert found.difference == pytest.approx(best.summary.mean - baseline.summary.mean, abs=1e-6)
    low, high = found.bounds()

    mine, its = ({users.fold: users.at(1) for users in read_users(studies[1], n)} for n in (1, 0))
    lost = race(its, mine, Race(z=Z95), "maximize")
    assert lost == {"difference": -found.difference, "low": -high, "high": -low, "n_users": sum(SIZES)}

    text = draw_comparison([first, second])
    assert f"{found.difference:+.4f} ({low:+.4f} to {high:+.4f}, 2,000 pairs), better" in text
    notes = " ".join(tile.note for tile in answer(gather(studies[1])).tiles)
    assert re.search(rf"interval \{low:+.4f} to \{high:+.4f} over 2,000 pairs", notes)


def test_the_same_study_needs_no_second_folder(studies: tuple[Path, Path]) -> None:
    records = [row.record for row in compare(studies)[1].board.rows]
    found = compare_on_users(studies[1], *records)
    assert found == compare_on_users(studies[1], records[0], records[1], studies[0])
    (studies[1] / "users" / "trial-0000-fold-1.npz").unlink()
    assert compare_on_users(studies[1], *records) is None, "a fold of the objective is missing"
