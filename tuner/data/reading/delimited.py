"""Reads delimited text: the header, the delimiter, and rows that must have as many fields as the header."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import csv as arrow_csv

from .quotes import Watched, lines_in_quotes, long_line, plain_codec
from .troubles import TableError, first_line, shown

__all__ = ["DELIMITERS", "RARE_DELIMITERS", "Dialect", "EmptyFileError", "read_delimited", "rows_of"]

#: Usual delimiters, the most common first.
DELIMITERS = (",", "\t", ";", "|", "::")
#: Delimiters that are taken where none of the usual ones divides all rows alike; the last is that of Hive.
RARE_DELIMITERS = (" ", "^", "~", "||", "\x01")
#: Bytes of a file that are looked at for its header.
HEAD = 2**18
#: Bytes of a block for files with longer lines than those of pyarrow's blocks.
LONG = 2**28
#: Types that RecBole writes behind the names of columns.
_TYPED = re.compile(r"(.+):(token|token_seq|float|float_seq)")
#: Between columns that are aligned for people: by blanks, or with lines between them.
_ALIGNING = re.compile(r"[\s|]+")
#: Lines that are looked at for the header of a file that begins with something else.
_FIRST_LINES = 20
#: Stands in for a delimiter of several characters; no text holds it.
_STANDS_IN = tuple("\x1f\x1e\x1d\x1c")
#: Marks at the begin of text in encodings of several bytes a character; the longer ones first.
_WIDE = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_PACKED = pa.dictionary(pa.int32(), pa.string())


class EmptyFileError(TableError):
    """A file has no line."""


@dataclass(frozen=True)
class Dialect:
    """How text is written.

    Attributes
    ----------
    delimiter
        Between the fields; None: by the file's ending, or by the header.
    header
        Whether the first row names the columns.
    encoding
        Name of the encoding, as Python knows it.
    decimal
        Between a number and its fraction.
    """

    delimiter: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    decimal: str = "."


def read_delimited(
    opened: Callable[[], pa.NativeFile],
    ending: str,
    wanted: Sequence[str] | None,
    dialect: Dialect,
    packed: Collection[str] = (),
) -> tuple[dict[str, pa.ChunkedArray], tuple[str, ...], str | None, str | None]:
    """Read columns of text as they are written.

    Parameters
    ----------
    opened
        Opens the file from its beginning.
    ending
        Ending of the file's name.
    wanted
        Names of columns; None for all.
    dialect
        How the text is written.
    packed
        Columns whose values repeat: each value is then held once.

    Returns
    -------
    tuple
        The columns, the names of all columns, a hint if some are missing, and a warning.
    """
    with opened() as stream:
        head = stream.read(HEAD)
    _refuse_wide(head, dialect.encoding)
    head = _decoded(head, dialect.encoding)
    delimiter = dialect.delimiter or _delimiter(head, ending, wanted, dialect)
    n_blank, names = header_of(head, delimiter)
    if not dialect.header:
        n_blank, names = -1, tuple(str(number) for number in range(len(names)))
    hint = None if wanted is None else _why_no_columns(head, delimiter, wanted, dialect)
    asked = names if wanted is None else [name for name in dict.fromkeys(wanted) if name in names]
    for name in asked:
        if names.count(name) > 1:
            raise TableError(f"must name each column once, but {name!r} is named {names.count(name)} times")
    if not asked:
        return {}, names, hint, None
    kinds = {str(names.index(name)): _PACKED if name in packed else pa.string() for name in asked}
    table, warning = _table(
        opened, delimiter, len(names), kinds=kinds, n_skipped=n_blank + 1, dialect=dialect
    )
    columns = {name: table.column(number) for number, name in enumerate(asked)}
    return columns, names, hint, warning


def header_of(head: str, delimiter: str) -> tuple[int, tuple[str, ...]]:
    """Return the number of blank lines before the header, and the names in it."""
    lines = head.splitlines()
    n_blank = next((number for number, line in enumerate(lines) if line.strip("\r\n")), None)
    if n_blank is None:
        raise EmptyFileError("must be readable as a table, but the file is empty")
    try:
        names = next(rows_of("\n".join(lines[n_blank:]), delimiter))
    except csv.Error as error:  # such as a file of another kind, whose first line never ends
        raise TableError(f"must be readable as a table, but {error}") from error
    typed = [_TYPED.fullmatch(name) for name in names]
    return n_blank, tuple(match[1] for match in typed if match) if all(typed) else tuple(names)


def _is_wide(encoding: str) -> bool:
    """Tell whether a character takes two or four bytes."""
    return any(wide in plain_codec(encoding) for wide in _WIDE)


def _refuse_wide(head: bytes, encoding: str) -> None:
    """Refuse text of two or four bytes a character that is to be read as one of single bytes, and no text."""
    if _is_wide(encoding):
        return
    wide = next((name for name, marks in _WIDE.items() if head.startswith(marks)), None)
    if wide is None and head[1::2].count(0) > len(head) // 4:
        wide = "utf-16-le"
    if wide is not None:
        rule = f"must be readable as a table, but is not text in {encoding}: it looks like {wide}"
        raise TableError(rule, f"set `data.format: {{encoding: {wide}}}`")
    if 0 in head:
        line = head[: head.index(0)].count(b"\n") + 1
        raise TableError(f"must be text, but line {line} has a byte 0", "save it as CSV or Parquet")


def _decoded(raw: bytes, encoding: str) -> str:
    codec = "utf-8-sig" if plain_codec(encoding) == "utf-8" else encoding
    return io.TextIOWrapper(io.BytesIO(raw), codec, errors="replace", newline="").read()


def rows_of(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of text as lists of fields."""
    if len(delimiter) == 1:
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return (line.split(delimiter) for line in text.splitlines())


def _delimiter(head: str, ending: str, wanted: Sequence[str] | None, dialect: Dialect) -> str:
    """Return the delimiter of a file: by its ending, or that by which the header has the wanted columns."""
    if ending in {".csv", ".tsv", ".tab"}:
        return "," if ending == ".csv" else "\t"
    usual = "\t" if ending in {".inter", ".item", ".user"} else ","
    if wanted is None or not dialect.header:
        return usual
    options = [usual, *DELIMITERS]
    return next((one for one in options if set(wanted) <= set(header_of(head, one)[1])), usual)


def _why_no_columns(head: str, delimiter: str, wanted: Sequence[str], dialect: Dialect) -> str | None:
    """Say how a file would have the columns that it lacks: by another delimiter, or from another line."""
    if set(wanted) <= set(header_of(head, delimiter)[1]) or not dialect.header:
        return None
    for other in (*DELIMITERS, *RARE_DELIMITERS):
        names = header_of(head, other)[1]
        if set(wanted) <= set(names) and "" not in names:
            # As YAML has it: only double quotes know a tab by \t.
            written = f"'{other}'" if other.isprintable() else json.dumps(other)
            return f"the fields are separated by {written}: set `data.format: {{delimiter: {written}}}`"
    lines = head.splitlines()
    for number, line in enumerate(lines[:_FIRST_LINES], 1):
        if set(wanted) <= set(_ALIGNING.split(line)):
            return "the columns are aligned by blanks, as for people: export the table as CSV"
        if number > 1 and any(set(wanted) <= set(_fields(line, other)) for other in (delimiter, *DELIMITERS)):
            return f"line {number} has the names of the columns: remove what stands above it"
    return None


def _fields(line: str, delimiter: str) -> list[str]:
    return next(rows_of(line, delimiter), [])


def _table(
    opened: Callable[[], pa.NativeFile],
    delimiter: str,
    n_columns: int,
    *,
    kinds: dict[str, pa.DataType],
    n_skipped: int,
    dialect: Dialect,
) -> tuple[pa.Table, str | None]:
    one = len(delimiter) == 1
    with opened() as stream:
        watched = Watched(stream)
        source, sign = (watched, delimiter) if one else _single(stream.read(), delimiter, dialect.encoding)
        encoding = dialect.encoding if one else "utf-8"
        options = (
            arrow_csv.ParseOptions(delimiter=sign, quote_char='"' if one else False, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=kinds, include_columns=list(kinds), strings_can_be_null=False, null_values=[]
            ),
        )
        try:
            table = arrow_csv.read_csv(source, _blocks(n_columns, n_skipped, encoding), *options)
        except UnicodeDecodeError as error:
            raise _wrong_encoding(dialect.encoding, error) from error
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                raise _wrong_encoding(dialect.encoding, error) from error
            if not one or "straddl" not in str(error):
                raise _ragged(opened, delimiter, n_columns, dialect) or error from error
            long_line(opened, dialect.encoding, delimiter, n_columns)
            with opened() as again:  # a field is longer than a block
                blocks = _blocks(n_columns, n_skipped, encoding, LONG)
                return arrow_csv.read_csv(again, blocks, *options), None
    if one and _is_doubtful(watched, table.num_rows + n_skipped, encoding):
        return table, lines_in_quotes(opened, encoding, delimiter, n_columns)
    return table, None


def _blocks(n_columns: int, n_skipped: int, encoding: str, size: int | None = None) -> arrow_csv.ReadOptions:
    names = [str(number) for number in range(n_columns)]
    return arrow_csv.ReadOptions(
        column_names=names, skip_rows_after_names=n_skipped, encoding=encoding, block_size=size
    )


def _is_doubtful(watched: Watched, n_lines: int, encoding: str) -> bool:
    """Tell whether lines may be inside of quotes, or marks inside of the text."""
    more = watched.quoted and (_is_wide(encoding) or watched.n_lines != n_lines)  # other bytes end lines
    return more or watched.escaped or watched.marked


def _single(raw: bytes, delimiter: str, encoding: str) -> tuple[io.BytesIO, str]:
    """Put one character in the place of a delimiter of several."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise _wrong_encoding(encoding, error) from error
    sign = next((one for one in _STANDS_IN if one not in text), None)
    if sign is None:
        raise TableError("must be text, but holds control characters")
    return io.BytesIO(text.replace(delimiter, sign).encode()), sign


def _wrong_encoding(encoding: str, error: Exception) -> TableError:
    rule = f"must be readable as a table, but is not text in {encoding}: {first_line(error)}"
    return TableError(rule, "name its encoding, as `data.format: {encoding: latin-1}`")


def _ragged(
    opened: Callable[[], pa.NativeFile], delimiter: str, n_columns: int, dialect: Dialect
) -> TableError | None:
    """Return where rows have more or fewer fields than the header, as a person counts lines."""
    with opened() as stream:
        text = _decoded(stream.read(), dialect.encoding)
    number, line, rows = 0, 1, rows_of(text, delimiter)
    try:
        for number, row in enumerate(rows, 1):
            if row and len(row) != n_columns:
                break
            line = getattr(rows, "line_num", number) + 1
        else:
            return None
    except csv.Error:  # a field is too long
        long_line(opened, dialect.encoding, delimiter, n_columns)
        return None
    header = "the header" if dialect.header else "the first row"
    rule = f"each row must have as many fields as {header}, {n_columns}, but line {line} has {len(row)}: "
    rule += str(shown(delimiter.join(row).splitlines()[0]))
    return TableError(rule, _how_to_mend(header_of(text, delimiter)[1], row, delimiter))


def _how_to_mend(names: Sequence[str], row: Sequence[str], delimiter: str) -> str:
    """Say what to do with a row that has more or fewer fields than the first one."""
    if len(row) == len(names) + 1 and not row[-1]:
        return f"the row ends with {delimiter!r} and the header does not: end both in the same way"
    if len(names) == len(row) + 1 and not names[-1]:
        return f"the header ends with {delimiter!r} and the row does not: end both in the same way"
    if any("\n" in value for value in row):
        return "a quote that begins there is not closed on its line: close it, or write it twice"
    if len(names) == 1 or names[0].lower().startswith("sep="):
        return f"{names[0]!r} is taken for the header: remove what stands above the names of the columns"
    return "quote fields that hold the delimiter, or mend the row"
