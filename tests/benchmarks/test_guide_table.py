"""The guide's rows beside a study's: what is printed, and what goes into docs/guide.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.guide_table import GUIDE, PAGE, fill, table
from tests.finished import ROOT
from tuner.reporting.leaderboard import Leaderboard, Row
from tuner.trials.objective import summarise
from tuner.trials.records import Evaluation
from tuner.trials.stored import TrialRecord

LABELS = ("NDCG@10", "HitRate@10", "MAP@10")


def row(number: int, name: str | None, value: float, objective: str = "MAP@10") -> Row:
    evaluations = [Evaluation(0, 3, dict.fromkeys(LABELS, value))]
    summary = summarise(evaluations, objective, "maximize")
    record = TrialRecord(number, "complete", name, {"cls": "SASRecModel"}, summary=summary)
    return Row(number, record, {}, "complete")


def test_on_kion_the_guides_figures_stand_beside_those_of_the_run() -> None:
    board = Leaderboard("kion", "MAP@10", "maximize", (row(1, "sasrec", 0.125), row(2, None, 0.1)))
    lines = table(board, guide=True).splitlines()
    assert lines[0] == "| row | guide HitRate@10 | guide MAP@10 | yours HitRate@10 | yours MAP@10 |"
    assert len(lines) == 2 + len(GUIDE)
    assert "| `sasrec` | 0.3169 | 0.0922 | 0.1250 | 0.1250 |" in lines
    assert "| `albert` | 0.3326 | 0.0957 |  |  |" in lines


def test_elsewhere_the_best_trial_and_other_baselines_have_rows() -> None:
    rows = (row(1, None, 0.25, "NDCG@10"), row(2, "ease", 0.2, "NDCG@10"))
    lines = table(Leaderboard("beauty", "NDCG@10", "maximize", rows), guide=False).splitlines()
    assert lines[0] == "| row | NDCG@10 | HitRate@10 | MAP@10 |"
    assert lines[-2:] == [
        "| `ease` | 0.2000 | 0.2000 | 0.2000 |",
        "| best of the search, trial 1 | 0.2500 | 0.2500 | 0.2500 |",
    ]


def test_the_page_has_a_place_for_each_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("kion", "beauty"):
        assert "here\n<!-- end -->" in fill(page, name, "here")
    with pytest.raises(SystemExit, match="must have one line"):
        fill(page, "nowhere", "here")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_the_command_prints_the_rows_of_a_real_study(finished_shop: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.guide_table", str(finished_shop / "studies" / "shop")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert names == ["row", "---", *(f"`{name}`" for name in GUIDE), "`ease`"]
    facts = re.search(r"Study `shop`: (\d+) complete trials and (\d+) stopped early", done.stdout)
    assert facts is not None
    assert int(facts[1]) + int(facts[2]) == 7
