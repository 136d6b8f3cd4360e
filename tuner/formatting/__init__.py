"""Numbers, durations, sizes and tables as text for people."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence

from tuner.space.class_names import short_name

__all__ = [
    "aligned",
    "count",
    "cut",
    "duration",
    "in_shell",
    "markdown_table",
    "number",
    "quantity",
    "short",
    "size",
    "visible",
]

#: Characters that a terminal obeys instead of showing them, and those that change the direction of text. Line
#: ends and tabs are not among them.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return a text in which each control character is written as its code, so that a terminal shows it."""
    return _CONTROL.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def in_shell(path: object) -> str:
    """Return a path or a name as a command is given it, in quotes if a shell would split it."""
    return shlex.quote(str(path))


def _cell(text: str) -> str:
    """Return a text in one line, for a table."""
    return visible(text).replace("\n", "\\n").replace("\t", " ")


def short(value: object) -> str:
    """Return the value of a param as tables show it."""
    if isinstance(value, (list, tuple)):
        return "+".join(short(part) for part in value)
    if isinstance(value, float):
        return f"{value:.3g}"
    return short_name(value)


def number(value: float | None) -> str:
    """Return a metric for a table, with four decimal places; empty text for None."""
    small, large = 1e-3, 100
    if value is None:
        return ""
    if value != 0 and abs(value) < small:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < large else f"{value:,.0f}"


def count(value: int | None) -> str:
    """Return a number of parameters for a table; empty text for None."""
    thousand, million = 1_000, 1_000_000
    if value is None:
        return ""
    if value < 10 * thousand:
        return str(value)
    if round(value / thousand) < thousand:
        return f"{value / thousand:.0f} k"
    return f"{value / million:.2f} M"


def quantity(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 user``, ``1,200 users``."""
    return f"{n:,} {noun}" + "s" * (n != 1)


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units; empty text for None."""
    minute, hour, precise = 60, 3600, 9.95
    if seconds is None:
        return ""
    if seconds < precise:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < minute:
        return f"{whole} s"
    if whole < hour:
        return f"{whole // minute} min {whole % minute:02d} s"
    return f"{whole // hour} h {whole % hour // minute:02d} min"


def size(n_bytes: int | None) -> str:
    """Return an amount of memory or disk space for a table; empty text for None."""
    thousand, kilo, mega, giga = 1000, 2**10, 2**20, 2**30
    if n_bytes is None:
        return ""
    if round(n_bytes / kilo) < thousand:
        return f"{n_bytes / kilo:.0f} kB"
    if round(n_bytes / mega) < thousand:
        return f"{n_bytes / mega:.0f} MB"
    return f"{n_bytes / giga:.1f} GB"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: Collection[str]) -> str:
    """Return a table as aligned text. Numbers are aligned to the right, and empty columns are left out.

    Parameters
    ----------
    header, rows
        Cells. The last column is not padded.
    text
        Headers of the columns that are aligned to the left.
    """
    header, rows = [*map(_cell, header)], [[*map(_cell, row)] for row in rows]
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    used = [column for column in range(len(header)) if any(row[column] for row in rows)] or range(len(header))
    lines = []
    for line in [header, *rows]:
        *parts, last = [
            line[column].ljust(widths[column])
            if header[column] in text
            else line[column].rjust(widths[column])
            for column in used
        ]
        lines.append("  ".join([*parts, last.strip()]).rstrip())
    return "\n".join(lines)


def cut(text: str, width: int | None) -> str:
    """Cut each line of a text to a width in characters. With None, return the text as it is."""
    if width is None:
        return text
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in text.split("\n"))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown. Vertical bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([_cell(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
