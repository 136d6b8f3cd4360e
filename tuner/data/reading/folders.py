"""What the folders of data files say: values of columns, as Hive writes them, and tables with versions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from urllib.parse import unquote

from .troubles import TableError

__all__ = ["keys_of", "parent_hint", "refuse_versions"]

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


def parent_hint(places: Sequence[str], missing: Collection[str]) -> str | None:
    """Return a hint if a place lies within a folder that names a missing column."""
    for place in places:
        for part in place.split("/"):
            if "=" in part and unquote(part.split("=", 1)[0]) in missing:
                above = place.split(f"/{part}", maxsplit=1)[0] if f"/{part}" in place else "."
                return f"{part!r} is a folder that names the column: give the folder above it, {above!r}"
    return None
