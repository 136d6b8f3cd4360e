"""The objective by segment of users on validation, from the per-user values that a search has stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tuner.artifacts.user_values import read_groupings
from tuner.formatting import aligned, number
from tuner.reporting.leaderboard import Leaderboard, Row
from tuner.reporting.paired import values_of
from tuner.trials.paired import paired_difference
from tuner.trials.segments import Grouping, SegmentMean, segment_means
from tuner.trials.stored import TrialRecord

__all__ = ["segment_lines", "segments_of_trial", "validation_segments"]

ByFold = Mapping[int, NDArray[np.float32]]


def validation_segments(board: Leaderboard, folder: Path, top: int | None = None) -> str:
    """Return the objective of each complete trial in each segment of users, as one table a grouping.

    Empty if the study has no per-user values, or no segments.
    """
    groupings = read_groupings(folder)
    rows = [row for row in board.rows if row.record.summary is not None][:top]
    values = [(row, values_of(folder, row.record)) for row in rows]
    found = [(row, segment_means(by_fold, groupings)) for row, by_fold in values if by_fold]
    ways = dict.fromkeys(one.by for _, means in found for one in means)
    return "\n\n".join(_table(by, found) for by in ways)


def segments_of_trial(folder: Path, record: TrialRecord) -> Iterator[str]:
    """Yield the objective of a complete trial in each segment of users on validation, as text."""
    for one in segment_means(values_of(folder, record), read_groupings(folder)):
        yield f"{one.by} {one.name}, {one.share:.0%} of users: {number(one.value)}"


def segment_lines(board: Leaderboard, folder: Path) -> Iterator[str]:
    """Yield a sentence for each segment for which the best searched trial is worse than the best baseline.

    The comparisons of a grouping are corrected together (Bonferroni).
    """
    mine, other = board.best_searched, board.best_baseline
    if mine is None or other is None:
        return
    groupings = read_groupings(folder)
    one, two = (values_of(folder, row.record) for row in (mine, other))
    for by in dict.fromkeys(grouping.by for grouping in groupings.get(0, ())):
        names = list(dict.fromkeys(name for found in groupings.values() for name in _names(found, by)))
        for name in names:
            found = paired_difference(*(_inside(values, groupings, by, name) for values in (one, two)))
            z = NormalDist().inv_cdf(1 - 0.025 / len(names))
            if found is not None and found.better(board.direction, z) is False:
                low, high = found.bounds(z)
                yield (
                    f"for users with {by} {name}, the best trial of the search is worse than the best "
                    f"baseline {other.record.label} (difference {found.difference:+.4f}, "
                    f"95 % {low:+.4f} to {high:+.4f}, corrected for {len(names)} comparisons)"
                )


def _names(groupings: Sequence[Grouping], by: str) -> Iterator[str]:
    for grouping in groupings:
        if grouping.by == by:
            yield from grouping.names


def _inside(values: ByFold, groupings: Mapping[int, Sequence[Grouping]], by: str, name: str) -> ByFold:
    """Return the values of the users of one segment, by fold."""
    found = {}
    for fold, of_users in values.items():
        for grouping in groupings.get(fold, ()):
            if grouping.by == by and name in grouping.names and len(grouping.codes) == len(of_users):
                found[fold] = of_users[grouping.codes == grouping.names.index(name)]
    return found


def _table(by: str, found: Sequence[tuple[Row, Sequence[SegmentMean]]]) -> str:
    columns = [one for one in found[0][1] if one.by == by]
    header = ["trial", "model", *(f"{by} {one.name}, {one.share:.0%} of users" for one in columns)]
    lines = []
    for row, means in found:
        by_name = {one.name: one.value for one in means if one.by == by}
        cells = [number(by_name.get(one.name)) for one in columns]
        lines.append([str(row.record.number), row.record.label, *cells])
    return aligned(header, lines, text=("model",))
