"""Finds the files that a study names, from the working folder and from the folder of the study file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

__all__ = ["located"]

#: Keys by section whose relative paths are found from the study file's folder too.
_PLACES = (
    ("data", ("interactions", "item_features", "user_features", "items_to_recommend")),
    ("search", ("warm_start",)),
)
#: Most names in folders that are looked at to find out whether a glob leads to a file.
_MOST_NAMES = 10_000


def located(plain: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Return a study's plain data in which relative paths are also found from the study file's folder.

    Parameters
    ----------
    plain
        The data by section.
    folder
        Folder of the study file; None if there is no file.
    """
    found = dict(plain)
    left = iter(range(_MOST_NAMES))
    for name, keys in _PLACES:
        section = found.get(name)
        if folder is not None and isinstance(section, dict):
            paths = {key: _found(section[key], folder, left) for key in keys if key in section}
            found[name] = {**section, **paths}
    return found


def _found(path: object, folder: Path, left: Iterator[int]) -> object:
    """Return a relative path that only the study file's folder has as one from there; also a list of them."""
    if isinstance(path, list):
        return [_found(one, folder, left) for one in path]
    elsewhere = isinstance(path, str) and "://" not in path and not _is_there(Path(path), left)
    return str(folder / str(path)) if elsewhere and _is_there(folder / str(path), left) else path


def _is_there(path: Path, left: Iterator[int]) -> bool:
    """Tell whether a path leads to something, or a glob to a file. A path that cannot be used does not."""
    if "*" not in str(path) or os.path.exists(path):  # noqa: PTH110  # `Path.exists` raises if the path is too long
        return os.path.exists(path)  # noqa: PTH110  # as above
    return _leads(Path(path.anchor), path.parts[bool(path.anchor) :], left)


def _leads(above: Path, parts: Sequence[str], left: Iterator[int]) -> bool:
    """Tell whether a glob leads to something, as far as the names that are left to look at can tell."""
    if not parts:
        return os.path.lexists(above)
    name, *below = parts
    if name == "**":  # a search through all folders takes too long
        return True
    if "*" not in name:
        return _leads(above / name, below, left)
    with suppress(OSError, ValueError), os.scandir(above) as entries:
        return any(
            fnmatchcase(entry.name, name) and _leads(above / entry.name, below, left)
            for entry, _ in zip(entries, left, strict=False)
        )
    return False
