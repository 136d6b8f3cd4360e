"""Runs or continues a study and its final judgement, and writes the judgement as results of a benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import machine, write_results
from tuner import run
from tuner.artifacts import layout
from tuner.config import Study
from tuner.holdout import Final, JudgedRow
from tuner.holdout.text import final_lines, render_final
from tuner.reporting.final import read_final
from tuner.reporting.leaderboard import load_leaderboard
from tuner.trials.status import TrialStatus
from tuner.workflows.final import run_final

__all__ = ["judge"]


def judge(name: str, study: Path, doc: str | None, figures_of: Callable[[Final], dict[str, float]]) -> None:
    """Run what is missing of a study, judge it if it is not yet judged, print the judgement and write it.

    Parameters
    ----------
    name
        Name of the benchmark.
    study
        The study file. With `--folder`, the study is the one that was run in that folder.
    doc
        The benchmark's description.
    figures_of
        Returns the figures of a judgement by name.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="folder of a study that has been run")
    parser.add_argument("--output", type=Path, default=Path("studies"), help="folder for the study's folder")
    arguments = parser.parse_args()
    facts = machine()
    loaded = Study.load(study if arguments.folder is None else arguments.folder / layout.STUDY_FILE)
    folder: Path = arguments.folder or arguments.output / loaded.study
    if arguments.folder is None:
        run(loaded, arguments.output)
    final = read_final(folder) or run_final(loaded, folder.resolve())
    figures = figures_of(final)
    print(render_final(final))
    print()
    for key, value in figures.items():
        print(f"{key:<26} {value:.6g}")
    states = [row.record.status for row in load_leaderboard(folder).rows if row.record.name is None]
    results = {
        "machine": facts,
        "figures": figures,
        "settings": {"trials": len(states), "of them stopped early": states.count(TrialStatus.STOPPED)},
        "words": final_lines(final)[0].removeprefix("final: "),
        "rows": [_row(final, row) for row in final.rows],
    }
    print(f"\nwritten to {write_results(name, results)}")


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
