"""Figure of the best rows in each fold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import altair as alt

from tuner.formatting import number
from tuner.reporting.figures.figure import (
    PHONE,
    Chart,
    Fact,
    Figure,
    Kind,
    by_kind,
    facts_of,
    fitted,
    grid_axis,
    layered,
    names_axis,
    pinned,
    text_width,
    tooltips,
)
from tuner.reporting.figures.palette import CATEGORIES, paint
from tuner.reporting.figures.ticks import span
from tuner.reporting.leaderboard import Row
from tuner.reporting.report_data import ReportData

__all__ = ["folds"]

#: Number of rows shown, besides the best baseline.
TOP = 12
ROW = 30
_MEAN = Kind("bar", "ink", "mean over folds")


def folds(report: ReportData) -> Figure | None:
    """Draw the value of each fold and the mean, for the first rows."""
    n_folds = max((len(row.record.summary.folds) for row in report.done if row.record.summary), default=0)
    shown = list(report.done[:TOP])
    baseline = report.best_baseline
    if baseline is not None and baseline not in shown:
        shown.append(baseline)
    if n_folds < 2 or not shown:  # noqa: PLR2004  # with one fold there is no spread
        return None
    kinds = [Kind("dot", CATEGORIES[fold % len(CATEGORIES)], f"fold {fold + 1}") for fold in range(n_folds)]
    legend = (*kinds, _MEAN)
    rows = [fact for row in shown for fact in _facts(row, report.objective)]
    return Figure(
        "folds",
        f"{report.objective} in each fold, best rows first",
        "The mean decides the rank. If rows overlap, their order may differ on other data.",
        partial(_draw, report.objective, rows, legend),
        {"folds": rows},
        legend=legend,
    )


def _facts(row: Row, objective: str) -> list[Fact]:
    summary = row.record.summary
    assert summary is not None, "only complete trials are ranked"
    values = [fold[objective] for fold in summary.folds]
    ends = {"low": min(values), "high": max(values)}
    mean = facts_of(row.record, kind=_MEAN.label, value=summary.mean, text=number(summary.mean), **ends)
    return [facts_of(row.record, kind=f"fold {i}", value=value) for i, value in enumerate(values, 1)] + [mean]


def _draw(objective: str, rows: Sequence[Fact], legend: Sequence[Kind], width: int) -> Chart:
    names = list(dict.fromkeys(row["label"] for row in rows))
    left = min(width * 0.4, max(map(text_width, names)) + 18)
    low, high = span([row["value"] for row in rows])
    scale, axis = (
        alt.Scale(domain=[low, high], nice=False),
        grid_axis(width),
    )
    x = alt.X("value:Q", title=objective, scale=scale, axis=axis)
    y = alt.Y("label:N", sort=names, axis=names_axis(left, bold=names[0]))
    base = alt.Chart(alt.NamedData("folds")).encode(y=y)
    means = base.transform_filter("isValid(datum.text)")
    told = tooltips(("kind:N", "value of"), ("value:Q", objective))
    text = means.mark_text(align="right", dx=56).encode(x=pinned("width"), text=alt.Text("text:N"))
    layers = [
        means.mark_rule(strokeWidth=2, color=paint("faint")).encode(
            x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q")
        ),
        base.mark_point(size=80, opacity=1, strokeWidth=1.8).encode(x=x, tooltip=told, **by_kind(legend)),
    ]
    phone = width < PHONE
    texts = [] if phone else [text.encode(color=alt.ColorValue(paint("ink")))]
    return layered(
        *layers,
        *texts,
        height=ROW * len(names),
        **fitted(width),
    )
