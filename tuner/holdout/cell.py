"""A final judgement in a cell of a notebook: the answer, then the judged trials."""

from __future__ import annotations

from tuner.formatting import number
from tuner.formatting.cells import Cell, box, table, text
from tuner.holdout.records import Final, JudgedRow
from tuner.holdout.text import bounds, final_lines

__all__ = ["verdict_html"]


def verdict_html(final: Final) -> str:
    """Return a final judgement as HTML."""
    answer, *others = (text(line.removeprefix("final: ")) for line in final_lines(final))
    header: list[Cell] = [("place", "n"), ("trial", "n"), ("model", ""), ("", ""), ("validation", "n")]
    header += [(text(f"holdout {final.objective}"), "n"), ("95 %", ""), ("letters", "")]
    rows = [(_kind(final, row), _cells(final, place, row)) for place, row in enumerate(final.rows, 1)]
    notes = "".join(f'<div class="note">{line}</div>' for line in others)
    return box(f"<div><b>{answer[:1].upper()}{answer[1:]}</b></div>", table(header, rows), notes)


def _kind(final: Final, row: JudgedRow) -> str:
    return "best" if row.number == final.winner else ""


def _cells(final: Final, place: int, row: JudgedRow) -> list[Cell]:
    role = {final.winner: "winner", final.baseline: "best baseline"}.get(row.number, "")
    value, within = row.metrics[final.objective], bounds(row.intervals.get(final.objective))
    return [
        (str(place), "n"),
        (str(row.number), "n"),
        (text(row.label), ""),
        (role, ""),
        (number(row.validation), "n"),
        (number(value), "n"),
        (within, ""),
        (row.letters, ""),
    ]
