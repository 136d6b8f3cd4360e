"""How a file of text is written: its encoding, its delimiter, whether it has a header."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.data.reading import Format, TableError
from tuner.data.reading.delimited import DELIMITERS, rows_of
from tuner.data.reading.files import text_head
from tuner.errors import DataError, Problem

__all__ = ["GuessedDialect", "guess_dialect"]

#: Rows that are looked at.
_ROWS = 50
_NUMBER = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}.*")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")


@dataclass(frozen=True)
class GuessedDialect:
    """How text is written.

    Attributes
    ----------
    dialect
        For the reader.
    settings
        What a study has to say, in `data.format`.
    doubts
        Lines about what is not sure.
    """

    dialect: Format
    settings: dict[str, object]
    doubts: tuple[str, ...] = ()


def guess_dialect(place: str) -> GuessedDialect:
    """Find out how a file is written; a file that is no text says it itself.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    try:
        found = text_head(place)
    except TableError as error:
        raise DataError(place, [Problem("DATA", error.rule, error.hint)]) from error
    if found is None:
        return GuessedDialect(Format(), {})
    ending, raw = found
    encoding, doubts = _encoding(raw)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(raw).lstrip("\ufeff")
    lines = [line for line in text.splitlines() if line.strip()][: _ROWS + 1]
    usual = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".inter": "\t"}.get(ending)
    delimiter, more = _delimiter(lines[:_ROWS], usual)
    rows = list(rows_of("\n".join(lines[:_ROWS]), delimiter))
    header, unsure = _has_header(rows)
    decimal = (
        "," if delimiter != "," and any(_DECIMAL_COMMA.fullmatch(v) for row in rows for v in row) else "."
    )
    settings: dict[str, object] = {}
    if delimiter != usual:
        settings["delimiter"] = delimiter
    if not header:
        settings["header"] = False
    if encoding != "utf-8":
        settings["encoding"] = encoding
    if decimal != ".":
        settings["decimal"] = decimal
    return GuessedDialect(Format(delimiter, header, encoding, decimal), settings, (*doubts, *more, *unsure))


def _encoding(raw: bytes) -> tuple[str, tuple[str, ...]]:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        encoding = "cp1252" if re.search(rb"[\x80-\x9f]", raw) else "latin-1"
        return encoding, (f"the text is not UTF-8; it is read as {encoding}: check letters with accents",)
    return "utf-8", ()


def _delimiter(lines: Sequence[str], usual: str | None) -> tuple[str, tuple[str, ...]]:
    """Return what divides each line into the same number of fields; that of the ending before others."""
    fitting = []
    for delimiter in dict.fromkeys(one for one in (usual, *DELIMITERS) if one is not None):
        counts = {len(row) for row in rows_of("\n".join(lines), delimiter)}
        if len(counts) == 1 and counts != {1}:
            fitting.append((delimiter, counts.pop()))
    if not fitting:
        return usual or ",", ()
    best = fitting[0][0] if fitting[0][0] == usual else max(fitting, key=lambda found: found[1])[0]
    others = [repr(delimiter) for delimiter, _ in fitting if delimiter != best]
    doubt = f"the delimiter is {best!r}; it could be {' or '.join(others)}"
    return best, ((doubt,) if others else ())


def _has_header(rows: Sequence[Sequence[str]]) -> tuple[bool, tuple[str, ...]]:
    """Tell whether the first row names the columns: it holds no number and no date, as others do."""
    if len(rows) < 2:  # noqa: PLR2004  # a header and a row
        return True, ()
    first, *others = rows
    if any(_NUMBER.fullmatch(value) or _DATE.fullmatch(value) for value in first):
        return False, ()
    if any(_NUMBER.fullmatch(value) or _DATE.fullmatch(value) for row in others for value in row):
        return True, ()
    return True, ("the first row is taken for a header; if it is not, set `data.format: {header: false}`",)
