"""A trial in a cell: its state, params, folds and curve."""

from __future__ import annotations

from tuner.formatting import number, short
from tuner.formatting.cells import Cell, box, table, text
from tuner.reporting.cells.sparkline import Sparklines
from tuner.reporting.row import Row

__all__ = ["trial_html"]


def trial_html(row: Row) -> str:
    """Return a trial as HTML."""
    record = row.record
    parts = [f"<div><b>{text(f'trial {record.number} {record.label}')}</b>: {text(_state(row))}</div>"]
    if record.failure is not None:
        parts.append(f'<div class="bad">{text(record.failure.cause)}</div>')
    if record.stop is not None:
        parts.append(f"<div>{text(f'{record.stop.rule} after {record.stop.where}: {record.stop.why}')}</div>")
    parts += [_metrics(row)] if record.summary is not None else []
    params = [("", [(text(key), ""), (text(short(value)), "w")]) for key, value in record.params.items()]
    shown = table([("param", ""), ("value", "")], params)
    return box(*parts, f"<details><summary>params</summary>{shown}</details>")


def _state(row: Row) -> str:
    summary = row.record.summary
    rank = f", rank {row.rank}" if row.rank is not None else ""
    epoch = f", epoch {summary.epoch} of {summary.epochs_run}" if summary and summary.epochs_run else ""
    return f"{row.status}{rank}{epoch}"


def _metrics(row: Row) -> str:
    """Return the table of metrics by fold, each with its curve."""
    summary = row.record.summary
    assert summary is not None, "the trial has a result"
    folds = [(f"fold {fold}", "n") for fold in range(1, len(summary.folds) + 1)]
    lines: list[tuple[str, list[Cell]]] = []
    for label, mean in summary.metrics.items():
        values = [(number(fold[label]), "n") for fold in summary.folds]
        curve = Sparklines([row], label).draw(row.record.number)
        lines.append(("", [(text(label), ""), (number(mean), "n"), *values, (curve, "")]))
    return table([("metric", ""), ("mean", "n"), *folds, ("curve", "")], lines)
