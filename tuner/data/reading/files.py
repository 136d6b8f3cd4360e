"""From a path to a table: finds the files, undoes the compression, and tells the kind of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from .delimited import HEAD, Dialect, EmptyFileError, read_delimited
from .folders import copies, keys_of, parent_hint, refuse_doubled, refuse_strangers, refuse_versions
from .foreign import BEGIN, refuse_ending, refuse_foreign
from .ids import WrongIdsError
from .joined import alike
from .troubles import OBJECT_A_ROW, TableError, first_line
from .typed import read_feather, read_json_lines, read_parquet
from .unpacked import unpacked

__all__ = ["Format", "Read", "read_columns", "text_head", "text_lines"]

Format = Dialect

#: Endings of the kinds of files, without that of a compression.
_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "text",
    ".tsv": "text",
    ".tab": "text",
    ".txt": "text",
    ".dat": "text",
    ".data": "text",
    ".inter": "text",
    ".item": "text",
    ".user": "text",
}
_COMPRESSIONS = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".lz4": "lz4",
    ".br": "brotli",
}
#: First bytes of kinds and of compressions.
_KIND_BEGINS = {b"PAR1": "parquet", b"ARROW1": "feather", b"FEA1": "feather"}
_COMPRESSION_BEGINS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
#: Errors that readers raise if a file is broken.
BROKEN = (OSError, ValueError, pa.ArrowException, ImportError, EOFError, LookupError, OverflowError)


@dataclass(frozen=True)
class Read:
    """Columns as the files have them.

    Attributes
    ----------
    columns
        By name; those asked for that the files have.
    names
        Names of all columns of the first file.
    written
        Whether values come from text, which declares no types.
    hint
        What may be the cause if columns are missing.
    kind
        What has the columns, for people.
    warnings
        What may be wrong with the files.
    """

    columns: dict[str, pa.ChunkedArray]
    names: tuple[str, ...]
    written: bool
    hint: str | None = None
    kind: str = "file"
    warnings: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return len(next(iter(self.columns.values()))) if self.columns else 0


def read_columns(
    places: str | Sequence[str],
    wanted: Sequence[str] | None,
    dialect: Dialect | None = None,
    packed: Collection[str] = (),
) -> Read:
    """Read columns of one file or of several.

    Parameters
    ----------
    places
        Paths or fsspec URLs: files, folders of files, or globs.
    wanted
        Names of columns, or numbers from 0 as text where a file has no header; None for all.
    dialect
        How text is written.
    packed
        Columns of ids: of text, each value is then held once. Several types become one without making two
        ids of one.

    Raises
    ------
    TableError
        If a file is missing or cannot be read.
    """
    parts: list[Read] = []
    places = [places] if isinstance(places, str) else places
    files = [file for place in places for file in _files(place)]
    refuse_doubled([path for path, _ in files], [_stem(path) for path, _ in files])
    for path, keys in list(files):
        try:
            parts.append(_with_keys(_read(path, wanted, dialect or Dialect(), packed), keys, wanted))
        except TableError as error:
            if isinstance(error, EmptyFileError) and len(files) > 1:  # as parts without rows are written
                files.remove((path, keys))
                continue
            where = f"{path}: " if len(files) > 1 else ""
            raise TableError(where + error.rule, error.hint) from error
    whole = parts[0] if len(parts) == 1 else _together(parts, [path for path, _ in files], packed)
    if whole.columns and not whole.n_rows:
        raise TableError("must have rows, but has none")
    told = [(path, text) for (path, _), part in zip(files, parts, strict=True) for text in part.warnings]
    hint = whole.hint or parent_hint(places, set(wanted or ()) - set(whole.names))
    warnings = [f"{path}: {text}" if len(files) > 1 else text for path, text in told]
    warnings += copies(
        [path for path, _ in files], [part.n_rows for part in parts], [keys for _, keys in files]
    )
    return replace(whole, hint=hint, warnings=tuple(warnings))


def _files(place: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return the files of a place in the order of their names, with what their folders say (as Hive does)."""
    try:
        system, root = fsspec.core.url_to_fs(place)
        prefix = place[: len(place) - len(root)] if place.endswith(root) and "://" in place else ""
        if any(sign in root for sign in "*?[") and not system.exists(root):
            found = sorted(path for path in system.glob(root) if not _is_hidden(path) and system.isfile(path))
            rule = f"must match files, but {place!r} matches none"
            base = str(PurePosixPath(re.split(r"[*?\[]", root, maxsplit=1)[0]).parent)
        elif system.isdir(root):
            within = system.find(root)
            refuse_versions(path[len(root) :] for path in within)
            found = sorted(path for path in within if not _is_hidden(path[len(root) :]))
            refuse_strangers(root, [path for path in found if _endings(path)[0] not in _KINDS], found)
            rule = "must hold data files, but the folder holds none"
            base = root
        else:
            return [(place, {})]
    except TableError:
        raise
    except BROKEN as error:
        raise TableError(f"must be readable as a table, but {first_line(error)}") from error
    if not found:
        raise TableError(rule)
    return [(_url(system, prefix, path), keys_of(path[len(base) :])) for path in found]


def _url(system: fsspec.AbstractFileSystem, prefix: str, path: str) -> str:
    if prefix:
        return prefix + path
    return path if "file" in system.protocol else str(system.unstrip_protocol(path))


def _is_hidden(path: str) -> bool:
    """Tell whether a part of a path is one that Spark and others leave beside the data."""
    return any(part.startswith(("_", ".")) and "=" not in part for part in path.split("/"))


def _with_keys(read: Read, keys: dict[str, str | None], wanted: Sequence[str] | None) -> Read:
    """Add the columns that the names of folders give."""
    added = {name: value for name, value in keys.items() if name not in read.names}
    columns = dict(read.columns)
    n_rows = read.n_rows
    for name, value in added.items():
        if wanted is None or name in wanted:
            columns[name] = pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), n_rows)])
    return replace(read, columns=columns, names=(*read.names, *added))


def _together(parts: Sequence[Read], paths: Sequence[str], packed: Collection[str]) -> Read:
    """Put files one after the other; a column that has other types in other files is read as text.

    The columns of `packed` are ids, which may also become numbers.
    """
    first = parts[0]
    columns: dict[str, pa.ChunkedArray] = {}
    for name in first.columns:
        for part, path in zip(parts, paths, strict=True):
            if name not in part.columns:
                raise TableError(f"files must have the same columns, but {path} has no {name!r}")
        chunks = [part.columns[name] for part in parts]
        kinds = {chunk.type for chunk in chunks if len(chunk)}
        if len(kinds) > 1:
            chunks = (
                _alike(chunks, name, paths) if name in packed else [_as_text(one, name) for one in chunks]
            )
            kinds = {chunk.type for chunk in chunks}
        arrays = [array for chunk in chunks for array in chunk.chunks if len(array)]
        columns[name] = pa.chunked_array(arrays, type=next(iter(kinds), chunks[0].type))
    return Read(columns, first.names, any(part.written for part in parts), first.hint)


def _alike(columns: Sequence[pa.ChunkedArray], name: str, paths: Sequence[str]) -> list[pa.ChunkedArray]:
    """Bring ids to one type."""
    try:
        return alike(columns, [f"{name!r} of {path}" for path in paths])
    except WrongIdsError as error:
        raise TableError(str(error), error.cure) from error
    except pa.ArrowException as error:
        kinds = ", ".join(sorted({str(column.type) for column in columns}))
        raise TableError(f"files must have the same types, but {name!r} is {kinds} in them") from error


def _as_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        return plain.cast(pa.string())
    except pa.ArrowException as error:
        rule = f"files must have the same types, but {name!r} is {column.type} in one of them"
        raise TableError(rule) from error


def _read(path: str, wanted: Sequence[str] | None, dialect: Dialect, packed: Collection[str]) -> Read:
    try:
        kind, ending, compression = _kind(path)
        reads: dict[str, Callable[..., tuple[dict[str, pa.ChunkedArray], tuple[str, ...]]]] = {
            "parquet": partial(read_parquet, packed=packed),
            "feather": read_feather,
            "json": partial(read_json_lines, packed=packed),
        }
        if kind in reads:
            with opened(path, compression) as stream:
                columns, names = reads[kind](stream, wanted)
            split = {"columns", "data"} <= set(names) and not set(wanted or ()) <= set(names)
            return Read(unpacked(columns), names, written=False, hint=OBJECT_A_ROW if split else None)
        columns, names, hint, warning = read_delimited(
            lambda: opened(path, compression), ending, wanted, dialect, packed
        )
        warnings = () if warning is None else (warning,)
        return Read(columns, names, written=True, hint=hint, warnings=warnings)
    except TableError:
        raise
    except FileNotFoundError as error:
        raise _not_there() from error
    except BROKEN as error:
        raise TableError(f"must be readable as a table, but {first_line(error)}") from error


def _kind(path: str) -> tuple[str, str, str | None]:
    """Return the kind of a file, its ending and its compression; its content decides before its name."""
    ending, compression = _endings(path)
    refuse_ending(path, ending)
    with fsspec.open(path, "rb") as file:
        head = file.read(BEGIN)
    told = _told(_COMPRESSION_BEGINS, head)
    compression = told or (compression if compression == "brotli" else None)
    refuse_foreign(path, head)
    if compression is not None:
        with opened(path, compression) as stream:
            head = stream.read(BEGIN)
        refuse_foreign(path, head)
    is_json = head.lstrip()[:1] == b"{"
    kind = _told(_KIND_BEGINS, head) or _KINDS.get(ending) or ("json" if is_json else "text")
    return kind, ending, compression


def text_head(place: str) -> tuple[str, bytes] | None:
    """Return the ending and the first bytes of a file of text, or None for a file of another kind.

    Raises
    ------
    TableError
        If it cannot be read.
    """
    path, _ = _files(place)[0]
    try:
        kind, ending, compression = _kind(path)
        if kind != "text":
            return None
        with opened(path, compression) as stream:
            return ending, stream.read(HEAD)
    except FileNotFoundError as error:
        raise _not_there() from error
    except TableError:
        raise
    except BROKEN as error:
        raise TableError(f"must be readable as a table, but {first_line(error)}") from error


def text_lines(place: str) -> pa.ChunkedArray:
    """Return the lines of a file of UTF-8 text that are not empty.

    Raises
    ------
    TableError
        If it cannot be read, or has no lines.
    """
    path, _ = _files(place)[0]
    try:
        with opened(path, _kind(path)[2]) as stream:
            text = stream.read().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise _not_there() from error
    except TableError:
        raise
    except BROKEN as error:
        raise TableError(f"must be readable as text in UTF-8, but {first_line(error)}") from error
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if not lines:
        raise TableError("must have lines, but has none")
    return pa.chunked_array([pa.array(lines, pa.string())])


def _not_there() -> TableError:
    hint = f"a relative path is looked for in {Path.cwd()}, then in the folder of the study file"
    return TableError("must be a file that exists, but it does not", hint)


def _endings(path: str) -> tuple[str, str | None]:
    """Return the ending of the kind of a file, and its compression."""
    name = PurePosixPath(path.lower())
    compression = _COMPRESSIONS.get(name.suffix)
    return (name.with_suffix("") if compression else name).suffix, compression


def _stem(path: str) -> str:
    """Return the path without the endings of a compression and of a kind of files."""
    ending, compression = _endings(path)
    n_endings = (compression is not None) + (ending in _KINDS)
    name = PurePosixPath(path)
    for _ in range(n_endings):
        name = name.with_suffix("")
    return str(name)


def _told(begins: dict[bytes, str], head: bytes) -> str | None:
    return next((kind for begin, kind in begins.items() if head.startswith(begin)), None)


def opened(path: str, compression: str | None) -> pa.NativeFile:
    """Return the bytes of a file, decompressed, as pyarrow reads them."""
    file = fsspec.open(path, "rb")
    if isinstance(file.fs, LocalFileSystem):
        raw: pa.NativeFile = pa.OSFile(file.path)
    else:
        raw = pa.PythonFile(file.open(), mode="r")
    if compression is None:
        return raw
    return pa.BufferReader(pa.CompressedInputStream(raw, compression).read())
