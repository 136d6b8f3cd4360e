"""The leaderboard in a cell: ranks, states, values, curves, and what distinguishes the trials."""

from __future__ import annotations

from tuner.formatting import count, duration, number
from tuner.formatting.cells import Cell, box, table, text
from tuner.holdout.text import bounds, final_lines
from tuner.reporting.cells.sparkline import Sparklines
from tuner.reporting.cells.text import heading
from tuner.reporting.distinguish import what_distinguishes
from tuner.reporting.leaderboard import Leaderboard, Row
from tuner.space.class_names import short_name
from tuner.trials.constraints import quantities
from tuner.trials.status import TrialStatus

__all__ = ["board_html"]

#: Rows that are shown.
MOST_ROWS = 20


def board_html(board: Leaderboard) -> str:
    """Return a leaderboard as HTML."""
    shown = board.rows[:MOST_ROWS]
    curves = Sparklines(shown, board.objective)
    rows = [(_kind(board, row), _cells(board, row, curves)) for row in shown]
    rest = len(board.rows) - len(shown)
    notes = [f"and {rest} more: <code>board.to_pandas()</code> has them all"] if rest > 0 else []
    notes += [text(line) for line in final_lines(board.final)] if board.final else []
    notes += [text(line) for line in (board.run_by or "").splitlines()]
    below = "".join(f'<div class="note">{line}</div>' for line in notes)
    return box(f"<div><b>{text(heading(board))}</b></div>", table(_header(board), rows), below)


def _kind(board: Leaderboard, row: Row) -> str:
    return "rest" if row.rank is None else "best" if row is board.best else ""


def _header(board: Leaderboard) -> list[Cell]:
    names: list[Cell] = [("rank", "n"), *([("front", "n")] if board.further else [])]
    names += [("trial", "n"), ("model", ""), ("state", ""), (text(board.objective), "n"), ("curve", "")]
    names += [(text(name), "n") for name in board.further]
    names += [("holdout", "n"), ("95 %", "")] if board.final else []
    return [*names, ("fit", "n"), ("what distinguishes it", "")]


def _cells(board: Leaderboard, row: Row, curves: Sparklines) -> list[Cell]:
    record = row.record
    cells: list[Cell] = [
        (str(row.rank or ""), "n"),
        *([(str(row.front or ""), "n")] if board.further else []),
    ]
    cells += [(str(record.number), "n"), (text(_model(row)), ""), (_state(row), "")]
    cells += [(_value(row), "n"), (curves.draw(record.number), "")]
    cells += [(_quantity(row, name), "n") for name in board.further]
    if board.final:
        judged = row.judged
        holdout = number(judged.metrics[board.objective]) if judged else ""
        within = bounds(judged.intervals.get(board.objective)) if judged else ""
        cells += [(holdout, "n"), (within, "")]
    fit = duration(record.summary.fit_seconds) if record.summary else ""
    failure = record.failure
    note = f'<span class="bad">{text(failure.cause)}</span>' if failure else text(what_distinguishes(row))
    return [*cells, (fit, "n"), (note, "w")]


def _model(row: Row) -> str:
    model = short_name(row.record.params.get("cls", "")).removesuffix("Model")
    return f"{row.record.name} ({model})" if row.record.name else model


def _state(row: Row) -> str:
    """Return the state with what else is to be known of it."""
    record = row.record
    state = f"{row.status} by {record.stop.rule}" if record.stop else str(row.status)
    more = [f"violates {' and '.join(map(str, row.breaks))}"] if row.breaks else []
    more += [f"excluded: {record.excluded.why}"] if record.excluded else []
    return ", ".join([f'<span class="{_COLOURS.get(row.status, "")}">{text(state)}</span>', *map(text, more)])


_COLOURS = {TrialStatus.COMPLETE: "good", TrialStatus.FAILED: "bad"}


def _value(row: Row) -> str:
    """Return mean and deviation; of a trial without a result, the last value in parentheses."""
    summary, reached = row.record.summary, row.reached
    if summary is not None:
        spread = f' <span class="note">± {number(summary.std)}</span>' if len(summary.folds) > 1 else ""
        return f"{number(summary.mean)}{spread}"
    return "" if reached is None else f'<span title="{text(reached.where)}">({number(reached.value)})</span>'


def _quantity(row: Row, name: str) -> str:
    if row.record.summary is None:
        return ""
    value = quantities(row.record.summary)[name]
    return count(int(value)) if name == "parameters" else number(value)
