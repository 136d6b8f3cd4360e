"""One fold of one trial: fit, recommend, measure. Knows nothing of Ray.

Exactness: with the same params and seed, on CPU, and without the fast paths of `tuner.training.fast_paths`,
the metrics equal those of `rectools.model_selection.cross_validate` to the last digit, whether they are taken
after every epoch or only at the end; with the fast paths, losses agree up to rounding. Evaluating in the
middle of a fit draws random numbers and switches the modules' mode; both are put back (`_undisturbed`).
"""

from __future__ import annotations

from tuner.evaluation.evaluate import evaluate_fold, evaluate_folds, with_reference
from tuner.evaluation.fitted import boundary, count_parameters, recommend, to_cpu
from tuner.evaluation.plan import Plan

__all__ = [
    "Plan",
    "boundary",
    "count_parameters",
    "evaluate_fold",
    "evaluate_folds",
    "recommend",
    "to_cpu",
    "with_reference",
]
