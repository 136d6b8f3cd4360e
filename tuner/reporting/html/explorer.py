"""Data for the page's script: a few numbers of every trial, for tooltips and for plots of any two metrics."""

from __future__ import annotations

from typing import Any

from tuner.formatting import number
from tuner.reporting.dimensions import dimensions
from tuner.reporting.figures.figure import texts_of
from tuner.reporting.figures.tradeoff import beyond_accuracy
from tuner.reporting.leaderboard import Row
from tuner.reporting.report_data import ReportData, label_of
from tuner.trials.constraints import QUANTITIES, quantities

__all__ = ["explorer"]


def explorer(report: ReportData) -> dict[str, Any]:
    """Return the page's data as JSON types.

    Returns
    -------
    dict
        ``metrics`` (labels), ``sides`` (metrics of the first plot), ``folds`` (number), ``choices`` (labels
        of params that may give the colour), ``best`` (number of the best trial), and ``trials`` by number. A
        trial has ``l`` (label), ``s`` (state), ``o`` (objective as text), ``d`` (params that distinguish it)
        and ``n`` (why it ended). A complete trial also has ``m`` (metrics: mean, then each fold) and ``c``
        (choices).
    """
    metrics = [*report.board.metrics, *_measured(report)]
    beside = beyond_accuracy(report)
    choices = [one for one in dimensions(report) if one.options]
    trials = {}
    for row in report.board.rows:
        facts = _facts_of(row, report)
        summary = row.record.summary
        if row.rank is not None and summary is not None:
            taken = quantities(summary)
            facts["m"] = [
                [_short(taken.get(label)) for label in metrics],
                *([_short(fold.get(label)) for label in metrics] for fold in summary.folds),
            ]
            facts["c"] = (
                ["baseline"] * len(choices)
                if row.record.name
                else [one.text_of(row.record) for one in choices]
            )
        trials[row.record.number] = facts
    return {
        "metrics": metrics,
        "sides": [beside[0] if beside else metrics[-1], report.objective],
        "folds": max((len(r.record.summary.folds) for r in report.done if r.record.summary), default=0),
        "choices": [one.label for one in choices],
        "best": report.best.record.number if report.best else None,
        "trials": trials,
    }


def _facts_of(row: Row, report: ReportData) -> dict[str, Any]:
    record = row.record
    texts = texts_of(report, record)
    facts = {
        "l": label_of(record),
        "s": texts["state"],
        "o": number(row.metrics.get(report.objective)) if row.rank is not None else "",
        "d": texts["params"],
    }
    if record.failure is not None:
        facts["n"] = record.failure.cause[:300]
    elif record.stop is not None:
        facts["n"] = f"after {record.stop.where} by {record.stop.rule}"
    return facts


def _measured(report: ReportData) -> list[str]:
    """Return the quantities that at least one complete trial has."""
    summaries = [row.record.summary for row in report.done if row.record.summary]
    return [name for name in QUANTITIES if any(quantities(summary)[name] for summary in summaries)]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
