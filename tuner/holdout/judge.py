"""Makes the final judgement from the per-user values of each fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.comparisons import Comparisons, compare_all
from tuner.holdout.means import intervals_of
from tuner.holdout.records import Comparison, Final, JudgedRow
from tuner.holdout.segments import segments_of
from tuner.trials.objective import Direction, is_better
from tuner.trials.segments import Grouping

__all__ = ["Fitted", "judge"]


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
    groupings: Sequence[Grouping] = (),
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
    groupings
        The users of the holdout in segments, in the order of `Fitted.by_user`.
    """
    n_users = max((values.shape[1] for one in fitted for values in one.by_user.values()), default=0)
    if n_users == 1:  # one user has no spread, so there is neither an interval nor a comparison
        fitted = [replace(one, by_user={}) for one in fitted]
    baseline = _best([one for one in fitted if one.name is not None], direction)
    if winner not in {one.number for one in fitted}:
        winner, note = _best([one for one in fitted if one.name is None], direction), ""
    primary = None if winner is None or baseline is None else (winner, baseline)
    rows = tuple(_rows(fitted, objective, primary, winner=winner, baseline=baseline))
    known = dict(facts or {})
    by_user = {one.number: one.by_user for one in fitted}
    segments = segments_of(by_user, groupings, objective=objective, primary=primary)
    return Final(
        objective, direction, rows, look, n_users, baseline, made, by, before, known, winner, note, segments
    )


def _rows(
    fitted: Sequence[Fitted],
    objective: str,
    primary: tuple[int, int] | None,
    *,
    winner: int | None,
    baseline: int | None,
) -> Iterator[JudgedRow]:
    """Yield the row of each trial."""
    numbers = [one.number for one in fitted]
    found = _compared(fitted, objective, primary, winner)
    letters = found.letters(numbers) if found else dict.fromkeys(numbers, "a")
    bounds = intervals_of({one.number: one.by_user for one in fitted})
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
    fitted: Sequence[Fitted], objective: str, primary: tuple[int, int] | None, winner: int | None
) -> Comparisons | None:
    if any(objective not in one.by_user for one in fitted):
        return None
    values = [one.by_user[objective] for one in fitted]
    return compare_all([one.number for one in fitted], values, primary=primary, winner=winner)
