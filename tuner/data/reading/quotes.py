"""Quotes that swallow rows of text without an error: they are looked for where lines and rows differ."""

from __future__ import annotations

import codecs
import csv
import io
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, cast

import pyarrow as pa

from .troubles import TableError, shown

__all__ = ["Watched", "lines_in_quotes", "long_line", "plain_codec"]

_MARK = codecs.BOM_UTF8
#: The quote that ends a field which began on a line before, and what comes after it.
_CLOSING = re.compile(r'((?:[^"]|"")*)"(?!")(.*)', re.DOTALL)
#: Lines of a row that looks as if a stray quote had swallowed others, to be sure of it without other signs.
_SURE = 3
_NO_LIMIT = 2**31 - 1
#: The limit of the csv module is one for all threads.
_LIMIT = threading.Lock()


class Watched(io.RawIOBase):
    """A stream that counts lines and looks for quotes while it is read.

    Attributes
    ----------
    n_lines
        Lines so far.
    quoted
        Whether there are quotes.
    escaped
        Whether there are quotes behind a backslash.
    marked
        Whether a line other than the first begins with a byte-order mark.
    """

    def __init__(self, stream: pa.NativeFile) -> None:
        super().__init__()
        self._stream = stream
        self._last = b""
        self._n_ends = 0
        self.quoted = self.escaped = self.marked = False

    @property
    def n_lines(self) -> int:
        """Lines so far; the last one may have no end."""
        return self._n_ends + (self._last[-1:] not in {b"", b"\n", b"\r"})

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        block: bytes = self._stream.read(size if size >= 0 else None)
        seam = self._last + block[:4]
        self._n_ends += block.count(b"\n")
        if b"\r" in block:
            self._n_ends += block.count(b"\r") - block.count(b"\r\n")
        self._n_ends -= self._last[-1:] == b"\r" and block[:1] == b"\n"
        self.quoted = self.quoted or b'"' in block
        if self.quoted:
            self.escaped = self.escaped or b'\\"' in block or b'\\"' in seam
        mark = b"\n" + _MARK
        self.marked = self.marked or mark in block or mark in seam
        self._last = (self._last + block)[-4:] if len(block) < len(mark) else block[-4:]
        return block


@dataclass
class _Lines:
    """Yields lines, and keeps those of the row that is being read."""

    lines: Iterator[str]
    held: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.held.append(line)
            yield line


def plain_codec(encoding: str) -> str:
    """Return an encoding by the name that Python gives it, ``utf-8`` however it is written."""
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise TableError(f"must be written in an encoding that Python knows, but got {encoding!r}") from error


def lines_in_quotes(
    opened: Callable[[], pa.NativeFile], encoding: str, delimiter: str, n_columns: int
) -> str | None:
    """Return a warning if quoted fields hold line ends.

    Raises
    ------
    TableError
        If a quote swallows rows, or quotes are not written as CSV has them.
    """
    escaped = re.compile(rf'(?:^|{re.escape(delimiter)})"(?:[^"]|"")*\\"(?!["{re.escape(delimiter)}\r\n]|$)')
    n_inside, first = 0, 0
    with closing(_rows(opened, encoding, delimiter)) as rows:
        for start, row, raw in rows:
            if start > 1 and raw[0].startswith("\ufeff"):
                rule = f"must have a byte-order mark only at its beginning, but line {start} begins with one"
                raise TableError(
                    rule, "files were put one behind the other: name each in `data.interactions`"
                )
            if "\\" in raw[0] and escaped.search(raw[0]):
                where = f"line {start} has"
                rule = rf"must write quotes inside quoted fields twice, but {where} \": {_brief(raw[0])}"
                raise TableError(rule, 'write them twice; in Spark with `.option("escape", "\\"")`')
            if len(raw) > 1:
                _check_row(row, raw, start, delimiter, n_columns)
                n_inside, first = n_inside + len(raw) - 1, first or start
    if not n_inside:
        return None
    return (
        f"{n_inside:,} of the line ends are inside quoted fields, the first in line {first}: if each line is "
        "a row, a quote that begins a field has to be written twice inside quotes, or removed"
    )


def long_line(opened: Callable[[], pa.NativeFile], encoding: str, delimiter: str, n_columns: int) -> None:
    """Refuse a file that has no rows, or a quote that swallows others or is not closed."""
    n_rows = 0
    with closing(_rows(opened, encoding, delimiter)) as rows:
        for start, row, raw in rows:
            n_rows += any(row)
            if len(raw) > 1:
                _check_row(row, raw, start, delimiter, n_columns)
    if n_rows <= 1:
        raise TableError("must have rows, but has none")


def _rows(
    opened: Callable[[], pa.NativeFile], encoding: str, delimiter: str
) -> Generator[tuple[int, list[str], list[str]], None, None]:
    """Yield the number of the first line of each row, its fields, and its lines."""
    codec = "utf-8-sig" if plain_codec(encoding) == "utf-8" else encoding
    with _LIMIT, opened() as stream:
        limit = csv.field_size_limit(_NO_LIMIT)
        try:
            text = io.TextIOWrapper(cast("IO[bytes]", stream), codec, errors="replace", newline="")
            lines, start = _Lines(text), 1
            for row in csv.reader(lines, delimiter=delimiter):
                yield start, row, lines.held
                start += len(lines.held)
                lines.held = []
        finally:
            csv.field_size_limit(limit)


def _check_row(row: list[str], raw: list[str], start: int, delimiter: str, n_columns: int) -> None:
    """Refuse a row of several lines if they are rows, or if its quote is not closed."""
    closing = _CLOSING.match(raw[-1])
    where = f"line {start}: {_brief(raw[0])}"
    if closing is None:
        rule = f"must close each quote, but one is open to the end of the file, from {where}"
        raise TableError(rule, "close it, write it twice inside quotes, or remove it")
    before, after = closing[1], closing[2].rstrip("\r\n")
    at = next((number for number, value in enumerate(row) if "\n" in value or "\r" in value), 0)
    parts = [line.count(delimiter) + 1 for line in re.split(r"\r\n|\n|\r", row[at])]
    alike = parts == [n_columns - at, *[n_columns] * (len(parts) - 2), at + 1]
    opens = not before or before.endswith(delimiter)
    torn = bool(after) and not after.startswith(delimiter)
    if torn or (n_columns > 1 and alike and (opens or len(raw) >= _SURE)):
        rule = (
            f"must have one row a line, but a quote takes lines {start} to {start + len(raw) - 1} for one "
            f"field, from {where}"
        )
        raise TableError(rule, "write the quote twice inside quotes, or remove it")


def _brief(line: str) -> object:
    return shown(line.rstrip("\r\n"))
