"""Writes a leaderboard in a format: a table for people, CSV, JSON, Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tuner.formatting import aligned, count, cut, duration, markdown_table, number
from tuner.holdout import JudgedRow
from tuner.holdout.text import bounds, final_lines, signed
from tuner.reporting.leaderboard import Leaderboard, Row, what_distinguishes
from tuner.space.class_names import short_name
from tuner.trials.constraints import QUANTITIES, quantities
from tuner.trials.outcomes import PAUSED
from tuner.trials.stored import TrialRecord

__all__ = ["render"]


def _plain(board: Leaderboard) -> list[dict[str, Any]]:
    """Return every row with all its values, flat enough for a spreadsheet."""
    rows = []
    n_folds = _n_folds(board)
    for row in board.rows:
        record, summary = row.record, row.record.summary
        flat: dict[str, Any] = {
            "rank": row.rank,
            **({"front": row.front} if board.further else {}),
            "trial": record.number,
            "name": record.name,
            "model": short_name(record.params.get("cls", "")),
            "status": row.status.value,
            "objective_mean": summary.mean if summary else None,
            "objective_std": summary.std if summary else None,
        }
        for label in board.metrics:
            flat[label] = row.metrics.get(label)
        for fold in range(n_folds):
            flat[f"{board.objective}/fold {fold + 1}"] = (
                summary.folds[fold][board.objective] if summary else None
            )
        if board.final is not None:
            flat |= _plain_judged(board.objective, row.judged)
        flat |= {
            "epoch": summary.epoch if summary else None,
            "epochs_run": summary.epochs_run if summary else None,
            "parameters": summary.n_parameters if summary else None,
            "fit_seconds": round(summary.fit_seconds, 3) if summary else None,
            **{name: quantities(summary)[name] if summary else None for name in _unlisted(board)},
            "precision": summary.precision if summary else None,
            "breaks": "; ".join(map(str, row.breaks)) or None,
            "excluded": record.excluded.why if record.excluded else None,
            "failure": record.failure.cause if record.failure else None,
            "stopped_by": record.stop.rule if record.stop else None,
            "stopped_after": record.stop.where if record.stop else None,
            "log": record.log,
            "host": record.attempts[-1].host if record.attempts else None,
            "attempts": len(record.attempts) or None,
            "lost_by_machines": sum(attempt.by_machine for attempt in record.attempts),
        }
        rows.append(flat | {"params": dict(record.params), "differs": dict(row.differs)})
    return rows


def _plain_judged(objective: str, judged: JudgedRow | None) -> dict[str, Any]:
    """Return the holdout values of a row."""
    if judged is None:
        return dict.fromkeys(("holdout_mean", "holdout_low", "holdout_high", "optimism", "group"))
    interval = judged.intervals.get(objective)
    return {
        "holdout_mean": judged.metrics[objective],
        "holdout_low": interval.low if interval else None,
        "holdout_high": interval.high if interval else None,
        "optimism": judged.optimism,
        "group": judged.group,
    }


def _json(board: Leaderboard) -> str:
    head = {"study": board.study, "objective": board.objective, "direction": board.direction}
    further = {"further_objectives": dict(board.further)} if board.further else {}
    final = {"final": board.final.to_plain()} if board.final else {}
    return json.dumps(head | further | final | {"rows": _plain(board)}, indent=2)


def _csv(board: Leaderboard) -> str:
    rows = _plain(board)
    keys = list(dict.fromkeys(key for row in rows for key in row["params"]))
    out = io.StringIO()
    columns = [key for key in (rows[0] if rows else {}) if key not in {"params", "differs"}] + keys
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {key: value for key, value in row.items() if key not in {"params", "differs"}}
        writer.writerow(flat | {key: _exact(value) for key, value in row["params"].items()})
    return out.getvalue().rstrip("\n")


def _n_folds(board: Leaderboard) -> int:
    return max((len(row.record.summary.folds) for row in board.rows if row.record.summary), default=0)


def _unlisted(board: Leaderboard) -> list[str]:
    """Return the objectives that are not in another column."""
    return [
        name for name in board.further if name in QUANTITIES and name not in {"parameters", "fit_seconds"}
    ]


def _exact(value: object) -> object:
    """Return a param's value for a spreadsheet: numbers are not rounded, lists are joined."""
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def cells(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells of the table for people."""
    n_folds = _n_folds(board)
    others = [label for label in board.metrics if label != board.objective]
    folds = [f"fold {fold + 1}" for fold in range(n_folds)] if n_folds > 1 else []
    front = ["front"] if board.further else []
    judged = ["holdout", "95 %", "optimism", "group"] if board.final else []
    header = ["rank", *front, "trial", "model", f"{board.objective} mean", "std", *folds, *judged, *others]
    header += ["epoch", "params", "fit", *_unlisted(board), "status", "host", "what distinguishes it"]
    hosts = {row.record.attempts[-1].host for row in board.rows if row.record.attempts} - {""}
    return header, [_cells(board, row, others, len(folds), several=len(hosts) > 1) for row in board.rows]


def _cells(board: Leaderboard, row: Row, others: Sequence[str], n_folds: int, *, several: bool) -> list[str]:
    record, summary = row.record, row.record.summary
    model = short_name(record.params.get("cls", "")).removesuffix("Model")
    values = [str(row.rank or ""), *([str(row.front or "")] if board.further else []), str(record.number)]
    values += [f"{record.name} ({model})" if record.name else model]
    values += [number(summary.mean), number(summary.std)] if summary else ["", ""]
    values += [number(summary.folds[fold][board.objective]) if summary else "" for fold in range(n_folds)]
    values += _judged_cells(board, row)
    values += [number(row.metrics.get(label)) for label in others]
    epoch = f"{summary.epoch}/{summary.epochs_run}" if summary and summary.epochs_run else ""
    values += [
        epoch,
        count(summary.n_parameters) if summary else "",
        duration(summary.fit_seconds) if summary else "",
    ]
    values += [number(quantities(summary)[name]) if summary else "" for name in _unlisted(board)]
    failure = record.failure
    note = f"{failure.cause} ({record.log})" if failure else what_distinguishes(row)
    status = f"{row.status} by {record.stop.rule}, {record.stop.where}" if record.stop else str(row.status)
    status += f", {record.pause.where}" if record.pause else ""
    if summary and summary.precision != "float32":
        status += f", {summary.precision}"
    if summary and summary.unpadded:
        status += ", unpadded"
    if row.breaks:
        status += f", violates {' and '.join(map(str, row.breaks))}"
    if record.excluded is not None:
        status += f", excluded: {record.excluded.why}"
    host = record.attempts[-1].host if several and record.attempts else ""
    return [*values, status + _attempts(record), host, note]


def _attempts(record: TrialRecord) -> str:
    """Return the number of attempts as text if there were several.

    Continuing a paused trial does not count.
    """
    n = sum(attempt.lost != PAUSED for attempt in record.attempts)
    return f", attempt {n}" if n > 1 else ""


def _judged_cells(board: Leaderboard, row: Row) -> list[str]:
    """Return the holdout cells of a row; no cells if the study has no final judgement."""
    judged = row.judged
    if board.final is None:
        return []
    if judged is None:
        return [""] * 4
    return [
        number(judged.metrics[board.objective]),
        bounds(judged.intervals.get(board.objective)),
        signed(judged.optimism),
        str(judged.group),
    ]


def _markdown(board: Leaderboard) -> str:
    header, rows = cells(board)
    sentences = ["", *(f"- {line}" for line in final_lines(board.final))] if board.final else []
    return "\n".join([markdown_table(header, rows), *sentences])


def _table(board: Leaderboard) -> str:
    header, rows = cells(board)
    table = aligned(header, rows, text=("model", "95 %", "status", "host"))
    return "\n".join([table, "", *final_lines(board.final)]) if board.final else table


#: Format -> function that writes a leaderboard in it.
FORMATS: dict[str, Callable[[Leaderboard], str]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "md": _markdown,
}


def render(
    board: Leaderboard, fmt: str = "table", *, top: int | None = None, width: int | None = None
) -> str:
    """Return the leaderboard as text.

    Parameters
    ----------
    board
        The leaderboard to show.
    fmt
        One of `FORMATS`.
    top
        Number of rows to show; None shows all rows.
    width
        Width of a terminal in characters; longer lines of the table are cut.
    """
    shown = replace(board, rows=board.rows[:top])
    text = FORMATS[fmt](shown)
    if fmt != "table" or width is None:
        return text
    lines = text.splitlines()
    header_and_rows = 1 + len(shown.rows)  # the sentences below the table are not cut
    return "\n".join([cut("\n".join(lines[:header_and_rows]), width), *lines[header_and_rows:]])
