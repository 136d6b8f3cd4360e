"""Figures of the history of a search: every trial, and the best trial so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import altair as alt

from tuner.formatting import number
from tuner.reporting.figures.figure import (
    Chart,
    Fact,
    Figure,
    Kind,
    by_kind,
    facts_of,
    fitted,
    layered,
    texts_of,
    tooltips,
    value_axis,
)
from tuner.reporting.figures.palette import paint
from tuner.reporting.figures.ticks import span, time_unit
from tuner.reporting.report_data import ReportData, so_far
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["history_by_time", "history_by_trial"]

#: Status of a trial, or ``baseline`` -> its kind.
KINDS = {
    "complete": Kind("dot", "c0", "complete"),
    "stopped": Kind("ring", "c7", "stopped early: best of fold 1 so far"),
    "failed": Kind("cross", "bad", "failed"),
    "baseline": Kind("diamond", "base", "baseline"),
}
BEST = Kind("line", "best", "best so far")
_HEIGHT = 226


@dataclass(frozen=True)
class _Point:
    """A trial in the figure: its place along the search, its value, and its kind."""

    record: TrialRecord
    x: float
    y: float | None
    kind: str


@dataclass(frozen=True)
class _Axis:
    """The horizontal axis: its title and its ends."""

    title: str
    low: float
    high: float


def history_by_trial(report: ReportData) -> Figure | None:
    """Draw the objective of every trial by its number."""
    points = _points(report, lambda record: float(record.number))
    if len(points) < 2:  # noqa: PLR2004  # a history needs two points
        return None
    last = max(point.x for point in points)
    caption = f"{_gain(report)} The dashed line is the best baseline. Values below the axis are drawn on it."
    axis = _Axis("trial", -0.5, last + 0.5)
    named = {"name": "history-trials", "title": "Optimization history by trial", "caption": caption}
    return _figure(report, points, axis, **named)


def history_by_time(report: ReportData) -> Figure | None:
    """Draw the objective of every trial by the time at which it ended."""
    total = report.clock.total
    size, unit = time_unit(total)
    points = _points(
        report, lambda record: report.clock(record.ended.timestamp()) / size if record.ended else None
    )
    if len(points) < 2 or total <= 0:  # noqa: PLR2004  # a history needs two points
        return None
    caption = "Time of the search when a trial ended, without the pauses between runs."
    axis = _Axis(f"time of the search, {unit}", 0, total * 1.02 / size)
    named = {"name": "history-time", "title": "Optimization history by time", "caption": caption}
    return _figure(report, points, axis, **named)


def _figure(
    report: ReportData, points: Sequence[_Point], axis: _Axis, *, name: str, title: str, caption: str
) -> Figure:
    low, high = _window(report, points)
    floor = low - (high - low) * 0.04  # failed trials are below all others
    rows = [_row(report, point, (low, high, floor)) for point in points]
    best = _best_so_far(report, points, axis.high)
    baseline: list[Fact] = [] if report.best_baseline is None else [{"y": report.value(report.best_baseline)}]
    kinds = {point.kind for point in points}
    legend = (*(KINDS[kind] for kind in KINDS if kind in kinds), BEST)
    x = alt.X(
        "x:Q",
        title=axis.title,
        scale=alt.Scale(domain=[axis.low, axis.high], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    y = alt.Y("y:Q", scale=alt.Scale(domain=[floor, high], nice=False), axis=value_axis(report.objective))
    data: dict[str, list[Fact]] = {name: rows, f"{name}-best": best, f"{name}-baseline": baseline}
    draw = partial(_draw, report.objective, name, legend, (x, y))
    return Figure(name, title, caption, draw, data, half=True, legend=legend)


def _draw(objective: str, name: str, legend: Sequence[Kind], axes: tuple[alt.X, alt.Y], width: int) -> Chart:
    x, y = axes
    tips = tooltips(("state:N", "state"), ("value:Q", objective), ("params:N", "params"))
    points = alt.Chart(alt.NamedData(name)).mark_point(size=56, opacity=0.9, strokeWidth=1.6)
    line = alt.Chart(alt.NamedData(f"{name}-best")).encode(x=x, y=y)
    baseline = alt.Chart(alt.NamedData(f"{name}-baseline")).mark_rule(strokeDash=[4, 4], color=paint("base"))
    end = line.transform_filter("datum.end").mark_text(align="right", dy=-9, fontWeight=600)
    return layered(
        baseline.encode(y=y),
        points.encode(x=x, y=y, tooltip=tips, **by_kind(legend, below=True)),
        line.mark_line(interpolate="step-after", color=paint("best"), strokeWidth=2),
        end.encode(text=alt.Text("text:N"), color=alt.ColorValue(paint("best"))),
        height=_HEIGHT,
        **fitted(width),
    )


def _row(report: ReportData, point: _Point, window: tuple[float, float, float]) -> Fact:
    low, high, floor = window
    y = floor if point.y is None else min(max(point.y, low), high)
    kind = KINDS[point.kind].label
    return facts_of(point.record, x=point.x, y=y, value=point.y, kind=kind, **texts_of(report, point.record))


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
            found.append(_Point(record, at, value, kind))
    return sorted(found, key=lambda point: point.x)


def _gain(report: ReportData) -> str:
    best = report.best_searched
    if best is None:
        return f"No trial of the search is complete{report.yet}."
    place = sum(record.name is None and record.number <= best.record.number for record in report.records)
    total = sum(record.name is None for record in report.records)
    return f"The best trial was number {place} of {total}."


def _best_so_far(report: ReportData, points: Sequence[_Point], last: float) -> list[Fact]:
    """Return the places where the best value of complete trials changes, and the end of the line."""
    allowed = {row.record.number for row in report.done if not row.breaks and row.record.name is None}
    way: list[dict[str, float]] = []
    for point in points:
        if point.record.number not in allowed or point.y is None:
            continue
        if not way or report.better(point.y, way[-1]["y"]):
            way.append({"x": point.x, "y": point.y})
    return [*way, {"x": last, "y": way[-1]["y"], "end": True, "text": number(way[-1]["y"])}] if way else []


def _window(report: ReportData, points: Sequence[_Point]) -> tuple[float, float]:
    """Return the range of the axis: complete trials and the best baseline. Other values go to the edge."""
    done = [point.y for point in points if point.y is not None and point.kind == TrialStatus.COMPLETE]
    if not done:
        done = [point.y for point in points if point.y is not None]
    baseline = report.best_baseline
    done += [report.value(baseline)] if baseline is not None else []
    low, high = span(done)
    return low, high + (high - low) * 0.06
