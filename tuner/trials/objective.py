"""Which of two values is better, and the value of a trial. No other module decides either of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
    objective. If several epochs are equally good, it is the earliest of them. If some evaluations are of a
    sample of the users, it is of the last evaluation of each fold, which is of all.

    Raises
    ------
    ValueError
        If no epoch was evaluated in every fold.
    """
    folds: dict[int, dict[int, Evaluation]] = {}
    for evaluation in evaluations:
        folds.setdefault(evaluation.fold, {})[evaluation.epoch] = evaluation
    ordered = [folds[index] for index in sorted(folds)]
    last = [by_epoch[max(by_epoch)] for by_epoch in ordered]
    sampled = {one.sampled_users for by_epoch in ordered for one in by_epoch.values()} - {None}
    if sampled:
        return _summary(last, last, objective, sampled_users=max(map(int, filter(None, sampled))))
    best = _best_epoch(ordered, objective, direction)
    return _summary([by_epoch[best] for by_epoch in ordered], last, objective)


def _best_epoch(folds: Sequence[Mapping[int, Evaluation]], objective: str, direction: Direction) -> int:
    """Return the epoch with the best mean, among the epochs that every fold has."""
    common = sorted(set.intersection(*(set(by_epoch) for by_epoch in folds))) if folds else []
    if not common:
        msg = "an epoch must be evaluated in every fold, but none was"
        raise ValueError(msg)

    def mean_at(epoch: int) -> float:
        return fmean(by_epoch[epoch].metrics[objective] for by_epoch in folds)

    best = common[0]
    for epoch in common[1:]:
        if is_better(mean_at(epoch), mean_at(best), direction):
            best = epoch
    return best


def _summary(
    chosen: Sequence[Evaluation],
    last: Sequence[Evaluation],
    objective: str,
    *,
    sampled_users: int | None = None,
) -> Summary:
    """Return the summary of the chosen evaluation of each fold, and of the last one of each."""
    values = [evaluation.metrics[objective] for evaluation in chosen]
    waits = [one.recommend_seconds for one in chosen if one.recommend_seconds is not None]
    return Summary(
        epoch=max(evaluation.epoch for evaluation in chosen),
        mean=fmean(values),
        std=stdev(values) if len(values) > 1 else 0.0,
        metrics={label: fmean(one.metrics[label] for one in chosen) for label in chosen[0].metrics},
        folds=tuple(dict(evaluation.metrics) for evaluation in chosen),
        epochs_run=max(evaluation.epoch for evaluation in last),
        fit_seconds=math.fsum(evaluation.fit_seconds for evaluation in last),
        n_parameters=chosen[0].n_parameters,
        peak_memory=_most(evaluation.peak_memory for evaluation in last),
        peak_gpu_memory=_most(evaluation.peak_gpu_memory for evaluation in last),
        fast_paths=chosen[0].fast_paths,
        precision=chosen[0].precision,
        recommend_seconds=fmean(waits) if waits else None,
        sampled_users=sampled_users,
    )


def _most(amounts: Iterable[int | None]) -> int | None:
    return max((amount for amount in amounts if amount is not None), default=None)
