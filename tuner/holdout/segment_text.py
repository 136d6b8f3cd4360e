"""Writes a judgement by segment of users, for people."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.formatting import aligned, number
from tuner.holdout.records import Final, Segment, SegmentRow

__all__ = ["render_segments", "segment_values", "worse_segments"]


def worse_segments(final: Final) -> list[Segment]:
    """Return the segments for which the winner is worse than the best baseline."""
    return [
        segment
        for segment in final.segments
        if segment.compared is not None and segment.compared.better(final.direction) is False
    ]


def render_segments(final: Final) -> str:
    """Return the objective of each judged row in each segment of users, with intervals, as tables."""
    return "\n\n".join(_table(final, by) for by in dict.fromkeys(one.by for one in final.segments))


def _table(final: Final, by: str) -> str:
    segments = [one for one in final.segments if one.by == by]
    header = ["trial", "model", *(f"{by} {one.name}, {one.n_users:,} users" for one in segments)]
    rows = []
    for row in final.rows:
        parts = [next(part for part in one.rows if part.number == row.number) for one in segments]
        rows.append([str(row.number), row.label, *(_cell(part, final.objective) for part in parts)])
    return aligned(header, rows, text=tuple(header[1:]))


def _cell(part: SegmentRow, objective: str) -> str:
    if objective not in part.metrics:
        return ""
    interval = part.intervals.get(objective)
    within = f" ({number(interval.low)} to {number(interval.high)})" if interval is not None else ""
    return f"{number(part.metrics[objective])}{within}"


def segment_values(final: Final, trial: int) -> Iterator[str]:
    """Yield the objective of a judged row in each segment, as text."""
    for segment in final.segments:
        part = next(part for part in segment.rows if part.number == trial)
        yield f"{segment.by} {segment.name}, {segment.n_users:,} users: {_cell(part, final.objective)}"
