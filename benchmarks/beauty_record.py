"""Compares the winner of a study of Beauty with the best published model, by the protocol of the publication.

    python -m benchmarks.beauty_record [--folder STUDY_FOLDER] [--output DIR]

It runs or continues `examples/beauty-record.yaml`: 32 trials over `search_spaces.esasrec`, four baselines,
and the final judgement on the last item of each user. This takes several hours on two cores. With `--folder`
the study exists already, and only its final judgement is read, or made.

Validation chooses the winner. `ndcg_at_10` and `recall_at_10` are its metrics on the last items, as means
over the seeds of the judgement. The published table has .0531 and .0921 for SASRec with sampled softmax, and
.0523 and .0928 for eSASRec.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.judging import judge
from tuner.holdout import Final

STUDY = Path(__file__).parents[1] / "examples" / "beauty-record.yaml"


def figures_of(final: Final) -> dict[str, float]:
    """Return the metrics of the winner and of the best baseline on the last items."""
    winner, baseline = final.winner_row, final.row(final.baseline or 0)
    if winner is None or baseline is None:
        raise RuntimeError("the judgement must have a searched trial and a baseline")
    by_seed = [one[final.objective] for one in winner.by_seed]
    return {
        "ndcg_at_10": winner.metrics[final.objective],
        "recall_at_10": winner.metrics["Recall@10"],
        "ndcg_at_10_lowest_seed": min(by_seed),
        "ndcg_at_10_highest_seed": max(by_seed),
        "ndcg_at_10_validation": winner.validation,
        "seeds": len(by_seed),
        "looks": final.look,
        "users": final.n_users,
        "best_baseline_ndcg_at_10": baseline.metrics[final.objective],
        "best_baseline_recall_at_10": baseline.metrics["Recall@10"],
    }


def main() -> None:
    """Run the missing parts, print the table and write the results."""
    judge("beauty_record", STUDY, __doc__, figures_of)


if __name__ == "__main__":
    main()
