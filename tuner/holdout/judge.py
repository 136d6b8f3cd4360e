"""Makes the final judgement from the per-user values of each fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.comparisons import Comparisons, compare_all
from tuner.holdout.intervals import bootstrap_bounds, half_width, is_bounded, n_varying, seeds_of
from tuner.holdout.records import LEVEL, Comparison, Final, Interval, JudgedRow
from tuner.trials.objective import Direction, is_better
from tuner.trials.paired import standard_error

__all__ = ["Fitted", "judge"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A trial with the results of its fits for the judgement.

    Attributes
    ----------
    number, name, label, epoch, seeds, validation
        See `JudgedRow`.
    by_seed
        Holdout metrics of each fit, in the order of `seeds`.
    by_user
        For each metric that is a mean over users, its values, shape (n_seeds, n_users). All trials have the
        users in the same order.
    """

    number: int
    name: str | None
    label: str
    epoch: int
    seeds: tuple[int, ...]
    validation: float
    by_seed: tuple[Mapping[str, float], ...]
    by_user: Mapping[str, NDArray[np.float32]]


def judge(
    fitted: Sequence[Fitted],
    *,
    objective: str,
    direction: Direction,
    look: int = 1,
    made: str = "",
    by: str = "",
    before: tuple[str, ...] = (),
    facts: Mapping[str, object] | None = None,
    winner: int | None = None,
    note: str = "",
) -> Final:
    """Judge trials by their fits on the holdout. The holdout changes neither their order nor the winner.

    Without per-user values of the objective, the rows have no interval and no comparison, and all share one
    letter.

    Parameters
    ----------
    fitted
        The trials in the order of the leaderboard.
    objective, direction
        The metric that is compared, and its direction.
    look, made, by, before, facts, note
        See `Final`.
    winner
        Number of the winner; by default, and if it has no fit, the best searched trial by validation.
    """
    n_users = max((values.shape[1] for one in fitted for values in one.by_user.values()), default=0)
    if n_users == 1:  # one user has no spread, so there is neither an interval nor a comparison
        fitted = [replace(one, by_user={}) for one in fitted]
    baseline = _best([one for one in fitted if one.name is not None], direction)
    if winner not in {one.number for one in fitted}:
        winner, note = _best([one for one in fitted if one.name is None], direction), ""
    rows = tuple(_rows(fitted, objective, winner=winner, baseline=baseline))
    known = dict(facts or {})
    return Final(objective, direction, rows, look, n_users, baseline, made, by, before, known, winner, note)


def _rows(
    fitted: Sequence[Fitted], objective: str, *, winner: int | None, baseline: int | None
) -> Iterator[JudgedRow]:
    """Yield the row of each trial."""
    numbers = [one.number for one in fitted]
    primary = None if winner is None or baseline is None else (winner, baseline)
    found = _compared(fitted, objective, primary)
    letters = found.letters(numbers) if found else dict.fromkeys(numbers, "a")
    bounds = _intervals(fitted)
    for one in fitted:
        means = _means(one.by_seed)
        yield JudgedRow(
            number=one.number,
            name=one.name,
            label=one.label,
            epoch=one.epoch,
            seeds=one.seeds,
            metrics=means,
            by_seed=one.by_seed,
            intervals=bounds[one.number],
            validation=one.validation,
            optimism=one.validation - means[objective],
            against_baseline=_of(found, one.number, baseline),
            against_winner=_of(found, one.number, winner),
            letters=letters[one.number],
        )


def _of(found: Comparisons | None, number: int, other: int | None) -> Comparison | None:
    """Return the comparison of a trial with another one; None if there is none."""
    if found is None or other is None or other == number:
        return None
    return found.of(number, other)


def _means(by_seed: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        label: fmean(one[label] for one in by_seed)
        for label in by_seed[0]
        if all(label in one for one in by_seed)
    }


def _best(fitted: Sequence[Fitted], direction: Direction) -> int | None:
    """Return the best trial by validation. The holdout does not choose it, so a test of it is fair."""
    best: Fitted | None = None
    for one in fitted:
        if best is None or is_better(one.validation, best.validation, direction):
            best = one
    return None if best is None else best.number


def _compared(
    fitted: Sequence[Fitted], objective: str, primary: tuple[int, int] | None
) -> Comparisons | None:
    if any(objective not in one.by_user for one in fitted):
        return None
    values = [one.by_user[objective] for one in fitted]
    return compare_all([one.number for one in fitted], values, primary=primary)


def _intervals(fitted: Sequence[Fitted]) -> dict[int, dict[str, Interval]]:
    found: dict[int, dict[str, Interval]] = {one.number: {} for one in fitted}
    for label in dict.fromkeys(label for one in fitted for label in one.by_user):
        having = [one for one in fitted if label in one.by_user]
        values = [one.by_user[label] for one in having]
        seeds = seeds_of(values)
        low, high = intervals(
            np.stack([fits.mean(axis=0, dtype=np.float64) for fits in values]),
            np.array([seeds.error(n_varying(fits)) for fits in values]),
            df=seeds.df,
        )
        if is_bounded(values):
            low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
        for at, one in enumerate(having):
            found[one.number][label] = Interval(float(low[at]), float(high[at]))
    return found


def intervals(by_user: Array, by_seeds: Array, *, df: int) -> tuple[Array, Array]:
    """Return bounds that contain the true mean over users and seeds in 95 % of studies.

    The users' part has the shape of the bootstrap over users. The seeds widen it by the same factor as a t
    interval.

    Parameters
    ----------
    by_user
        Means over seeds, shape (n, n_users).
    by_seeds
        Their standard errors by seeds, shape (n,).
    df
        Degrees of freedom of `by_seeds`.

    Returns
    -------
    tuple
        Lower and upper bounds, each of shape (n,).
    """
    n_users = by_user.shape[1]
    means, by_users = by_user.mean(axis=1), standard_error(by_user)
    both = half_width(by_users, by_seeds, n_users=n_users, df=df, level=LEVEL)
    users_only = half_width(by_users, np.zeros_like(by_seeds), n_users=n_users, df=0, level=LEVEL)
    low, high = bootstrap_bounds(by_user.T, LEVEL)
    wider = np.where(users_only > 0, both / np.where(users_only > 0, users_only, 1.0), 1.0)
    same = np.where(users_only > 0, 0.0, both)  # all users have the same value
    return means - (means - low) * wider - same, means + (high - means) * wider + same
