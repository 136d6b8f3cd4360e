"""Figures of the history of a search: every trial, and the best trial so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.formatting import number
from tuner.reporting.html.report_data import ReportData, so_far
from tuner.reporting.html.scales import Scale, duration_ticks, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, ticks_of
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["history_by_time", "history_by_trial"]

#: Kind of trial -> shape, colour and label of its mark.
KINDS = {
    "complete": ("dot", "c0", "complete"),
    "stopped": ("ring", "c7", "stopped early: best of fold 1 so far"),
    "failed": ("cross", "bad", "failed"),
    "baseline": ("diamond", "base", "baseline"),
}
BEST = ("line", "best", "best so far")
_HEIGHT = 300


@dataclass(frozen=True)
class _Point:
    x: float
    y: float | None
    kind: str
    trial: int


def history_by_trial(report: ReportData) -> Figure | None:
    """Draw the objective of every trial by its number."""
    points = _points(report, lambda record: float(record.number))
    if len(points) < 2:  # noqa: PLR2004  # a history needs two points
        return None
    high = max(point.x for point in points)

    def ticks(frame: Frame) -> tuple[Scale, list[tuple[float, str]]]:
        scale = Scale(-0.5, high + 0.5, frame.left, frame.right)
        return scale, [tick for tick in ticks_of(scale, 5) if tick[0] >= frame.left]

    return Figure(
        "history-trials",
        "Optimization history by trial",
        f"{_gain(report)} The dashed line is the best baseline. Values below the axis are drawn on it.",
        lambda width: _draw(report, points, ticks, "trial", width),
        half=True,
        legend=_legend(points),
    )


def history_by_time(report: ReportData) -> Figure | None:
    """Draw the objective of every trial by the time at which it ended."""
    points = _points(report, lambda record: report.clock(record.ended.timestamp()) if record.ended else None)
    total = report.clock.total
    if len(points) < 2 or total <= 0:  # noqa: PLR2004  # a history needs two points
        return None

    def ticks(frame: Frame) -> tuple[Scale, list[tuple[float, str]]]:
        scale = Scale(0, total * 1.02, frame.left, frame.right)
        return scale, [(scale(at), label) for at, label in duration_ticks(scale, 4)]

    return Figure(
        "history-time",
        "Optimization history by time",
        "Time of the search when a trial ended, without the pauses between runs.",
        lambda width: _draw(report, points, ticks, "time of the search", width),
        half=True,
        legend=_legend(points),
    )


def _points(report: ReportData, x: Callable[[TrialRecord], float | None]) -> list[_Point]:
    found = []
    for record in report.records:
        at = x(record)
        if at is None or not record.status.has_ended:
            continue
        if record.summary is not None and record.status == TrialStatus.COMPLETE:
            kind = "complete" if record.name is None else "baseline"
            value = record.summary.metrics.get(report.objective)
        else:
            kind = record.status.value
            value = None
            if record.status == TrialStatus.STOPPED:
                value = so_far(record, report.objective, report.direction)
        if value is not None or record.status == TrialStatus.FAILED:
            found.append(_Point(at, value, kind, record.number))
    return sorted(found, key=lambda point: point.x)


def _legend(points: Sequence[_Point]) -> tuple[tuple[str, str, str], ...]:
    kinds = {point.kind for point in points}
    return (*(KINDS[kind] for kind in KINDS if kind in kinds), BEST)


def _gain(report: ReportData) -> str:
    best = report.best_searched
    if best is None:
        return f"No trial of the search is complete{report.yet}."
    place = sum(record.name is None and record.number <= best.record.number for record in report.records)
    total = sum(record.name is None for record in report.records)
    return f"The best trial was number {place} of {total}."


def _draw(
    report: ReportData,
    points: Sequence[_Point],
    ticks: Callable[[Frame], tuple[Scale, list[tuple[float, str]]]],
    x_label: str,
    width: int,
) -> str:
    frame = Frame(58, 30, width - 12, _HEIGHT - 44)
    x, x_ticks = ticks(frame)
    y = Scale(*_window(report, points), frame.bottom - 8, frame.top)
    canvas = Canvas(width, _HEIGHT, f"{report.objective} of every trial by {x_label}")
    canvas.axes(frame, x_ticks, ticks_of(y, 5), x_label=x_label, y_label=report.objective)
    baseline = report.best_baseline
    if baseline is not None:
        at = y(report.value(baseline))
        canvas.line((frame.left, at), (frame.right, at), colour="base", dash="4 4")
    for point in points:
        shape, colour, _ = KINDS[point.kind]
        place = (x(point.x), frame.bottom - 4 if point.y is None else y(point.y))
        canvas.mark(shape, place, colour=colour, size=4, trial=point.trial, opacity=0.9)
    _best_line(canvas, report, points, (x, y), frame)
    return canvas.render()


def _best_line(
    canvas: Canvas, report: ReportData, points: Sequence[_Point], scales: tuple[Scale, Scale], frame: Frame
) -> None:
    """Draw the value of the best complete trial so far as a step line."""
    x, y = scales
    allowed = {row.record.number for row in report.done if not row.breaks and row.record.name is None}
    best: float | None = None
    way: list[tuple[float, float]] = []
    for point in points:
        if point.trial not in allowed or point.y is None:
            continue
        if best is None or report.better(point.y, best):
            if best is not None:
                way.append((x(point.x), y(best)))
            best = point.y
            way.append((x(point.x), y(best)))
    if best is not None:
        way.append((frame.right, y(best)))
        canvas.path(way, colour="best", width=2)
        above = y(best) - 7
        canvas.text((frame.right, above), number(best), anchor="end", colour="best", bold=True)


def _window(report: ReportData, points: Sequence[_Point]) -> tuple[float, float]:
    """Return the range of the axis: complete trials and the best baseline. Other values go to the edge."""
    done = [point.y for point in points if point.y is not None and point.kind == TrialStatus.COMPLETE]
    if not done:
        done = [point.y for point in points if point.y is not None]
    baseline = report.best_baseline
    done += [report.value(baseline)] if baseline is not None else []
    low, high = span(done)
    return low, high + (high - low) * 0.06
