"""What the page's script needs: every trial in a few numbers, for tooltips and for any two metrics."""

from __future__ import annotations

from typing import Any

from tuner.formatting import number
from tuner.reporting.html.dimensions import dimensions
from tuner.reporting.html.figures.tradeoff import beyond_accuracy
from tuner.reporting.html.material import Material, label_of
from tuner.reporting.leaderboard import Row, what_distinguishes
from tuner.trials.constraints import QUANTITIES, quantities
from tuner.trials.status import TrialStatus

__all__ = ["explorer"]

_WORDS = {TrialStatus.STOPPED: "stopped early"}


def explorer(material: Material) -> dict[str, Any]:
    """Return the page's data as JSON types.

    Returns
    -------
    dict
        ``metrics`` (labels), ``sides`` (those to begin with), ``folds`` (how many), ``choices`` (labels of
        what may colour), and ``trials`` by number: ``l`` label, ``s`` state, ``o`` objective as text, ``d``
        what distinguishes it, ``n`` why it ended; and of a complete one ``m``, its metrics: mean, then fold
        by fold, and ``c``, its choices.
    """
    metrics = [*material.board.metrics, *_measured(material)]
    beside = beyond_accuracy(material)
    choices = [one for one in dimensions(material) if one.options]
    trials = {}
    for row in material.board.rows:
        told = _told(row, material)
        summary = row.record.summary
        if row.rank is not None and summary is not None:
            taken = quantities(summary)
            told["m"] = [
                [_short(taken.get(label)) for label in metrics],
                *([_short(fold.get(label)) for label in metrics] for fold in summary.folds),
            ]
            told["c"] = (
                ["baseline"] * len(choices)
                if row.record.name
                else [one.text_of(row.record) for one in choices]
            )
        trials[row.record.number] = told
    return {
        "metrics": metrics,
        "sides": [beside[0] if beside else metrics[-1], material.objective],
        "folds": max((len(r.record.summary.folds) for r in material.done if r.record.summary), default=0),
        "choices": [one.label for one in choices],
        "best": material.best.record.number if material.best else None,
        "trials": trials,
    }


def _told(row: Row, material: Material) -> dict[str, Any]:
    record = row.record
    told = {
        "l": label_of(record),
        "s": "baseline" if record.name else _WORDS.get(row.status, row.status.value),
        "o": number(row.metrics.get(material.objective)) if row.rank is not None else "",
        "d": what_distinguishes(row) if record.name is None else "",
    }
    if record.failure is not None:
        told["n"] = record.failure.cause[:300]
    elif record.stop is not None:
        told["n"] = f"after {record.stop.where} by {record.stop.rule}"
    return told


def _measured(material: Material) -> list[str]:
    """Return the quantities that were measured for some complete trial."""
    summaries = [row.record.summary for row in material.done if row.record.summary]
    return [name for name in QUANTITIES if any(quantities(summary)[name] for summary in summaries)]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
