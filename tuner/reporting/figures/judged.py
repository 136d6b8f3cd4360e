"""Figure of the final judgement: holdout values with their intervals, and the letters of rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import altair as alt

from tuner.formatting import number, visible
from tuner.holdout import Final, JudgedRow
from tuner.reporting.figures.figure import (
    Chart,
    Fact,
    Figure,
    Kind,
    by_kind,
    fitted,
    grid_axis,
    layered,
    names_axis,
    pinned,
    text_width,
    tooltips,
)
from tuner.reporting.figures.palette import paint
from tuner.reporting.figures.ticks import span
from tuner.reporting.report_data import ReportData, label_of

__all__ = ["judged"]

_ROW = 32
_HOLDOUT = Kind("dot", "c0", "holdout")
_BASELINE = Kind("diamond", "base", "baseline, holdout")
_VALIDATION = Kind("ring", "c7", "validation")
_LEGEND = (_HOLDOUT, _BASELINE, _VALIDATION)


def judged(report: ReportData) -> Figure | None:
    """Draw the holdout value of each judged row with its interval, and its validation value."""
    final = report.final
    if final is None or not final.rows:
        return None
    n_seeds = max(len(row.seeds) for row in final.rows)
    records = {record.number: record for record in report.records}
    rows = []
    for row in final.rows:
        label = label_of(records[row.number]) if row.number in records else row.label
        rows += _facts(row, final.objective, visible(label))
    return Figure(
        "holdout",
        f"{final.objective} on the holdout",
        f"95 % intervals over {final.n_users:,} users and {n_seeds} seed{'s' if n_seeds != 1 else ''}. The "
        "holdout cannot distinguish rows that share a letter. The order is that of validation.",
        partial(_draw, final, rows),
        {"holdout": rows},
        legend=_LEGEND,
    )


def _facts(row: JudgedRow, objective: str, label: str) -> list[Fact]:
    """Return a row of data for the holdout and one for the validation."""
    interval, value = row.intervals.get(objective), row.metrics[objective]
    named = {"trial": row.number, "label": label}
    kind = _HOLDOUT if row.name is None else _BASELINE
    ends = {} if interval is None else {"low": interval.low, "high": interval.high}
    text = f"{number(value)} {row.letters}".rstrip()
    judged_row = {**named, "kind": kind.label, "value": value, "text": text, **ends}
    return [{**named, "kind": _VALIDATION.label, "value": row.validation}, judged_row]


def _draw(final: Final, rows: Sequence[Fact], width: int) -> Chart:
    names = list(dict.fromkeys(row["label"] for row in rows))
    left = min(width * 0.4, max(map(text_width, names)) + 18)
    right = 16 + max(text_width(row.get("text", "")) for row in rows)
    low, high = span([row[key] for row in rows for key in ("value", "low", "high") if key in row])
    scale, axis = (
        alt.Scale(domain=[low, high], nice=False),
        grid_axis(width),
    )
    x = alt.X("value:Q", title=final.objective, scale=scale, axis=axis)
    winner = next((row["label"] for row in rows if row["trial"] == final.winner), names[0])
    y = alt.Y("label:N", sort=names, axis=names_axis(left, bold=winner))
    base = alt.Chart(alt.NamedData("holdout")).encode(y=y)
    told = tooltips(("kind:N", "value"), ("value:Q", final.objective), ("low:Q", "from"), ("high:Q", "to"))
    intervals = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2.5)
    texts = base.transform_filter("isValid(datum.text)").mark_text(align="right", dx=right, fontWeight=600)
    kinds = by_kind(_LEGEND)
    return layered(
        intervals.encode(x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q"), stroke=kinds["stroke"]),
        base.mark_point(size=90, opacity=1, strokeWidth=1.5).encode(x=x, tooltip=told, **kinds),
        texts.encode(x=pinned("width"), text=alt.Text("text:N"), color=alt.ColorValue(paint("ink"))),
        height=_ROW * len(names),
        **fitted(width),
    )
