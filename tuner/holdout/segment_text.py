"""Writes a judgement by segment of users, for people."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.formatting import aligned, number
from tuner.holdout.records import Final, Segment, SegmentRow

__all__ = ["render_segments", "segment_metrics", "segment_rows", "segment_values", "worse_segments"]


def worse_segments(final: Final) -> list[Segment]:
    """Return the segments for which the winner is worse than the best baseline."""
    return [
        segment
        for segment in final.segments
        if segment.compared is not None and segment.compared.better(final.direction) is False
    ]


def segment_metrics(final: Final) -> list[str]:
    """Return the metrics that segments have, the objective first: those that are means over users."""
    found = {label: None for one in final.segments for row in one.rows for label in row.metrics}
    return sorted(found, key=lambda label: label != final.objective)


def render_segments(final: Final) -> str:
    """Return each metric of each judged row in each segment of users, with intervals, as tables."""
    ways = dict.fromkeys(one.by for one in final.segments)
    return "\n\n".join(_table(final, label, by) for label in segment_metrics(final) for by in ways)


def _table(final: Final, label: str, by: str) -> str:
    segments = [one for one in final.segments if one.by == by]
    header = ["trial", "model", *(f"{one.name}, {one.n_users:,} users" for one in segments)]
    rows = []
    for row in final.rows:
        parts = [_part(one, row.number) for one in segments]
        rows.append([str(row.number), row.label, *(_cell(part, label) for part in parts)])
    return f"{label} by {by}\n{aligned(header, rows, text=tuple(header[1:]))}"


def _part(segment: Segment, trial: int) -> SegmentRow:
    return next(part for part in segment.rows if part.number == trial)


def _cell(part: SegmentRow, label: str) -> str:
    if label not in part.metrics:
        return ""
    interval = part.intervals.get(label)
    if interval is None or interval.low == interval.high:  # all users have the same value
        return number(part.metrics[label])
    return f"{number(part.metrics[label])} ({number(interval.low)} to {number(interval.high)})"


def segment_values(final: Final, trial: int, label: str) -> Iterator[str]:
    """Yield a metric of a judged row in each segment, as text."""
    for segment in final.segments:
        yield f"{segment.by} {segment.name}, {segment.n_users:,} users: {_cell(_part(segment, trial), label)}"


def segment_rows(final: Final, trial: int) -> list[list[str]]:
    """Return the metrics of a judged row in each segment as a table: a header, and a row for each segment."""
    labels = segment_metrics(final)
    rows = []
    for segment in final.segments:
        part = _part(segment, trial)
        cells = [_cell(part, label) for label in labels]
        rows.append([f"{segment.by} {segment.name}", f"{segment.n_users:,}", *cells])
    return [["segment", "users", *labels], *rows] if rows else []
