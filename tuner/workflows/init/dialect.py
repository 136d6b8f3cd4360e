"""How a file of text is written: its encoding, its delimiter, whether it has a header."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from charset_normalizer import from_bytes

from tuner.data.reading import Format, TableError
from tuner.data.reading.delimited import DELIMITERS, RARE_DELIMITERS, rows_of
from tuner.data.reading.files import text_head
from tuner.errors import DataError, Problem

__all__ = ["Finding", "GuessedDialect", "guess_dialect"]

Value = TypeVar("Value")

#: Rows that are looked at.
_ROWS = 50
#: Digits behind a comma that may as well divide thousands.
_THOUSANDS = 3
_NUMBER = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}.*")
#: Encodings that letters distinguish. With more of them, short texts would be ambiguous.
_ENCODINGS = ["cp1252", "cp1251", "koi8_r", "gb18030", "big5", "cp949"]
#: Letters that Japanese alone has, two in a row.
_KANA = re.compile(r"[\u3041-\u30f6]{2}")
#: A word of Latin letters with one of another alphabet.
_MIXED_WORD = re.compile(r"[A-Za-z]{2}[\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]{2}")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")


@dataclass(frozen=True)
class Finding:
    """Something that was found out about a file.

    Attributes
    ----------
    what
        What it is, as ``delimiter ';'``.
    why
        What speaks for it, and against it if it is not sure.
    sure
        Whether nothing else can be meant.
    """

    what: str
    why: str
    sure: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {'sure' if self.sure else 'not sure'}, {self.why}"


@dataclass(frozen=True)
class GuessedDialect:
    """How text is written.

    Attributes
    ----------
    dialect
        For the reader.
    settings
        What a study has to say, in `data.format`.
    findings
        What was found, and how sure it is.
    """

    dialect: Format
    settings: dict[str, object]
    findings: tuple[Finding, ...] = ()


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
    encoding = _encoding(raw)
    text = codecs.getincrementaldecoder(encoding.value)(errors="replace").decode(raw).lstrip("\ufeff")
    lines = [line for line in text.splitlines() if line.strip()][: _ROWS + 1]
    usual = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".inter": "\t"}.get(ending)
    try:
        delimiter = _delimiter(lines[:_ROWS], usual)
        rows = list(rows_of("\n".join(lines[:_ROWS]), delimiter.value))
    except csv.Error as error:
        rule = f"must be readable as a table, but {error}"
        raise DataError(place, [Problem("DATA", rule)]) from error
    header = _has_header(rows)
    decimal = _decimal(rows, delimiter.value)
    settings: dict[str, object] = {}
    if delimiter.value != usual:
        settings["delimiter"] = delimiter.value
    if not header.value:
        settings["header"] = False
    if encoding.value != "utf-8":
        settings["encoding"] = encoding.value
    if decimal.value != ".":
        settings["decimal"] = decimal.value
    dialect = Format(delimiter.value, header.value, encoding.value, decimal.value)
    found_out = (encoding.finding, delimiter.finding, header.finding, decimal.finding)
    return GuessedDialect(dialect, settings, tuple(finding for finding in found_out if finding is not None))


@dataclass(frozen=True)
class _Guess(Generic[Value]):
    """A value, and why it was taken; None where there was nothing to decide."""

    value: Value
    finding: Finding | None


def _encoding(raw: bytes) -> _Guess[str]:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _Guess("utf-16", Finding("encoding utf-16", "the file begins with its mark"))
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        encoding = _by_letters(raw[: raw.rfind(b"\n") + 1] or raw)
        why = f"the text is not UTF-8; it is read as {encoding}: check its letters"
        return _Guess(encoding, Finding(f"encoding {encoding}", why, sure=False))
    why = "all letters are ASCII" if text.isascii() else "the bytes of other letters are valid"
    return _Guess("utf-8", Finding("encoding utf-8", f"{why} in the first {len(raw):,} bytes"))


def _by_letters(raw: bytes) -> str:
    """Return the likeliest encoding of text that is not UTF-8."""
    for encoding in ("cp932", "euc_jp"):
        with contextlib.suppress(UnicodeDecodeError):
            if _KANA.search(raw.decode(encoding)):
                return encoding
    best = from_bytes(raw, cp_isolation=_ENCODINGS).best()
    # In another alphabet whole words are of its letters; in Latin text some letters have accents.
    if best is not None and best.encoding != "cp1252" and not _MIXED_WORD.search(str(best)):
        return best.encoding
    return "cp1252" if re.search(rb"[\x80-\x9f]", raw) else "latin-1"


def _delimiter(lines: Sequence[str], usual: str | None) -> _Guess[str]:
    """Return what divides each line into the same number of fields; that of the ending before others."""
    fitting = _dividing(lines, dict.fromkeys(one for one in (usual, *DELIMITERS) if one is not None))
    fitting = fitting or _dividing(lines, RARE_DELIMITERS)
    if not fitting:
        best = usual or ","
        if _n_fields(lines[:1], best) == {1}:  # the rows may end in another way than the header
            best = max((best, *DELIMITERS), key=lambda one: max(_n_fields(lines[:1], one), default=1))
        why = f"none divides the first {len(lines)} lines into as many fields each"
        return _Guess(best, Finding(f"delimiter {best!r}", why, sure=False))
    best, n_fields = (
        fitting[0] if fitting[0][0] == usual else max(fitting, key=lambda candidate: candidate[1])
    )
    others = [repr(delimiter) for delimiter, _ in fitting if delimiter != best]
    why = f"it divides each of the first {len(lines)} lines into {n_fields} fields"
    if others:
        why += f"; it could be {' or '.join(others)}"
    return _Guess(best, Finding(f"delimiter {best!r}", why, sure=not others))


def _dividing(lines: Sequence[str], delimiters: Iterable[str]) -> list[tuple[str, int]]:
    """Return the delimiters that divide all lines into as many fields each, at least two, and this number."""
    counts = [(delimiter, _n_fields(lines, delimiter)) for delimiter in delimiters]
    return [(delimiter, found.pop()) for delimiter, found in counts if len(found) == 1 and found != {1}]


def _n_fields(lines: Sequence[str], delimiter: str) -> set[int]:
    return {len(row) for row in rows_of("\n".join(lines), delimiter)}


def _has_header(rows: Sequence[Sequence[str]]) -> _Guess[bool]:
    """Tell whether the first row names the columns: it holds no number and no date, as others do."""
    known, unknown = "a header", "no header"
    if len(rows) < 2:  # noqa: PLR2004  # a header and a row
        return _Guess(True, Finding(known, "there is one row only", sure=False))
    first, *others = rows
    valued = next((value for value in first if _NUMBER.fullmatch(value) or _DATE.fullmatch(value)), None)
    if valued is not None:
        return _Guess(False, Finding(unknown, f"the first row holds {valued!r}, as the other rows do"))
    if any(_NUMBER.fullmatch(value) or _DATE.fullmatch(value) for row in others for value in row):
        return _Guess(True, Finding(known, "the first row holds no number and no date, and others do"))
    why = "the first row is taken for a header; if it is not, set `data.format: {header: false}`"
    return _Guess(True, Finding(known, why, sure=False))


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> _Guess[str]:
    values = [value for row in rows for value in row if _DECIMAL_COMMA.fullmatch(value)]
    if delimiter == "," or not values:
        return _Guess(".", None)
    thousands = all(len(value.partition(",")[2]) == _THOUSANDS for value in values)
    why = f"numbers are written as {values[0]!r}"
    if thousands:
        why += "; it could be between thousands"
    return _Guess(",", Finding("decimal ','", why, sure=not thousands))
