"""Measures whether a search beats its baselines, the guide's rows among them, on a study of Beauty.

    python -m benchmarks.beauty_study [--folder STUDY_FOLDER] [--output DIR]

It runs or continues `examples/beauty.yaml`: 40 trials over the guide's space, ten baselines, and the final
judgement on a holdout of four weeks. This takes about an hour on two cores. With `--folder` the study exists
already, and only its final judgement is run or continued.

The winner and the best baseline are the best by validation, so the holdout chose neither. Both are compared
on the same users, in the primary comparison of the judgement: `primary_low` and `primary_high` are the 95 %
interval of the difference in NDCG@10 (see docs/results.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measuring import command_line, machine, write_results
from tuner.config import Study
from tuner.holdout import Final, JudgedRow
from tuner.reporting.final import read_final
from tuner.reporting.leaderboard import load_leaderboard
from tuner.trials.status import TrialStatus
from tuner.workflows.final import run_final

STUDY = Path(__file__).parents[1] / "examples" / "beauty.yaml"


def figures_of(final: Final) -> dict[str, float]:
    """Return the figures of the primary comparison."""
    winner, baseline, primary = final.winner_row, final.row(final.baseline or 0), final.primary
    if winner is None or baseline is None or primary is None:
        raise RuntimeError(
            "the judgement has no primary comparison: it needs a searched trial and a baseline"
        )
    return {
        "winner": winner.metrics[final.objective],
        "best_baseline": baseline.metrics[final.objective],
        "winner_validation": winner.validation,
        "best_baseline_validation": baseline.validation,
        "users": final.n_users,
        "looks": final.look,
        "primary_difference": primary.difference,
        "primary_low": primary.interval.low,
        "primary_high": primary.interval.high,
        "primary_p": primary.p_value,
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
        "letters": row.letters,
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
    from tuner.holdout.text import final_lines, render_final

    print(render_final(final))
    figures = figures_of(final)
    print()
    for name, value in figures.items():
        print(f"{name:<26} {value:.6g}")
    states = [row.record.status for row in load_leaderboard(folder).rows if row.record.name is None]
    results = {
        "machine": facts,
        "figures": figures,
        "settings": {"trials": len(states), "of them stopped early": states.count(TrialStatus.STOPPED)},
        "words": final_lines(final)[0].removeprefix("final: "),
        "rows": [row_of(final, row) for row in final.rows],
    }
    path = write_results("beauty_study", results)
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
