"""A final judgement in a cell of a notebook: the answer, then the judged trials."""

from __future__ import annotations

import html

from tuner.formatting import number, visible
from tuner.holdout.records import Final, JudgedRow
from tuner.holdout.text import bounds, final_lines

__all__ = ["verdict_html"]

#: The lines of a table have a grey that stands out on light and on dark.
_LINE = "border-bottom:1px solid rgba(128,128,128,.22)"
_CELL = f"padding:.22em .9em .22em 0;text-align:left;background:none;{_LINE}"


def verdict_html(final: Final) -> str:
    """Return a final judgement as HTML."""
    answer, *others = (_text(line.removeprefix("final: ")) for line in final_lines(final))
    header = ["place", "trial", "model", "", "validation", f"holdout {final.objective}", "95 %", "letters"]
    rows = [_cells(final, place, row) for place, row in enumerate(final.rows, 1)]
    notes = "".join(f'<div style="opacity:.75">{line}</div>' for line in others)
    return (
        '<div style="font-size:13px;line-height:1.45;overflow-x:auto">'
        f"<div><b>{answer[:1].upper()}{answer[1:]}</b></div>"
        '<table style="border-collapse:collapse;margin:.4em 0;font-size:12.5px">'
        f"<thead>{_line('th', header)}</thead><tbody>{''.join(_line('td', row) for row in rows)}</tbody>"
        f"</table>{notes}</div>"
    )


def _line(tag: str, cells: list[str]) -> str:
    parts = (f'<{tag} style="{_CELL}">{_text(cell)}</{tag}>' for cell in cells)
    return f"<tr>{''.join(parts)}</tr>"


def _cells(final: Final, place: int, row: JudgedRow) -> list[str]:
    role = {final.winner: "winner", final.baseline: "best baseline"}.get(row.number, "")
    measured = [number(row.validation), number(row.metrics[final.objective])]
    within = bounds(row.intervals.get(final.objective))
    return [str(place), str(row.number), row.label, role, *measured, within, row.letters]


def _text(value: str) -> str:
    return html.escape(visible(value))
