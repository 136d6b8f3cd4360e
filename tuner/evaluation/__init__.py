"""Fits a trial's model on a fold, recommends and measures. Nothing here imports Ray.

Exactness: on a CPU, with the same params and seed and without the fast paths of `tuner.training.fast_paths`,
the metrics equal those of `rectools.model_selection.cross_validate` to the last digit. This holds for
evaluations after every epoch and for one at the end. With the fast paths, losses agree up to rounding. An
evaluation during a fit draws random numbers and changes the mode of modules. `epoch_callback._undisturbed`
restores both afterwards.
"""

from __future__ import annotations

from tuner.evaluation.devices import several_devices
from tuner.evaluation.evaluate import evaluate_fold, evaluate_folds, with_reference
from tuner.evaluation.failures import as_failure
from tuner.evaluation.fitted import boundary, count_parameters, recommend, to_cpu
from tuner.evaluation.metrics import build_metric, is_per_user, metric_problems
from tuner.evaluation.per_user import values_by_user
from tuner.evaluation.plan import Plan

__all__ = [
    "Plan",
    "as_failure",
    "boundary",
    "build_metric",
    "count_parameters",
    "evaluate_fold",
    "evaluate_folds",
    "is_per_user",
    "metric_problems",
    "recommend",
    "several_devices",
    "to_cpu",
    "values_by_user",
    "with_reference",
]
