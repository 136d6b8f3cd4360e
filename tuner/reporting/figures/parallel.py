"""Figure of parallel coordinates over a conditional space: a line for each trial through its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import altair as alt

from tuner.formatting import visible
from tuner.reporting.dimensions import MISSING, Dimension, dimensions
from tuner.reporting.figures.figure import (
    PHONE,
    WIDE,
    Chart,
    Fact,
    Figure,
    Kind,
    facts_of,
    layered,
    thinned,
    tooltips,
)
from tuner.reporting.figures.importances import weigh
from tuner.reporting.figures.palette import RAMP, paint
from tuner.reporting.figures.ticks import Scale, span, tick_labels
from tuner.reporting.leaderboard import Row
from tuner.reporting.report_data import ReportData
from tuner.trials.objective import more_is_better
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["parallel"]

#: Places along an axis: its ends, and the rail for trials without a value. Pixels for a whole axis.
_TOP, _BOTTOM, _RAIL, _PIXELS = 0.98, 0.02, -0.09, 250
_AXIS_WIDTH = 112
#: Largest number of lines.
LINES = 150
_SHOWN = frozenset({TrialStatus.COMPLETE, TrialStatus.STOPPED})
_STOPPED = Kind("line", "faint", "stopped early")
_BEST, _GOOD, _POOR = Kind("line", "best", "best"), Kind("line", "q5", "good"), Kind("line", "q1", "poor")

Place = Callable[[TrialRecord], float]


@dataclass(frozen=True)
class _Axis:
    """An axis: its name, its marks (place, text), the place of a trial on it, and the text at its rail."""

    name: str
    marks: Sequence[tuple[float, str]]
    place: Place
    rail: str = ""


def parallel(report: ReportData) -> Figure | None:
    """Draw each trial as a line through its varying params, the most important first, to its objective."""
    found = _by_importance(report)[: _n_shown(WIDE)]
    records = [r for r in report.records if r.name is None and r.status in _SHOWN]
    done = [row for row in report.done if row.record.name is None]
    if len(found) < 2 or len(done) < 2:  # noqa: PLR2004  # a line needs two ends
        return None
    lower = any(one.partial for one in found)
    stopped = (_STOPPED,) if len(records) > len(done) else ()
    drawn, thinning = thinned(_best_first(records, done), LINES)
    caption = f"A line is a trial; better trials have stronger lines.{thinning}" + (
        f" On the lower rail, n/a: the param {MISSING}, because it needs another option." if lower else ""
    )
    axes = [*map(_axis, found), _objective(report, done)]
    colours = _colours(done)
    # The best trial is the last, over all others.
    rows = [
        fact
        for record in reversed(drawn)
        for fact in _line(record, colours.get(record.number, _STOPPED.colour), axes)
    ]
    marks = [fact for place, axis in enumerate(axes) for fact in _marks(place, axis)]
    return Figure(
        "parallel",
        "Parallel coordinates",
        caption,
        partial(_draw, [one.module for one in found]),
        {"parallel": rows, "parallel-marks": marks},
        legend=(_BEST, _GOOD, _POOR, *stopped),
    )


def _by_importance(report: ReportData) -> list[Dimension]:
    shares: dict[str, float] = {}
    for name, share in weigh(report).shares.items():
        key = name.partition("@")[0]
        shares[key] = shares.get(key, 0.0) + share
    return sorted(dimensions(report), key=lambda one: -shares.get(one.key, 0.0))


# --- data ----------------------------------------------------------------------------------------


def _axis(one: Dimension) -> _Axis:
    """Return the axis of a param."""
    rail = "n/a" if one.partial else ""
    if not one.options:
        scale = Scale(one.low, one.high, _BOTTOM, _TOP, log=one.log)
        values = scale.ticks(4)
        ticks = [(scale(value), label) for value, label in zip(values, tick_labels(values), strict=True)]
        return _Axis(one.label, ticks, lambda record: _on_scale(scale, one.number_of(record), record), rail)
    each = 1 / len(one.options)
    centre = {option: 1 - each * (index + 0.5) for index, option in enumerate(one.options)}
    spread = min(each * 0.5, 0.09)

    def place(record: TrialRecord) -> float:
        middle = centre.get(one.text_of(record))
        return _on_rail(record) if middle is None else middle + _shift(record) * spread

    return _Axis(one.label, [(at, option) for option, at in centre.items()], place, rail)


def _objective(report: ReportData, done: Sequence[Row]) -> _Axis:
    """Return the axis of the objective, whose better end is at the top."""
    values = {row.record.number: report.value(row) for row in done}
    ends = (_BOTTOM, _TOP) if more_is_better(report.direction) else (_TOP, _BOTTOM)
    scale = Scale(*span(list(values.values()), room=0.02), *ends)
    ticks = scale.ticks(5)
    marks = [(scale(value), label) for value, label in zip(ticks, tick_labels(ticks), strict=True)]
    stopped = any(r.name is None and r.status == TrialStatus.STOPPED for r in report.records)
    rail = "none" if stopped else ""
    return _Axis(report.objective, marks, lambda r: _on_scale(scale, values.get(r.number), r), rail)


def _on_scale(scale: Scale, value: float | None, record: TrialRecord) -> float:
    return _on_rail(record) if value is None else scale(value)


def _on_rail(record: TrialRecord) -> float:
    return _RAIL + _shift(record) * 0.03


def _shift(record: TrialRecord) -> float:
    """Return a number from -0.5 to 0.5 that differs between trials, so that their lines do."""
    return (record.number * 0.618) % 1 - 0.5


def _best_first(records: Sequence[TrialRecord], done: Sequence[Row]) -> list[TrialRecord]:
    ranks = {row.record.number: index for index, row in enumerate(done)}
    return sorted(records, key=lambda record: ranks.get(record.number, len(done)))


def _colours(done: Sequence[Row]) -> dict[int, str]:
    """Return the colours of the lines of complete trials, by number."""
    worst = max(1, len(done) - 1)
    places = [int((1 - place / worst) * len(RAMP)) for place in range(len(done))]
    found = [RAMP[min(place, len(RAMP) - 1)] for place in places]
    numbers = [row.record.number for row in done]
    return dict(zip(numbers, found, strict=True)) | dict.fromkeys(numbers[:1], _BEST.colour)


def _line(record: TrialRecord, colour: str, axes: Sequence[_Axis]) -> list[Fact]:
    """Return a row for each place of a trial's line."""
    label = facts_of(record)
    return [
        {**label, "axis": place, "y": round(axis.place(record), 4), "strength": colour}
        for place, axis in enumerate(axes)
    ]


def _marks(place: int, axis: _Axis) -> list[Fact]:
    """Return a row for each value written beside an axis, and one for its name."""
    name = {"axis": place, "name": visible(axis.name), "bottom": 0, "top": 1}
    marks = [*axis.marks, *([(_RAIL, axis.rail)] if axis.rail else [])]
    return [name, *({"axis": place, "y": round(y, 4), "text": visible(text)} for y, text in marks)]


# --- drawing -------------------------------------------------------------------------------------


def _draw(modules: Sequence[bool], width: int) -> Chart:
    first = sorted(range(len(modules))[: _n_shown(width)], key=lambda place: not modules[place])
    shown = [*first, len(modules)]  # the last one is the objective
    step = (width - 74) / (len(shown) - 1)
    scale = alt.Scale(domain=[0, len(shown) - 1], nice=False, zero=False)
    x = alt.X("at:Q", axis=None, scale=scale)

    def rows(name: str) -> alt.Chart:
        found = alt.Chart(alt.NamedData(name)).transform_calculate(at=f"indexof({shown}, datum.axis)")
        shown_rows: alt.Chart = found.transform_filter("datum.at >= 0").encode(x=x)
        return shown_rows

    return layered(
        _lines(rows("parallel")),
        *_axes(rows("parallel-marks"), step),
        height=_PIXELS + 34,
        padding=0,
        width=width - 74,
    )


def _at(column: str) -> alt.Y:
    """Return the encoding of a place along the axes."""
    return alt.Y(f"{column}:Q", axis=None, scale=alt.Scale(domain=[_RAIL - 0.03, 1], nice=False))


def _n_shown(width: int) -> int:
    """Return how many params have room beside the objective."""
    return max(2, int(width / (86 if width < PHONE else _AXIS_WIDTH)) - 1)


def _lines(rows: alt.Chart) -> alt.Chart:
    """Return the lines of all trials: better trials have stronger ones."""
    strengths = [_STOPPED.colour, *RAMP, _BEST.colour]

    def scale(values: Sequence[float | str]) -> alt.Scale:
        return alt.Scale(domain=strengths, range=list(values))

    colours = scale([paint(one) for one in strengths])
    widths, opacities = scale([1.0, *[1.5] * len(RAMP), 2.6]), scale([0.4, *[0.8] * len(RAMP), 1.0])
    lines: alt.Chart = rows.mark_line(interpolate="monotone").encode(
        y=_at("y"),
        detail=alt.Detail("trial:N"),
        order=alt.Order("at:Q"),
        tooltip=tooltips(),
        color=alt.Color("strength:N", scale=colours, legend=None),
        strokeWidth=alt.StrokeWidth("strength:O", scale=widths, legend=None),
        opacity=alt.Opacity("strength:O", scale=opacities, legend=None),
    )
    return lines


def _axes(rows: alt.Chart, step: float) -> list[alt.Chart]:
    """Return the axes, their names, and the values beside them, on a background that hides the lines."""
    names = rows.transform_filter("isValid(datum.name)")
    texts = rows.transform_filter("isValid(datum.text)")
    texts = texts.mark_text(align="left", dx=6, fontSize=11, limit=step - 16)
    title = names.mark_text(fontWeight=600, dy=-14, limit=step - 8, color=paint("ink"))
    rails = texts.transform_filter(f"datum.y === {_RAIL}")
    return [
        names.mark_rule(strokeWidth=1.2, color=paint("ink")).encode(y=_at("bottom"), y2=alt.Y2("top:Q")),
        rails.mark_tick(orient="vertical", color=paint("ink"), thickness=1.2, height=14).encode(y=_at("y")),
        title.encode(y=_at("top"), text=alt.Text("name:N")),
        texts.encode(
            y=_at("y"),
            text=alt.Text("text:N"),
            stroke=alt.StrokeValue(paint("card")),
            strokeWidth=alt.StrokeWidthValue(4),
        ),
        texts.encode(y=_at("y"), text=alt.Text("text:N"), color=alt.ColorValue(paint("ink"))),
    ]
