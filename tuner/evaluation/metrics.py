"""Makes the metrics of a study, RecTools' and the user's own, and calculates them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from inspect import isfunction
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import rectools.metrics
from rectools.dataset.features import SparseFeatures
from rectools.metrics import (
    DebiasConfig,
    IntraListDiversity,
    SparsePairwiseHammingDistanceCalculator,
    calc_metrics,
)
from rectools.utils.misc import import_object

from tuner.config import Metric
from tuner.config.metrics import DEBIAS_OPTIONS, DEBIASED
from tuner.data.folds import Fold
from tuner.errors import Problem, TrialError, did_you_mean
from tuner.evaluation.per_user import ARGUMENTS, called, values_by_user
from tuner.space.imports import import_problem

__all__ = ["Measured", "build_metric", "calculate", "is_per_user", "mean_over_users", "metric_problems"]

#: An object of a metric's class: one of RecTools', or the user's own with `calc` or `calc_per_user`.
Measured = Any

#: RecTools takes reference recommendations by name, and appends the name to that of the metric.
_REFERENCE = "reference"
#: State of the generator that debiases interactions, unless a study gives one. RecTools has no default.
_RANDOM_STATE = 0


def build_metric(metric: Metric, fold: Fold) -> Measured:
    """Return an object of a metric's class.

    Parameters
    ----------
    metric
        The metric of a study.
    fold
        The fold on which it measures. `IntraListDiversity` takes its item features.

    Raises
    ------
    TrialError
        If the user's class cannot be made, or the data have no item features.
    """
    if metric.is_own:
        return _build_own(metric)
    if metric.needs_item_features:
        return IntraListDiversity(metric.k, distance_calculator=_distances(metric, fold))
    options = dict(metric.options)
    name = metric.name.removeprefix(DEBIASED)
    if name != metric.name:
        debias: dict[str, Any] = {"random_state": _RANDOM_STATE}
        debias |= {key: options.pop(key) for key in DEBIAS_OPTIONS if key in options}
        options["debias_config"] = DebiasConfig(**debias)
    return getattr(rectools.metrics, name)(k=metric.k, **options)


def _build_own(metric: Metric) -> Measured:
    try:
        return import_object(metric.name)(k=metric.k, **metric.options)
    except Exception as error:  # a user's module may raise anything
        msg = f"the metric {metric.name} cannot be made: {type(error).__name__}: {error}"
        raise TrialError(msg) from error


def _distances(metric: Metric, fold: Fold) -> SparsePairwiseHammingDistanceCalculator:
    features = fold.train.item_features
    if not isinstance(features, SparseFeatures):
        msg = f"{metric.label} needs categorical item features, but the data have none"
        raise TrialError(msg)
    return SparsePairwiseHammingDistanceCalculator(features, fold.train.item_id_map)


def is_per_user(metric: Metric) -> bool:
    """Whether a metric is a mean over the test users, so that it can be compared by user.

    A class of the user is one if it has `calc_per_user`.
    """
    return hasattr(import_object(metric.name), "calc_per_user") if metric.is_own else metric.per_user


def metric_problems(metrics: Sequence[Metric], *, item_features: bool) -> Iterator[Problem]:
    """Yield what is wrong with the metrics of a study, apart from spelling.

    Parameters
    ----------
    metrics
        All metrics of the study.
    item_features
        Whether the data have categorical item features.
    """
    for metric in metrics:
        if metric.needs_item_features and not item_features:
            rule = f"{metric.label} needs categorical item features, but the data have none"
            yield Problem("metrics", rule, "give data.item_features, or leave the metric out")
        elif metric.is_own:
            yield from _own_problems(metric)


def _own_problems(metric: Metric) -> Iterator[Problem]:
    hint = "put the class at the top level of a file next to the study file, and name it as file.Class@K"
    try:
        cls = import_object(metric.name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's module may raise anything
        yield import_problem("metrics", metric.name, error, hint)
        return
    if not isinstance(cls, type):
        yield Problem("metrics", f"must be a class, but {metric.name!r} is {cls!r}", hint)
    elif not (hasattr(cls, "calc") or hasattr(cls, "calc_per_user")):
        rule = f"must have the method calc or calc_per_user, but {metric.name!r} has neither"
        yield Problem(
            "metrics", rule, "calc returns a number, calc_per_user a series with users as its index"
        )
    else:
        try:
            inspect.signature(cls).bind(k=metric.k, **metric.options)
        except TypeError as error:
            reason = str(error).removeprefix("got ")
            rule = f"{metric.name!r} must accept k and its options, but has {reason}"
            yield Problem("metrics", rule, "the study gives each option by its name")
        yield from _argument_problems(metric, cls)


def _argument_problems(metric: Metric, cls: type) -> Iterator[Problem]:
    """Refuse arguments of a metric's methods that no table of a fold is given for."""
    for method in ("calc", "calc_per_user"):
        function = inspect.getattr_static(cls, method, None)
        taken = list(inspect.signature(function).parameters.values())[1:] if isfunction(function) else []
        for one in taken:
            needed = one.default is one.empty and one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}
            if needed and one.name not in ARGUMENTS:
                rule = (
                    f"{method} of {metric.name!r} must take arguments of the names {', '.join(ARGUMENTS)}, "
                    f"but got {one.name!r}"
                )
                near = did_you_mean(one.name, ARGUMENTS)
                yield Problem("metrics", rule, near if near.startswith("did") else None)


def mean_over_users(metric: Measured, by_user: pd.Series[float]) -> float | None:
    """Return what RecTools' `calc` gives for a metric of its own, from the values of its `calc_per_user`.

    Return None for a metric of the user, whose `calc` may be anything.
    """
    return float(by_user.mean()) if _is_rectools(metric) else None


def calculate(
    metrics: Mapping[str, Measured],
    recommended: pd.DataFrame,
    fold: Fold,
    known: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return each metric on a fold, by its label.

    Parameters
    ----------
    metrics
        Objects of `build_metric`, by label.
    recommended
        Recommendations to the test users, with external ids.
    fold
        The fold.
    known
        Metrics that need not be calculated, by label.

    Raises
    ------
    TrialError
        If a metric of the user fails.
    """
    known = known or {}
    of_rectools = {
        label: metric for label, metric in metrics.items() if label not in known and _is_rectools(metric)
    }
    values = calc_metrics(
        of_rectools,
        reco=recommended,
        interactions=fold.test,
        prev_interactions=fold.seen,
        catalog=fold.catalog,
        ref_reco={} if fold.reference is None else {_REFERENCE: fold.reference},
    )
    found = {}
    for label, metric in metrics.items():
        if label in known:
            found[label] = known[label]
        elif label in of_rectools:
            found[label] = float(values[label if label in values else f"{label}_{_REFERENCE}"])
        else:
            found[label] = _own_value(label, metric, recommended, fold)
    return found


def _is_rectools(metric: Measured) -> bool:
    return type(metric).__module__.startswith("rectools.")


def _own_value(label: str, metric: Measured, recommended: pd.DataFrame, fold: Fold) -> float:
    if hasattr(metric, "calc"):
        value = called(metric.calc, recommended, fold)
        plain = value.item() if getattr(value, "ndim", None) == 0 else value  # a tensor, or numpy's number
        if type(plain) is not bool and isinstance(plain, Real):
            return float(plain)
        msg = f"calc of {label} must return a number, but got {_text(value)}"
        raise TrialError(msg)
    by_user = values_by_user(metric, recommended, fold)
    if by_user is None:
        msg = f"calc_per_user of {label} must return a number for each test user, but does not"
        raise TrialError(msg)
    return float(by_user.mean(dtype=np.float64))


def _text(value: object) -> str:
    """Return a value as text for a message: short ones as they are, others by their type."""
    return repr(value) if isinstance(value, str | bool | None) else f"a {type(value).__name__}"
