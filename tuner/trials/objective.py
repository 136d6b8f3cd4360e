"""Which of two values is better, and the value of a trial. No other module decides either of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Literal

from tuner.trials.records import Evaluation, Summary

__all__ = ["Direction", "best_value", "is_better", "more_is_better", "sort_key", "summarise"]

Direction = Literal["maximize", "minimize"]


def is_better(value: float, other: float, direction: Direction) -> bool:
    """Whether `value` is strictly better than `other`."""
    return sort_key(value, direction) < sort_key(other, direction)


def sort_key(value: float, direction: Direction) -> float:
    """Return a key by which better values sort first: a loss. The key of the key is the value again."""
    return -value if more_is_better(direction) else value


def best_value(values: Iterable[float], direction: Direction) -> float:
    """Return the best of some values.

    Raises
    ------
    ValueError
        If there are none.
    """
    return min(values, key=lambda value: sort_key(value, direction))


def more_is_better(direction: Direction) -> bool:
    """Whether a greater value is a better one. No other module may compare with a direction's name."""
    return direction == "maximize"


def summarise(evaluations: Iterable[Evaluation], objective: str, direction: Direction) -> Summary:
    """Summarise the evaluations of a trial.

    The summary is of one epoch: of the epochs that were evaluated in every fold, the one with the best mean
    objective. If several epochs are equally good, it is the earliest of them.

    Raises
    ------
    ValueError
        If no epoch was evaluated in every fold.
    """
    folds: dict[int, dict[int, Evaluation]] = {}
    for evaluation in evaluations:
        folds.setdefault(evaluation.fold, {})[evaluation.epoch] = evaluation
    common = sorted(set.intersection(*(set(by_epoch) for by_epoch in folds.values()))) if folds else []
    if not common:
        msg = "an epoch must be evaluated in every fold, but none was"
        raise ValueError(msg)
    ordered = [folds[index] for index in sorted(folds)]

    def mean_at(epoch: int, label: str) -> float:
        return fmean(by_epoch[epoch].metrics[label] for by_epoch in ordered)

    best = common[0]
    for epoch in common[1:]:
        if is_better(mean_at(epoch, objective), mean_at(best, objective), direction):
            best = epoch
    chosen = [by_epoch[best] for by_epoch in ordered]
    last = [by_epoch[max(by_epoch)] for by_epoch in ordered]
    values = [evaluation.metrics[objective] for evaluation in chosen]
    waits = [one.recommend_seconds for one in chosen if one.recommend_seconds is not None]
    return Summary(
        epoch=best,
        mean=fmean(values),
        std=stdev(values) if len(values) > 1 else 0.0,
        metrics={label: mean_at(best, label) for label in chosen[0].metrics},
        folds=tuple(dict(evaluation.metrics) for evaluation in chosen),
        epochs_run=max(evaluation.epoch for evaluation in last),
        fit_seconds=math.fsum(evaluation.fit_seconds for evaluation in last),
        n_parameters=chosen[0].n_parameters,
        peak_memory=_most(evaluation.peak_memory for evaluation in last),
        peak_gpu_memory=_most(evaluation.peak_gpu_memory for evaluation in last),
        fast_paths=chosen[0].fast_paths,
        precision=chosen[0].precision,
        recommend_seconds=fmean(waits) if waits else None,
    )


def _most(amounts: Iterable[int | None]) -> int | None:
    return max((amount for amount in amounts if amount is not None), default=None)
