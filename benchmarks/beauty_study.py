"""Measures whether a search beats its baselines, the guide's rows among them, on a study of Beauty.

    python -m benchmarks.beauty_study [--folder STUDY_FOLDER] [--output DIR]

It runs or continues `examples/beauty.yaml`: 40 trials over the guide's space, ten baselines, and the final
judgement on a holdout of four weeks. This takes about an hour on two cores. With `--folder` the study exists
already, and only its final judgement is read, or made.

The winner and the best baseline are the best by validation, so the holdout chose neither. Both are compared
on the same users, in the primary comparison of the judgement: `primary_low` and `primary_high` are the 95 %
interval of the difference in NDCG@10 (see docs/results.md).
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.judging import judge
from tuner.holdout import Final

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


def main() -> None:
    """Run the missing parts, print the table and write the results."""
    judge("beauty_study", STUDY, __doc__, figures_of)


if __name__ == "__main__":
    main()
