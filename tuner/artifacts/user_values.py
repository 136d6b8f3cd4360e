"""Paths of a trial's files in the study's folder, and per-user values as files.

There are too many per-user values for the store. The race compares those of the objective, which are in one
small NumPy archive for each fold. The final judgement uses those of all metrics on the holdout.
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.artifacts import layout
from tuner.artifacts.atomic import remove_leftovers, write_file
from tuner.trials.records import Users

__all__ = [
    "drop_checkpoint",
    "read_final_users",
    "read_users",
    "write_final_users",
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


def drop_checkpoint(folder: Path, number: int, *, n_folds: int) -> None:
    """Remove the checkpoints of a trial that has ended."""
    for name in layout.checkpoints(number, n_folds):
        path = folder / name
        path.unlink(missing_ok=True)
        remove_leftovers(path)
