"""What the HTML of all cells shares: escaped text, a style for light and dark themes, tables."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from tuner.formatting import visible

__all__ = ["Cell", "box", "table", "text"]

#: Colours are the notebook's own, or have enough contrast on light and on dark.
_STYLE = """
.tuner-cell{font-size:13px;line-height:1.45;color:inherit;overflow-x:auto;max-width:100%}
.tuner-cell table{border-collapse:collapse;margin:.4em 0;font-size:12.5px;color:inherit;background:none}
.tuner-cell table th,.tuner-cell table td{padding:.22em .7em .22em 0;text-align:left!important;border:0;
white-space:nowrap;border-bottom:1px solid rgba(128,128,128,.22);vertical-align:middle;max-width:none}
.tuner-cell table tr{background:none!important}
.tuner-cell table th{font-weight:600;opacity:.75}
.tuner-cell table td.n,.tuner-cell table th.n{text-align:right!important;font-variant-numeric:tabular-nums}
.tuner-cell table td.w{white-space:normal;min-width:14em}
.tuner-cell tr.rest td{opacity:.65}
.tuner-cell tr.best td{font-weight:600}
.tuner-cell .note{opacity:.7}
.tuner-cell .good{color:#1a8f5f}.tuner-cell .bad{color:#d9483b}
.tuner-cell pre{margin:.4em 0;background:none;color:inherit;font-size:12px}
"""

#: Text of a cell, and the names of its classes of CSS.
Cell = tuple[str, str]


def text(value: object) -> str:
    """Return a value as text of HTML, with control characters as codes."""
    return html.escape(visible(str(value)))


def box(*parts: str) -> str:
    """Return parts of HTML as one output of a notebook."""
    return f'<div class="tuner-cell"><style>{_STYLE}</style>{"".join(parts)}</div>'


def table(header: Sequence[Cell], rows: Iterable[tuple[str, Sequence[Cell]]]) -> str:
    """Return a table.

    Parameters
    ----------
    header
        HTML and classes of each head.
    rows
        Classes of each row, and its cells.
    """
    head = "".join(f"<th{_class(name)}>{content}</th>" for content, name in header)
    lines = (
        f"<tr{_class(kind)}>{''.join(f'<td{_class(name)}>{content}</td>' for content, name in row)}</tr>"
        for kind, row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
