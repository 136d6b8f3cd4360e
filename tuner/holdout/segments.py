"""Judges rows by segment of users: metrics with intervals, and the primary comparison in each segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.comparisons import compare_pair
from tuner.holdout.means import intervals_of
from tuner.holdout.records import Segment, SegmentRow
from tuner.trials.segments import Grouping

__all__ = ["segments_of"]

_FEWEST_USERS = 2  # a sample variance needs two values
ByUser = Mapping[int, Mapping[str, NDArray[np.float32]]]


def segments_of(
    by_user: ByUser, groupings: Sequence[Grouping], *, objective: str, primary: tuple[int, int] | None
) -> tuple[Segment, ...]:
    """Judge each row on the users of each segment.

    The winner is compared with the best baseline in each segment. The comparisons of a grouping with n
    segments are corrected together: each interval has the level ``1 - 0.05 / n`` (Bonferroni).

    Parameters
    ----------
    by_user
        Per-user values of each row by metric, shape (n_seeds, n_users). All have the users in the same order.
    groupings
        The users of the holdout in segments.
    objective
        The metric that is compared.
    primary
        Numbers of the winner and of the best baseline.
    """
    return tuple(
        _segment(by_user, grouping, code, objective=objective, primary=primary)
        for grouping in groupings
        for code in range(len(grouping.names))
    )


def _segment(
    by_user: ByUser, grouping: Grouping, code: int, *, objective: str, primary: tuple[int, int] | None
) -> Segment:
    inside = grouping.codes == code
    n_users = int(inside.sum())
    part = {
        number: {label: fits[:, inside] for label, fits in values.items()}
        for number, values in by_user.items()
    }
    bounds = intervals_of(part) if n_users >= _FEWEST_USERS else {number: {} for number in part}
    rows = tuple(
        SegmentRow(
            number,
            {label: float(fits.mean(dtype=np.float64)) for label, fits in values.items()},
            bounds[number],
        )
        for number, values in part.items()
    )
    compared = None
    values = {number: row[objective] for number, row in part.items() if objective in row}
    if primary is not None and set(primary) <= values.keys() and n_users >= _FEWEST_USERS:
        compared = compare_pair(values, primary, n_compared=len(grouping.names))
    return Segment(grouping.by, grouping.shown[code], n_users, rows, compared)
