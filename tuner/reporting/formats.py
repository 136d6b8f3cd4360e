"""Writes a leaderboard in a format: a table for people, CSV, JSON, Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tuner.errors import Problem, StoreError
from tuner.errors.caller import argument, hint
from tuner.formatting import aligned, count, cut, duration, markdown_table, number, visible
from tuner.holdout import JudgedRow
from tuner.holdout.text import bounds, final_lines, signed
from tuner.reporting.columns import DISTINGUISHES, chosen, fitting
from tuner.reporting.distinguish import what_distinguishes
from tuner.reporting.leaderboard import Leaderboard, Row
from tuner.reporting.reached import Reached
from tuner.space.class_names import short_name
from tuner.trials.constraints import QUANTITIES, quantities
from tuner.trials.outcomes import PAUSED
from tuner.trials.stored import TrialRecord

__all__ = ["render"]

#: How text begins that a spreadsheet takes for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


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
            "objective_std": summary.deviation if summary else None,
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
            **_plain_reached(row.reached),
            "log": record.log,
            "host": record.attempts[-1].host if record.attempts else None,
            "attempts": record.n_attempts or None,
            "lost_by_machines": sum(attempt.by_machine for attempt in record.attempts),
        }
        rows.append(flat | {"params": dict(record.params), "differs": dict(row.differs)})
    return rows


def _plain_reached(reached: Reached | None) -> dict[str, Any]:
    """Return how far a trial without a result came."""
    if reached is None:
        return dict.fromkeys(("reached_fold", "reached_epoch", "last_value", "place", "place_of"))
    return {
        "reached_fold": reached.fold + 1,
        "reached_epoch": reached.epoch,
        "last_value": reached.value,
        "place": reached.place,
        "place_of": reached.n_trials,
    }


def _plain_judged(objective: str, judged: JudgedRow | None) -> dict[str, Any]:
    """Return the holdout values of a row."""
    if judged is None:
        return dict.fromkeys(("holdout_mean", "holdout_low", "holdout_high", "optimism", "letters"))
    interval = judged.intervals.get(objective)
    return {
        "holdout_mean": judged.metrics[objective],
        "holdout_low": interval.low if interval else None,
        "holdout_high": interval.high if interval else None,
        "optimism": judged.optimism,
        "letters": judged.letters,
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
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_inert, columns))
    for row in rows:
        flat = row | {key: _exact(value) for key, value in row["params"].items()}
        writer.writerow([_inert(flat.get(column)) for column in columns])
    return out.getvalue().rstrip("\n")


def _inert(value: object) -> object:
    """Return a value that a spreadsheet shows and does not run as a formula."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if value.startswith(_FORMULAS) else visible(value)


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
    judged = ["holdout", "95 %", "optimism", "letters"] if board.final else []
    header = ["rank", *front, "trial", "model", "state", f"{board.objective} mean", "std", "reached"]
    header += [*folds, *judged, *others, "epoch", "params", "fit", *_unlisted(board), "host", DISTINGUISHES]
    hosts = {row.record.attempts[-1].host for row in board.rows if row.record.attempts} - {""}
    return header, [_cells(board, row, others, len(folds), several=len(hosts) > 1) for row in board.rows]


def _cells(board: Leaderboard, row: Row, others: Sequence[str], n_folds: int, *, several: bool) -> list[str]:
    record, summary = row.record, row.record.summary
    model = short_name(record.params.get("cls", "")).removesuffix("Model")
    values = [str(row.rank or ""), *([str(row.front or "")] if board.further else []), str(record.number)]
    values += [f"{record.name} ({model})" if record.name else model, _state(row)]
    values += _value_cells(row)
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
    host = record.attempts[-1].host if several and record.attempts else ""
    return [*values, host, note]


def _state(row: Row) -> str:
    """Return the status with what else is to be known of a row's values."""
    record, summary = row.record, row.record.summary
    state = f"{row.status} by {record.stop.rule}" if record.stop else str(row.status)
    if summary and summary.precision != "float32":
        state += f", {summary.precision}"
    if summary and summary.unpadded:
        state += ", unpadded"
    if row.breaks:
        state += f", violates {' and '.join(map(str, row.breaks))}"
    if record.excluded is not None:
        state += f", excluded: {record.excluded.why}"
    return state + _attempts(record)


def _value_cells(row: Row) -> list[str]:
    """Return mean, deviation and how far the trial came.

    The last value of a trial without a result is in parentheses, because it is the value of one fold.
    """
    summary, reached = row.record.summary, row.reached
    if summary is not None:
        return [number(summary.mean), number(summary.deviation), ""]
    if reached is None:
        return ["", "", ""]
    return [f"({number(reached.value)})", "", f"{reached.where}: {reached.among}"]


def _attempts(record: TrialRecord) -> str:
    """Return the number of attempts as text if there were several.

    Continuing a paused trial does not count.
    """
    n = replace(record, attempts=tuple(one for one in record.attempts if one.lost != PAUSED)).n_attempts
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
        judged.letters,
    ]


def _markdown(board: Leaderboard, columns: Sequence[str] | None, whole: Leaderboard) -> str:
    header, rows = _shown(board, columns, None, whole)
    sentences = ["", *(f"- {line}" for line in _final_lines(board))] if board.final else []
    return "\n".join([markdown_table(header, rows), *sentences])


def _shown(
    board: Leaderboard, columns: Sequence[str] | None, width: int | None, whole: Leaderboard
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the cells of the columns that were named, or that fit a width."""
    header, rows = cells(board)
    if columns:
        (header,), rows = chosen(board, header, rows, columns, whole)
    elif width is not None and rows:
        header, rows = fitting(header, rows, width, f"{board.objective} mean")
    return header, rows


def _table(
    board: Leaderboard, columns: Sequence[str] | None, width: int | None, whole: Leaderboard, *, grey: bool
) -> str:
    header, rows = _shown(board, columns, width, whole)
    table = cut(aligned(header, rows, text=("model", "95 %", "letters", "state", "reached", "host")), width)
    if grey:
        first, *lines = table.splitlines()
        pairs = zip(lines, board.rows, strict=False)  # an empty study has a header only
        lines = [_GREY.format(line) if row.rank is None else line for line, row in pairs]
        table = "\n".join([first, *lines])
    return "\n".join([table, "", *_final_lines(board)]) if board.final else table


def _final_lines(board: Leaderboard) -> list[str]:
    """Return the sentences about the final judgement, and whether judged trials were excluded later."""
    assert board.final is not None, "the caller has asked"
    since = [str(row.record.number) for row in board.rows if row.judged is not None and row.record.excluded]
    lines = final_lines(board.final)
    if since:
        again = hint(command="`tuner final` judges", python="judge(study) judges")
        lines.append(f"final: judged before trial {' and '.join(since)} was excluded; {again} the others")
    return lines


#: A line of a terminal in grey.
_GREY = "\x1b[2m{}\x1b[0m"


def render(
    board: Leaderboard,
    fmt: str = "table",
    *,
    top: int | None = None,
    width: int | None = None,
    columns: Sequence[str] | None = None,
    whole: Leaderboard | None = None,
    grey: bool = False,
) -> str:
    """Return the leaderboard as text.

    Parameters
    ----------
    board
        The leaderboard to show.
    fmt
        ``table``, ``csv``, ``json`` or ``md``.
    top
        Number of rows to show; None shows all rows.
    width
        Width of a terminal in characters. The table is without the columns for which there is no room, and
        longer lines are cut.
    columns
        Columns of the table and of Markdown; see `tuner.reporting.columns.chosen`. None takes all.
    whole
        The leaderboard with all rows, whose params columns may name; by default `board`.
    grey
        Whether the terminal shows rows without a rank in grey.

    Raises
    ------
    StoreError
        If there is no such column, or columns were chosen for CSV or JSON.
    """
    shown = replace(board, rows=board.rows[:top])
    if columns and fmt in {"csv", "json"}:
        rule = f"must be left out for {fmt}, which has all columns"
        raise StoreError(board.study, [Problem(argument("--columns"), rule, "tables and Markdown take it")])
    if fmt == "csv":
        return _csv(shown)
    if fmt == "json":
        return _json(shown)
    if fmt == "md":
        return _markdown(shown, columns, whole or board)
    return _table(shown, columns, width, whole or board, grey=grey)
