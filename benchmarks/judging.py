"""Runs or continues a study and its final judgement, and gives the judgement as results of a benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.measuring import machine
from tuner import run
from tuner.artifacts import layout
from tuner.config import Study
from tuner.holdout import Final, JudgedRow
from tuner.holdout.text import final_lines, render_final
from tuner.reporting.final import read_final
from tuner.reporting.leaderboard import load_leaderboard
from tuner.trials.status import TrialStatus
from tuner.workflows.final import run_final

__all__ = ["arguments", "judge"]


def arguments(doc: str | None) -> argparse.Namespace:
    """Read the options of a benchmark that judges a study."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="folder of a study that has been run")
    parser.add_argument("--output", type=Path, default=Path("studies"), help="folder for the study's folder")
    return parser.parse_args()


def judge(path: Path, asked: argparse.Namespace) -> tuple[Final, dict[str, Any]]:
    """Run what is missing of a study, judge it if it is not yet judged, and print the judgement.

    Parameters
    ----------
    path
        The study file. With `--folder`, the study is the one that was run in that folder.
    asked
        Options, as `arguments` gives them.

    Returns
    -------
    tuple[Final, dict[str, Any]]
        The judgement, and the results without their figures.
    """
    facts = machine()
    study = Study.load(path if asked.folder is None else asked.folder / layout.STUDY_FILE)
    folder: Path = asked.folder or asked.output / study.study
    if asked.folder is None:
        run(study, asked.output)
    final = read_final(folder) or run_final(study, folder.resolve())
    print(render_final(final))
    print()
    states = [row.record.status for row in load_leaderboard(folder).rows if row.record.name is None]
    return final, {
        "machine": facts,
        "settings": {"trials": len(states), "of them stopped early": states.count(TrialStatus.STOPPED)},
        "words": final_lines(final)[0].removeprefix("final: "),
        "rows": [_row(final, row) for row in final.rows],
    }


def _row(final: Final, row: JudgedRow) -> dict[str, Any]:
    interval = row.intervals[final.objective]
    return {
        "trial": row.number,
        "label": row.label,
        "epoch": row.epoch,
        "holdout": row.metrics[final.objective],
        "low": interval.low,
        "high": interval.high,
        "validation": row.validation,
        "optimism": row.optimism,
        "letters": row.letters,
        "by_seed": [one[final.objective] for one in row.by_seed],
    }
