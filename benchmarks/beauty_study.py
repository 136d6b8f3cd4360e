"""Measures whether a search beats the guide: compares the winner of a study of Beauty with the guide's rows.

    python -m benchmarks.beauty_study [--folder STUDY_FOLDER] [--output DIR]

It runs or continues `examples/beauty.yaml`: 40 trials over the guide's space, ten baselines, and the final
judgement on a holdout of four weeks. This takes about an hour on two cores. With `--folder` the study exists
already, and only its final judgement is run or continued.

The winner is the best trial by validation, so the holdout did not choose it. The best of the guide's rows is
the best one on the holdout, which makes it as hard as possible to beat. Both are compared on the same users:
`paired_low` and `paired_high` are the 95 % interval of the difference in NDCG@10 (see docs/results.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import command_line, machine, write_results
from search_spaces.guide import space
from tuner.artifacts.user_values import read_final_users
from tuner.config import Study
from tuner.holdout import Comparison, Final, JudgedRow
from tuner.holdout.comparisons import compare_all
from tuner.reporting.final import read_final
from tuner.reporting.leaderboard import load_leaderboard
from tuner.trials.status import TrialStatus
from tuner.workflows.final import run_final

STUDY = Path(__file__).parents[1] / "examples" / "beauty.yaml"
#: The rows of RecTools' transformer customization guide, by their names in `search_spaces.guide`.
GUIDE = tuple(space.baselines)


def winner_of(final: Final) -> JudgedRow:
    """Return the best row by validation."""
    sign = 1 if final.direction == "maximize" else -1
    return max(final.rows, key=lambda row: sign * row.validation)


def best_guide_row(final: Final) -> JudgedRow:
    """Return the best of the guide's rows on the holdout. The rows are in that order."""
    return next(row for row in final.rows if row.name in GUIDE)


def compared(folder: Path, final: Final, row: JudgedRow, other: JudgedRow) -> Comparison:
    """Compare two rows on the holdout's users. The variance between seeds is estimated from all rows."""
    values = []
    for one in final.rows:
        fits = [read_final_users(folder, one.number, seed) for seed in one.seeds]
        values.append(np.stack([fit[final.objective] for fit in fits if fit is not None]))
    return compare_all([one.number for one in final.rows], values).of(row.number, other.number)


def figures_of(folder: Path, final: Final) -> dict[str, float]:
    """Return the figures of the comparison."""
    winner, guide = winner_of(final), best_guide_row(final)
    figures = {
        "winner": winner.metrics[final.objective],
        "best_guide_row": guide.metrics[final.objective],
        "winner_validation": winner.validation,
        "best_guide_row_validation": guide.validation,
        "users": final.n_users,
        "looks": final.look,
    }
    if winner.number == guide.number:
        return figures | {"paired_difference": 0.0, "paired_low": 0.0, "paired_high": 0.0, "paired_p": 1.0}
    found = compared(folder, final, winner, guide)
    return figures | {
        "paired_difference": found.difference,
        "paired_low": found.interval.low,
        "paired_high": found.interval.high,
        "paired_p": found.p_value,
    }


def row_of(final: Final, row: JudgedRow) -> dict[str, Any]:
    """Return a row of the judgement as JSON types."""
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
        "group": row.group,
        "by_seed": [one[final.objective] for one in row.by_seed],
    }


def main() -> None:
    """Run the missing parts, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--folder", type=Path, help="folder of a study that has been run")
    parser.add_argument("--output", type=Path, default=Path("studies"), help="folder for the study's folder")
    arguments = parser.parse_args()
    facts = machine()
    study = Study.load(STUDY)
    folder: Path = arguments.folder or arguments.output / study.study
    if arguments.folder is None:
        from tuner import run

        run(study, arguments.output)
        final = read_final(folder)
        if final is None:
            raise RuntimeError("the run ended before its final judgement: run the same command to continue")
    else:
        final = run_final(study, folder.resolve())
    from tuner.holdout.text import render_final

    print(render_final(final))
    figures = figures_of(folder, final)
    print()
    for name, value in figures.items():
        print(f"{name:<26} {value:.6g}")
    states = [row.record.status for row in load_leaderboard(folder).rows if row.record.name is None]
    results = {
        "machine": facts,
        "figures": figures,
        "settings": {"trials": len(states), "of them stopped early": states.count(TrialStatus.STOPPED)},
        "rows": [row_of(final, row) for row in final.rows],
    }
    path = write_results("beauty_study", results)
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
