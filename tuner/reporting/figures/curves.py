"""Figure of learning curves: the objective by epoch in each fold, and where trials were stopped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import altair as alt

from tuner.reporting.figures.figure import (
    LEFT,
    PHONE,
    SHAPES,
    Chart,
    Fact,
    Figure,
    Kind,
    by_kind,
    facts_of,
    thinned,
    tooltips,
    value_axis,
)
from tuner.reporting.figures.palette import CATEGORIES, paint
from tuner.reporting.figures.ticks import span
from tuner.reporting.report_data import ReportData, label_of
from tuner.trials.stored import TrialRecord

__all__ = ["curves"]

#: Number of trials drawn in a colour of their own, and largest number of other trials.
TOP, OTHERS = 5, 100
_HEIGHT, _GAP = 206, 14
_STOPPED = Kind("cross", "ink", "stopped here")


def curves(report: ReportData) -> Figure | None:
    """Draw the learning curves of all trials that have epochs."""
    trained = [record for record in report.records if _has_curve(record, report.objective)]
    if not trained:
        return None
    numbers = {record.number for record in trained}
    top = [row.record for row in report.done if row.record.number in numbers][:TOP]
    others, thinning = thinned([record for record in trained if record not in top], OTHERS)
    rows = [row for record in [*others, *top] for row in _rows(record, report, top)]
    legend = [
        Kind("line", CATEGORIES[place % len(CATEGORIES)], label_of(record))
        for place, record in enumerate(top)
    ]
    stopped = any(row["kind"] for row in rows)
    return Figure(
        "curves",
        f"{report.objective} by epoch",
        f"The best rows are in colour, the others in grey.{thinning} A ring marks the trial's best epoch, "
        "which is the same in all folds.",
        partial(_draw, report.objective, rows, legend),
        {"curves": rows},
        legend=(*legend, *([_STOPPED] if stopped else [])),
    )


def _has_curve(record: TrialRecord, objective: str) -> bool:
    places = [e.fold for e in record.evaluations if e.epoch > 0 and objective in e.metrics]
    return len(places) > len(set(places))


def _rows(record: TrialRecord, report: ReportData, top: Sequence[TrialRecord]) -> list[Fact]:
    """Return a row for each evaluation of a trial, with what is marked there."""
    best = record.summary.epoch if record.summary is not None and record in top else None
    used = [e for e in record.evaluations if e.epoch > 0 and report.objective in e.metrics]
    last = {evaluation.fold: evaluation.epoch for evaluation in used}
    stop = None if record.stop is None else (record.stop.fold, last.get(record.stop.fold))
    return [
        facts_of(
            record,
            fold=f"Fold {e.fold + 1}",
            epoch=e.epoch,
            value=e.metrics[report.objective],
            top=record in top,
            best=e.epoch == best,
            kind=_STOPPED.label if (e.fold, e.epoch) == stop else "",
        )
        for e in used
    ]


def _draw(objective: str, rows: Sequence[Fact], legend: Sequence[Kind], width: int) -> Chart:
    n_folds = len({row["fold"] for row in rows})
    columns = 1 if width < PHONE else min(n_folds, 3)
    each = (width - columns * (LEFT + _GAP)) / columns
    domain = [1, max(2, *(row["epoch"] for row in rows))]
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=domain, nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=8),
    )
    low, high = span([row["value"] for row in rows])
    y = alt.Y("value:Q", scale=alt.Scale(domain=[low, high], nice=False), axis=value_axis(None))
    layers = _layers(objective, legend, alt.Chart().encode(x=x, y=y))
    panel = alt.layer(*layers, data=alt.NamedData("curves")).properties(width=each, height=_HEIGHT)
    facet = alt.Facet("fold:N", title=None, header=alt.Header(labelPadding=10))
    chart: Chart = panel.facet(
        facet, columns=columns, bounds="flush", spacing={"row": 44, "column": LEFT + _GAP}
    )
    return chart


def _layers(objective: str, legend: Sequence[Kind], base: alt.Chart) -> list[alt.Chart]:
    """Return the grey lines, the coloured lines, the crosses where trials stopped, and the best epochs."""
    colours = alt.Scale(domain=[kind.label for kind in legend], range=[paint(kind.colour) for kind in legend])
    told = tooltips(("epoch:Q", "epoch"), ("value:Q", objective))
    colour = alt.Color("label:N", scale=colours, legend=alt.Legend(symbolType=SHAPES["line"]))
    top = base.transform_filter("datum.top")
    cross = base.transform_filter("datum.kind").mark_point(size=30, opacity=0.75)
    ring = top.transform_filter("datum.best").mark_point(
        size=70, fill=paint("card"), strokeWidth=1.6, opacity=1
    )
    grey = base.transform_filter("!datum.top").mark_line(strokeWidth=1.2, opacity=0.65, color=paint("faint"))
    return [
        grey.encode(detail=alt.Detail("trial:N"), tooltip=tooltips()),
        top.mark_line(strokeWidth=2.2).encode(color=colour, detail=alt.Detail("trial:N"), tooltip=tooltips()),
        cross.encode(tooltip=told, **by_kind([_STOPPED])),
        ring.encode(color=colour, tooltip=told),
    ]
