"""What all figures share: the record of a figure, the style of charts, and the facts of a trial in tooltips.

A figure's chart is made for a width and without its rows, which it names. So a page holds the rows of
a figure once, and draws it at two widths.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, TypeAlias

import altair as alt

from tuner.formatting import visible
from tuner.reporting.distinguish import what_distinguishes
from tuner.reporting.figures.palette import paint
from tuner.reporting.report_data import ReportData, label_of
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = [
    "HALF",
    "LEFT",
    "NARROW",
    "PHONE",
    "SHAPES",
    "WIDE",
    "Chart",
    "Fact",
    "Figure",
    "Kind",
    "by_kind",
    "clipped",
    "config",
    "facts_of",
    "fitted",
    "grid_axis",
    "layered",
    "names_axis",
    "pinned",
    "text_width",
    "texts_of",
    "thinned",
    "tooltips",
    "value_axis",
]

Chart: TypeAlias = (
    alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart
)
Fact: TypeAlias = Mapping[str, Any]

#: Widths of a figure in pixels, and the width below which it is drawn for a phone.
WIDE, HALF, NARROW, PHONE = 1040, 500, 332, 520
#: Room for the axis at the left of a chart, in pixels.
LEFT = 52
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,Arial,'Liberation Sans','DejaVu Sans',sans-serif"
#: Mean width of letters as a share of the font size, a little larger than in the fonts above.
_LETTER = 0.6
#: Outlines of marks. A mark of radius 1 has Vega's size 4.
SHAPES = {
    "dot": "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "ring": "M.9,0A.9,.9,0,1,1,-.9,0A.9,.9,0,1,1,.9,0Z",
    "diamond": "M0,-1.3L1.3,0L0,1.3L-1.3,0Z",
    "cross": "M-.9,-.9L.9,.9M.9,-.9L-.9,.9",
    "bar": "M0,-2L0,2",
    "line": "M-2,0L2,0",
    "square": "M-1,-1L1,-1L1,1L-1,1Z",
}
#: Texts for statuses that need more than their name.
_STATES = {TrialStatus.STOPPED: "stopped early"}


@dataclass(frozen=True)
class Kind:
    """A kind of mark: its shape among `SHAPES`, its colour in the palette, and its name in the legend."""

    shape: str
    colour: str
    label: str


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn at different widths.

    Attributes
    ----------
    name
        Name of its file.
    title, caption
        Title and explanation.
    draw
        Function that takes a width in pixels and returns a chart that names its data; None if the figure has
        only a caption.
    data
        Rows by the name of the data.
    half
        Whether two such figures may be side by side.
    legend
        Kinds of marks.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[int], Chart] | None
    data: Mapping[str, Sequence[Fact]] = field(default_factory=dict)
    half: bool = False
    legend: tuple[Kind, ...] = ()

    def chart(self, width: int | None = None) -> Chart:
        """Return the chart with its rows, title and style, as it is shown outside of a page.

        Parameters
        ----------
        width
            Width in pixels.
        """
        assert self.draw is not None, "a figure with only a caption has no chart"
        wide = width or (640 if self.half else WIDE)
        chart = self.draw(wide)
        caption = wrap(visible(self.caption), wide // 7)
        title = alt.TitleParams(visible(self.title), subtitle=caption)
        chart = chart.properties(title=title, background=paint("card"), padding=16)
        styled: Chart = chart.configure(**config())
        _fill(styled, self.data)
        return styled


def _fill(chart: Any, data: Mapping[str, Sequence[Fact]]) -> None:  # noqa: ANN401  # a chart, or a part of one
    """Replace the names of data in a chart and in its parts by the rows."""
    if isinstance(chart.data, alt.NamedData):
        # Altair copies lists with all that is in them, each time that it combines charts.
        chart.data = {"values": tuple(data[chart.data.name])}
    parts = (getattr(chart, part, None) for part in ("layer", "concat", "hconcat", "vconcat"))
    for part in (one for found in parts if isinstance(found, list) for one in found):
        _fill(part, data)
    if isinstance(chart, alt.FacetChart):
        _fill(chart.spec, data)


def config() -> dict[str, Any]:
    """Return the style of all charts."""
    label = {"labelColor": paint("muted"), "labelFontSize": 12, "labelFontWeight": "normal"}
    title = {"titleColor": paint("muted"), "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {**label, **title, "domainColor": paint("faint"), "tickColor": paint("faint")}
        | {"gridColor": paint("line"), "labelPadding": 6, "titlePadding": 10, "labelOverlap": True},
        "axisX": {"grid": False, "tickSize": 4},
        "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
        "header": {**label, "title": None, "labelAnchor": "start"},
        "legend": {**label, "title": None, "orient": "top", "direction": "horizontal", "labelLimit": 320}
        | {"symbolSize": 56, "columnPadding": 16, "offset": 16},
        "title": {"anchor": "start", "color": paint("ink"), "fontSize": 15, "offset": 16}
        | {"subtitleColor": paint("muted"), "subtitleFontSize": 12, "subtitlePadding": 6},
    }


def layered(*layers: alt.Chart, **properties: Any) -> alt.LayerChart:  # as Altair takes them
    """Return charts drawn over each other, with properties of the whole."""
    chart: alt.LayerChart = alt.layer(*layers).properties(**properties)
    return chart


def by_kind(kinds: Sequence[Kind], *, below: bool = False) -> dict[str, Any]:
    """Return the encodings that give a mark the shape and the colour of its kind, and make a legend.

    Parameters
    ----------
    kinds
        The kinds, in the order of the legend.
    below
        Whether the title of an axis is below the legend.
    """
    labels = [kind.label for kind in kinds]
    fills = [paint("card" if kind.shape == "ring" else kind.colour) for kind in kinds]

    legend = alt.Legend(offset=34 if below else 16)

    def scale(values: Sequence[str]) -> alt.Scale:
        return alt.Scale(domain=labels, range=values)

    return {
        "shape": alt.Shape("kind:N", scale=scale([SHAPES[kind.shape] for kind in kinds]), legend=legend),
        "fill": alt.Fill("kind:N", scale=scale(fills), legend=legend),
        "stroke": alt.Stroke("kind:N", scale=scale([paint(kind.colour) for kind in kinds]), legend=legend),
    }


def value_axis(title: str | None, ticks: int = 5) -> alt.Axis:
    """Return a vertical axis, `LEFT` pixels wide, with its title above it."""
    return alt.Axis(
        title=title,
        titleAngle=0,
        titleAlign="left",
        titleBaseline="bottom",
        titleX=-LEFT,
        titleY=-12,
        minExtent=LEFT,
        maxExtent=LEFT,
        tickCount=ticks,
    )


def names_axis(width: float, *, bold: str | None = None) -> alt.Axis:
    """Return a vertical axis of names, `width` pixels wide. One of them may be bold, and the others grey."""
    test = {"test": f"datum.value === {json.dumps(bold)}"}
    fits = int((width - 14) / (12 * _LETTER))
    trial = "split(datum.label, ' #')[1]"  # it is not cut
    cut = f"slice(datum.label, 0, {fits} - 2 - length({trial})) + '…#' + {trial}"
    cut = f"{trial} ? {cut} : slice(datum.label, 0, {fits - 1}) + '…'"
    return alt.Axis(
        title=None,
        minExtent=width,
        maxExtent=width,
        labelExpr=f"length(datum.label) <= {fits} ? datum.label : {cut}",
        labelLimit=0,
        labelPadding=12,
        labelColor=paint("ink")
        if bold is None
        else {"condition": test | {"value": paint("ink")}, "value": paint("muted")},
        labelFontWeight={"condition": test | {"value": 600}, "value": "normal"},
    )


def facts_of(record: TrialRecord, **more: Any) -> dict[str, Any]:  # values of JSON
    """Return a row of data: the trial's number and label, and further values, rounded to six digits."""
    found = {"trial": record.number, "label": label_of(record), **more}
    return {key: _plain(value) for key, value in found.items()}


def texts_of(report: ReportData, record: TrialRecord) -> dict[str, str]:
    """Return the state of a trial and the params that distinguish it, for its tooltip."""
    row = report.row(record.number)
    state = "baseline" if record.name else _STATES.get(row.status, row.status.value)
    return {"state": state, "params": "" if record.name else what_distinguishes(row)}


def _plain(value: Any) -> Any:  # noqa: ANN401  # a value of JSON
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return visible(value) if isinstance(value, str) else value


def thinned(records: Sequence[TrialRecord], most: int) -> tuple[Sequence[TrialRecord], str]:
    """Return the first of the trials and evenly chosen others, at most `most`, and a sentence that says so.

    A browser takes long to draw a thousand lines, and a reader cannot tell them apart.
    """
    step = max(1, -(-len(records) // most))
    said = f" To stay readable, the figure has one in {step} of these {len(records)} trials."
    return records[::step], said if step > 1 else ""


def tooltips(*fields: tuple[str, str]) -> list[alt.Tooltip]:
    """Return the tooltip of a trial: its label, and fields (name with type, title)."""
    named = [alt.Tooltip("label:N", title="trial")]
    return [*named, *(alt.Tooltip(name, title=visible(title)) for name, title in fields)]


def text_width(text: str, size: float = 12) -> float:
    """Return the approximate width of a text in pixels."""
    return len(text) * size * _LETTER


def clipped(text: str, width: float, size: float = 12) -> str:
    """Return a text cut to a width in pixels. A trial's number at the end of the text is not cut."""
    fits = max(2, int(width / (size * _LETTER)))
    if len(text) <= fits:
        return text
    head, mark, trial = text.rpartition(" #")
    room = fits - len(trial) - 2
    return f"{head[:room]}…#{trial}" if mark and trial.isdigit() and room > 0 else text[: fits - 1] + "…"


def grid_axis(width: float) -> alt.Axis:
    """Return a horizontal axis for rows of values in a chart that is `width` pixels wide."""
    return alt.Axis(grid=True, domain=False, ticks=False, tickCount=4 if width < PHONE else 7)


def pinned(place: str | int) -> alt.XValue:
    """Return the encoding of a horizontal place in a chart: in pixels, or ``width`` for its right end."""
    return alt.XValue(place)  # type: ignore[no-untyped-call]  # it is the only one without types


def fitted(width: float) -> dict[str, Any]:
    """Return the properties of a chart that is `width` pixels wide, with its axes and texts."""
    return {"width": width, "autosize": alt.AutoSizeParams(type="fit-x", contains="padding"), "padding": 0}
