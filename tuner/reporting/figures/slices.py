"""Figures of the objective by a single param: by each option of a choice, and along each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import altair as alt

from tuner.formatting import visible
from tuner.reporting.dimensions import MISSING, Dimension, by_option, dimensions
from tuner.reporting.figures.figure import (
    LEFT,
    PHONE,
    Chart,
    Fact,
    Figure,
    facts_of,
    layered,
    names_axis,
    pinned,
    texts_of,
    tooltips,
    value_axis,
)
from tuner.reporting.figures.palette import paint
from tuner.reporting.figures.ticks import span
from tuner.reporting.report_data import ReportData
from tuner.trials.objective import sort_key
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["numbers", "slice_of", "slices"]

_ROW = 26
#: Largest number of panels for numbers.
MOST = 9
_ENDED = frozenset({TrialStatus.STOPPED, TrialStatus.FAILED})
_BY_OPTION = (
    "A dot is a complete trial, and the bar is the median. The numbers on the right are complete trials and, "
    "after +, stopped or failed ones. Trials of different options may also differ in other params."
)
_ALONG = "A dot is a complete trial to which the param applies."


@dataclass(frozen=True)
class _Panel:
    """The trials by one choice: its name, its options in order, a row for each trial, one for each option."""

    label: str
    options: Sequence[str]
    rows: Sequence[Fact]
    counts: Sequence[Fact]

    @property
    def height(self) -> int:
        return _ROW * len(self.options)


def slices(report: ReportData) -> Figure | None:
    """Draw the objective of complete trials by option, one panel for each choice."""
    chosen = [one for one in dimensions(report) if one.options]
    return _by_options(report, chosen, "slices", "Each choice, option by option")


def numbers(report: ReportData) -> Figure | None:
    """Draw the objective of complete trials along each number that one of them has."""
    records = _complete(report)
    chosen = [
        one
        for one in dimensions(report)
        if not one.options and any(one.number_of(record) is not None for record in records)
    ]
    return _along(report, chosen[:MOST], "numbers", "Each number, along its range")


def slice_of(report: ReportData, one: Dimension) -> Figure | None:
    """Draw the objective of complete trials by one param."""
    draw = _by_options if one.options else _along
    return draw(report, [one], "slice", f"{report.objective} by {one.label}")


def _complete(report: ReportData) -> Sequence[TrialRecord]:
    return [row.record for row in report.done if row.record.name is None]


def _value(record: TrialRecord, report: ReportData) -> float:
    assert record.summary is not None, "only complete trials are drawn"
    return record.summary.metrics[report.objective]


# --- by the options of a choice ------------------------------------------------------------------


def _by_options(report: ReportData, chosen: Sequence[Dimension], name: str, title: str) -> Figure | None:
    records = _complete(report)
    if not chosen or len(records) < 2:  # noqa: PLR2004  # a comparison needs two trials
        return None
    panels = [_panel(report, one, records) for one in chosen]
    data = {f"{name}-{index}": panel.rows for index, panel in enumerate(panels)}
    data |= {f"{name}-{index}-counts": panel.counts for index, panel in enumerate(panels)}
    ends = span([_value(record, report) for record in records])
    return Figure(name, title, _BY_OPTION, partial(_draw_options, report.objective, name, panels, ends), data)


def _panel(report: ReportData, one: Dimension, records: Sequence[TrialRecord]) -> _Panel:
    others = [record for record in report.records if record.name is None and record.status in _ENDED]
    trials, ended = by_option(one, records), by_option(one, others)
    middle = {option: median(_value(r, report) for r in found) for option, found in trials.items()}
    options = [option for option in one.options if option in middle or option in ended]
    if one.module:
        options.sort(key=lambda o: (o not in middle, sort_key(middle.get(o, 0), report.direction)))
    options += [MISSING] if MISSING in middle or MISSING in ended else []
    rows = [
        facts_of(record, option=option, value=_value(record, report), lift=(record.number * 0.618) % 1 - 0.5)
        | texts_of(report, record)
        for option, found in trials.items()
        for record in found
    ]
    counts = []
    for option in options:
        gone = len(ended.get(option, ()))
        text = f"{len(trials.get(option, ()))}" + (f" +{gone}" if gone else "")
        counts.append({"option": visible(option), "text": text, "median": middle.get(option)})
    return _Panel(one.label, [visible(option) for option in options], rows, counts)


def _draw_options(
    objective: str, name: str, panels: Sequence[_Panel], ends: tuple[float, float], width: int
) -> Chart:
    n_columns = 1 if width < 700 else min(2, len(panels))  # noqa: PLR2004  # two panels side by side need this width
    each = (width - 28 * (n_columns - 1)) / n_columns
    left = min(150, each * 0.36)
    charts = [_options(panel, f"{name}-{index}", objective, ends, each) for index, panel in enumerate(panels)]
    spacing = {"row": 64, "column": 56 + 28 + left}
    return alt.concat(*charts, columns=n_columns, bounds="flush", spacing=spacing)


def _options(
    panel: _Panel, data: str, objective: str, ends: tuple[float, float], width: float
) -> alt.LayerChart:
    left = min(150, width * 0.36)
    ticks = 2 if width < PHONE else 4
    axis = alt.Axis(grid=True, domain=False, ticks=False, tickCount=ticks, labelFontSize=11)
    scale = alt.Scale(domain=list(ends), nice=False)
    x = alt.X("value:Q", title=None, scale=scale, axis=axis)
    y = alt.Y("option:N", sort=list(panel.options), axis=names_axis(left))
    lift = alt.YOffset("lift:Q", scale=alt.Scale(domain=[-0.5, 0.5], range=[_ROW / 2 - 6, _ROW / 2 + 6]))
    told = tooltips(("option:N", panel.label), ("value:Q", objective), ("params:N", "params"))
    none = {"test": f"datum.option === '{MISSING}'", "value": paint("c7")}
    colour = alt.ColorValue(paint("c0"), condition=none)
    dots = alt.Chart(alt.NamedData(data)).mark_circle(size=36, opacity=0.6)
    counts = alt.Chart(alt.NamedData(f"{data}-counts")).encode(y=y)
    bars = counts.transform_filter("isValid(datum.median)").mark_tick(
        color=paint("best"), thickness=2, height=18
    )
    texts = counts.mark_text(align="right", dx=50, fontSize=11, color=paint("muted"))
    return layered(
        dots.encode(x=x, y=y, yOffset=lift, color=colour, tooltip=told),
        bars.encode(x=alt.X("median:Q", scale=scale)),
        texts.encode(x=pinned("width"), text=alt.Text("text:N")),
        width=width - left - 56,
        height=panel.height,
        title=panel_title(panel.label, left),
    )


# --- along a number ------------------------------------------------------------------------------


def _along(report: ReportData, chosen: Sequence[Dimension], name: str, title: str) -> Figure | None:
    records = _complete(report)
    if not chosen or len(records) < 2:  # noqa: PLR2004  # a comparison needs two trials
        return None
    data = {f"{name}-{index}": _points(report, one, records) for index, one in enumerate(chosen)}
    ends = span([_value(record, report) for record in records])
    return Figure(name, title, _ALONG, partial(_draw_numbers, report.objective, name, chosen, ends), data)


def _points(report: ReportData, one: Dimension, records: Sequence[TrialRecord]) -> list[Fact]:
    best = records[0].number
    return [
        facts_of(record, x=at, value=_value(record, report), best=record.number == best)
        | texts_of(report, record)
        for record in reversed(records)
        if (at := one.number_of(record)) is not None
    ]


def _draw_numbers(
    objective: str, name: str, chosen: Sequence[Dimension], ends: tuple[float, float], width: int
) -> Chart:
    columns = 1 if width < PHONE else min(3, len(chosen))
    each = width / columns - LEFT - 14
    charts = []
    for index, one in enumerate(chosen):
        low, high = span([one.low, one.high], log=one.log)
        scale = alt.Scale(domain=[low, high], type="log" if one.log else "linear", nice=False)
        x = alt.X("x:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4))
        y = alt.Y("value:Q", scale=alt.Scale(domain=list(ends), nice=False), axis=value_axis(None, 4))
        told = tooltips(("x:Q", one.label), ("value:Q", objective), ("params:N", "params"))
        first: dict[str, Any] = {
            "color": alt.ColorValue(paint("c0"), condition={"test": "datum.best", "value": paint("best")}),
            "size": alt.SizeValue(36, condition={"test": "datum.best", "value": 72}),
            "opacity": alt.OpacityValue(0.6, condition={"test": "datum.best", "value": 1}),
        }
        dots = alt.Chart(alt.NamedData(f"{name}-{index}")).mark_circle()
        title = panel_title(one.label + (" (log)" if one.log else ""), LEFT)
        charts.append(
            dots.encode(x=x, y=y, tooltip=told, **first).properties(width=each, height=148, title=title)
        )
    return alt.concat(*charts, columns=columns, bounds="flush", spacing={"row": 66, "column": LEFT + 14})


def panel_title(text: str, left: float) -> alt.TitleParams:
    """Return the title of a panel, which begins `left` pixels to the left of it."""
    return alt.TitleParams(
        visible(text), anchor="start", frame="group", dx=-left, fontSize=13, offset=10, limit=300
    )
