"""What the folders of data files say: values of columns, as Hive writes them, and tables with versions."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from .troubles import TableError

__all__ = ["copies", "keys_of", "parent_hint", "refuse_doubled", "refuse_strangers", "refuse_versions"]

#: Hive's folder of the rows without a value.
_NULL = "__HIVE_DEFAULT_PARTITION__"
#: Paths within a folder that tell of a table whose folder also holds files of former versions.
_VERSIONED = {
    "a Delta table": re.compile(r"(?:^|/)_delta_log/"),
    "a Hudi table": re.compile(r"(?:^|/)\.hoodie/"),
    "an Iceberg table": re.compile(r"(?:^|/)metadata/[^/]*\.metadata\.json$"),
}


def keys_of(path: str) -> dict[str, str | None]:
    """Return the columns that folders name, as in ``day=3/part.csv``; None for a missing value."""
    parts = [part.split("=", 1) for part in path.strip("/").split("/")[:-1] if "=" in part]
    return {unquote(name): None if value == _NULL else unquote(value) for name, value in parts}


def refuse_versions(paths: Iterable[str]) -> None:
    """Refuse a folder of a table that keeps removed rows in other files beside those of today.

    Raises
    ------
    TableError
        If paths within the folder tell of one.
    """
    for path in paths:
        for what, told in _VERSIONED.items():
            if told.search(path):
                rule = f"must be data files only, but the folder is {what}, which keeps removed rows too"
                cure = "export its current version to plain Parquet, or give a table in memory from Python"
                raise TableError(rule, cure)


def refuse_strangers(folder: str, strangers: Sequence[str], found: Sequence[str]) -> None:
    """Refuse a folder that has files of other endings beside data files, such as copies and notes.

    Files that all have other endings are data, as Hive writes them.

    Raises
    ------
    TableError
        If some of the files that were found are strangers, and not all.
    """
    if strangers and len(strangers) < len(found):
        data = next(path for path in found if path not in set(strangers))
        names = [path[len(folder) :].strip("/") for path in (strangers[0], data)]
        ending = names[1].rsplit(".", 1)[-1]
        raise TableError(
            f"must be a folder of data files only, but it has {names[0]!r} beside {names[1]!r}",
            f"move it away, or give a glob of the data files, as '{folder.rstrip('/')}/*.{ending}'",
        )


def refuse_doubled(paths: Sequence[str], stems: Sequence[str]) -> None:
    """Refuse files that are read twice: named twice, or once more in another form.

    Raises
    ------
    TableError
        If two stems, which are paths without the endings of their form, are the same.
    """
    first: dict[str, str] = {}
    for path, stem in zip(paths, stems, strict=True):
        other = first.get(stem)
        first[stem] = path
        if other == path:
            raise TableError(f"must name each file once, but {path!r} is named twice")
        if other is not None:
            rule = f"must have each file once, but {other!r} and {path!r} differ only in their endings"
            raise TableError(rule, "remove one of them, or give a glob that matches one of them")


def copies(paths: Sequence[str], n_rows: Sequence[int], keys: Sequence[Mapping[str, object]]) -> list[str]:
    """Return a warning for each local file with the bytes and keys of one before it, if it has rows."""
    first: dict[tuple[object, ...], list[str]] = {}
    found = []
    for path, n, of_folders in zip(paths, n_rows, keys, strict=True):
        if not n or not Path(path).is_file():
            continue
        alike = first.setdefault((n, Path(path).stat().st_size, *of_folders.items()), [])
        other = next((one for one in alike if filecmp.cmp(one, path, shallow=False)), None)
        if other is None:
            alike.append(path)
        else:
            found.append(f"{path} has the same bytes as {other}, so their rows count twice")
    return found


def parent_hint(places: Sequence[str], missing: Collection[str]) -> str | None:
    """Return a hint if a place lies within a folder that names a missing column."""
    for place in places:
        for part in place.split("/"):
            if "=" in part and unquote(part.split("=", 1)[0]) in missing:
                above = place.split(f"/{part}", maxsplit=1)[0] if f"/{part}" in place else "."
                return f"{part!r} is a folder that names the column: give the folder above it, {above!r}"
    return None
