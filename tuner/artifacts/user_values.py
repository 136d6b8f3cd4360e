"""Paths of a trial's files in the study's folder, and per-user values as files.

There are too many per-user values for the store. The race compares those of the objective, which are in one
small NumPy archive for each fold. The final judgement uses those of all metrics on the holdout.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.artifacts import layout
from tuner.artifacts.atomic import remove_leftovers, write_file
from tuner.trials.records import Users
from tuner.trials.segments import Grouping

__all__ = [
    "drop_checkpoint",
    "read_final_users",
    "read_groupings",
    "read_users",
    "write_final_users",
    "write_groupings",
    "write_users",
]

logger = logging.getLogger(__name__)


def write_users(folder: Path, number: int, users: Users) -> None:
    """Write the per-user values of one fold of a trial. Values of an earlier attempt are replaced.

    If they cannot be written, a warning is logged, and the search continues.

    Parameters
    ----------
    folder
        Folder of the study.
    number
        Trial number.
    users
        The per-user values.
    """
    path = folder / layout.users(number, users.fold)
    try:
        _write(path, epochs=np.array(users.epochs), values=users.values)
    except OSError as error:
        logger.warning("%s cannot be written, so a later run will not race with it: %s", path, error)


def _write(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays to one file atomically."""
    archive = io.BytesIO()  # if NumPy writes to a full disk itself, it leaves a stack trace on stderr
    np.savez_compressed(archive, **arrays)
    write_file(path, archive.getvalue())


def write_final_users(
    folder: Path, number: int, seed: int, by_user: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write the per-user values on the holdout of a fit, by metric.

    Raises
    ------
    OSError
        If they cannot be written, because the judgement needs them.
    """
    _write(folder / layout.holdout_users(number, seed), **by_user)


def read_final_users(folder: Path, number: int, seed: int) -> dict[str, NDArray[np.float32]] | None:
    """Return the values that `write_final_users` wrote; None if the file is missing or damaged."""
    try:
        with np.load(folder / layout.holdout_users(number, seed)) as archive:
            return {label: archive[label] for label in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def read_users(folder: Path, number: int) -> Iterator[Users]:
    """Yield the per-user values of all finished folds of a trial. A file that cannot be read is skipped."""
    for fold, path in layout.users_by_fold(folder, number):
        try:
            with np.load(path) as archive:
                yield Users(fold, tuple(archive["epochs"].tolist()), archive["values"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue


def write_groupings(folder: Path, groupings: Sequence[Sequence[Grouping]]) -> None:
    """Write the segments of the test users of each fold. If they cannot be written, a warning is logged."""
    arrays = {
        json.dumps([fold, place, one.by, one.names]): one.codes.astype(np.int8)
        for fold, of_fold in enumerate(groupings)
        for place, one in enumerate(of_fold)
    }
    path = layout.segments(folder)
    try:
        _write(path, names=np.array(list(arrays), dtype=str), **_numbered(arrays.values()))
    except OSError as error:
        logger.warning("%s cannot be written, so results have no segments of users: %s", path, error)


def _numbered(arrays: Iterable[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"codes_{place}": array for place, array in enumerate(arrays)}


def read_groupings(folder: Path) -> dict[int, list[Grouping]]:
    """Return what `write_groupings` wrote, by fold; empty if the file is missing or damaged."""
    found: dict[int, list[Grouping]] = {}
    try:
        with np.load(layout.segments(folder)) as archive:
            for place, name in enumerate(archive["names"].tolist()):
                fold, _, by, names = json.loads(name)
                grouping = Grouping(by, tuple(names), archive[f"codes_{place}"].astype(np.int64))
                found.setdefault(fold, []).append(grouping)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}
    return found


def drop_checkpoint(folder: Path, number: int, *, n_folds: int) -> None:
    """Remove the checkpoints of a trial that has ended."""
    for name in layout.checkpoints(number, n_folds):
        path = folder / name
        path.unlink(missing_ok=True)
        remove_leftovers(path)
