"""Figures of trade-offs: accuracy against other metrics, and the Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import altair as alt

from tuner.reporting.figures.figure import (
    LEFT,
    PHONE,
    Chart,
    Fact,
    Figure,
    Kind,
    by_kind,
    clipped,
    facts_of,
    layered,
    text_width,
    texts_of,
    tooltips,
    value_axis,
)
from tuner.reporting.figures.palette import paint
from tuner.reporting.figures.ticks import span
from tuner.reporting.report_data import ReportData
from tuner.trials.constraints import quantities

__all__ = ["beyond_accuracy", "front", "tradeoff", "tradeoff_with"]

#: Accuracy metrics of RecTools. All other metrics are drawn against the objective.
_ACCURACY = (
    "NDCG",
    "MAP",
    "MRR",
    "HitRate",
    "Recall",
    "Precision",
    "F1Beta",
    "Accuracy",
    "MCC",
    "PAP",
    "PartialAUC",
)
#: Metrics to show first, because teams ask for them most often.
_FIRST = ("Serendipity", "AvgRecPopularity", "Intersection")
_HEIGHT, _GAP = 194, 18
#: Height of a name, in pixels.
_LINE = 13
_BEST = Kind("dot", "best", "best")
_FRONT = Kind("dot", "best", "on the front")
_CAPTION = "Complete trials and baselines. The best row is marked; baselines are named."
_FIRSTS = [_BEST.label, _FRONT.label]
_KINDS = (Kind("dot", "c0", "trial"), Kind("diamond", "base", "baseline"), _BEST)
_KINDS_OF_FRONT = (_FRONT, Kind("dot", "c7", "beaten"), Kind("diamond", "c7", "baseline"))


def beyond_accuracy(report: ReportData) -> list[str]:
    """Return the metrics that do not measure accuracy, those of `_FIRST` before the others."""
    others = [
        label
        for label in report.board.metrics
        if label != report.objective and not label.startswith(_ACCURACY)
    ]

    def place(label: str) -> int:
        return next((index for index, name in enumerate(_FIRST) if label.startswith(name)), len(_FIRST))

    return sorted(others, key=place)


def tradeoff(report: ReportData) -> Figure | None:
    """Draw the objective against up to three metrics that do not measure accuracy."""
    panels = [_panel(report, name) for name in beyond_accuracy(report)[:3]]
    panels = [panel for panel in panels if len({row["x"] for row in panel.rows}) > 1]
    if not panels:
        return None
    return _figure("tradeoffs", f"{report.objective} against other metrics", _CAPTION, panels, _KINDS)


def tradeoff_with(report: ReportData, name: str) -> Figure | None:
    """Draw the objective against one metric or quantity; None if no complete trial has it."""
    panel = _panel(report, name)
    title = f"{report.objective} against {name}"
    return _figure("tradeoff", title, _CAPTION, [panel], _KINDS) if panel.rows else None


def front(report: ReportData) -> Figure | None:
    """Draw the first objective against each further one, and mark the rows of the Pareto front."""
    panels = [_panel(report, name, fronts=True) for name in report.board.further]
    panels = [panel for panel in panels if panel.rows]
    if not panels:
        return None
    directions = ", ".join(f"{name} ({way})" for name, way in report.board.further.items())
    caption = f"No other row beats the orange rows in all objectives: {report.objective} and {directions}."
    return _figure("pareto", "Pareto front", caption, panels, _KINDS_OF_FRONT)


@dataclass(frozen=True)
class _Panel:
    """One scatter plot: the names of its axes, and its rows."""

    x: str
    y: str
    rows: Sequence[Fact]


def _panel(report: ReportData, name: str, *, fronts: bool = False) -> _Panel:
    rows = []
    for row in reversed(report.done):
        assert row.record.summary is not None, "only complete trials are ranked"
        values = quantities(row.record.summary)
        if values.get(name) is None or report.objective not in values:
            continue
        baseline = row.record.name is not None
        if fronts:
            kind = "on the front" if row.front == 1 else "baseline" if baseline else "beaten"
        else:
            kind = "best" if row is report.best else "baseline" if baseline else "trial"
        named = baseline or row is report.best
        place = {"x": values[name], "y": values[report.objective], "kind": kind, "named": named}
        rows.append(facts_of(row.record, **place, **texts_of(report, row.record)))
    return _Panel(name, report.objective, rows)


def _figure(name: str, title: str, caption: str, panels: Sequence[_Panel], kinds: Sequence[Kind]) -> Figure:
    data = {f"{name}-{index}": panel.rows for index, panel in enumerate(panels)}
    return Figure(name, title, caption, partial(_draw, name, panels, kinds), data, legend=tuple(kinds))


def _draw(name: str, panels: Sequence[_Panel], kinds: Sequence[Kind], width: int) -> Chart:
    columns = 1 if width < PHONE else max(2, min(3, len(panels)))
    each = (width - columns * (LEFT + _GAP)) / columns
    charts = [
        _scatter(panel, f"{name}-{index}", kinds, each - 12).properties(width=each - 12, height=_HEIGHT)
        for index, panel in enumerate(panels)
    ]
    spacing = {"row": 76, "column": LEFT + _GAP + 12}
    return alt.concat(*charts, columns=columns, bounds="flush", spacing=spacing)


def _scatter(panel: _Panel, data: str, kinds: Sequence[Kind], width: float) -> alt.LayerChart:
    ends = [span([row[axis] for row in panel.rows], room=0.08) for axis in ("x", "y")]
    scales = [alt.Scale(domain=list(one), nice=False, zero=False) for one in ends]
    x = alt.X("x:Q", title=panel.x, scale=scales[0], axis=alt.Axis(tickCount=4))
    y = alt.Y("y:Q", scale=scales[1], axis=value_axis(panel.y, 4))
    base = alt.Chart(alt.NamedData(data)).encode(x=x, y=y)
    told = tooltips(("x:Q", panel.x), ("y:Q", panel.y), ("params:N", "params"))
    first = alt.FieldOneOfPredicate(field="kind", oneOf=_FIRSTS)
    size = alt.SizeValue(56, condition={"test": first, "value": 84})
    points = base.mark_point(opacity=0.8, strokeWidth=1).encode(
        tooltip=told, size=size, **by_kind(kinds, below=True)
    )
    layers = [points]
    places = _places(panel, ends, width)
    for align, shift in (("left", 9), ("right", -9)):
        numbers = [number for number, side in places.items() if side == align]
        if numbers:
            named = base.transform_filter(alt.FieldOneOfPredicate(field="trial", oneOf=numbers))
            halo = named.mark_text(align=align, dx=shift, fontSize=11, limit=120)
            back = halo.encode(
                text=alt.Text("label:N"),
                stroke=alt.StrokeValue(paint("card")),
                strokeWidth=alt.StrokeWidthValue(3),
            )
            layers += [back, halo.encode(text=alt.Text("label:N"), color=alt.ColorValue(paint("ink")))]
    return layered(*layers)


def _places(panel: _Panel, ends: Sequence[tuple[float, float]], width: float) -> dict[int, str]:
    """Return at which side of its point each name is written, by trial, if no other name is there."""
    taken: list[tuple[float, float, float]] = []
    found: dict[int, str] = {}
    (x_low, x_high), (y_low, y_high) = ends
    for row in sorted(panel.rows, key=lambda row: row["kind"] == "baseline"):
        if not row["named"]:
            continue
        x = (row["x"] - x_low) / (x_high - x_low) * width
        y = (row["y"] - y_low) / (y_high - y_low) * _HEIGHT
        wide = text_width(clipped(row["label"], 120, 11), 11)
        side = "left" if x + 9 + wide <= width + _GAP else "right"
        left = x + 9 if side == "left" else x - 9 - wide
        if left < 0 or any(
            abs(y - at) < _LINE and left < end and left + wide > start for start, end, at in taken
        ):
            continue
        taken.append((left, left + wide, y))
        found[row["trial"]] = side
    return found
