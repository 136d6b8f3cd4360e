"""Files of a trial in the study's folder, beside its log: per-user values, and its checkpoint.

Per-user values are too many for the store. Those of the objective, one small NumPy archive for each fold, are
what the race compares; those of all metrics on the holdout are what the final judgement rests on.
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
    """Keep the values of one fold of a trial, in place of those of an earlier attempt.

    If they cannot be written a warning is logged: a search can do without.

    Parameters
    ----------
    folder
        Of the study.
    number
        Of the trial.
    users
        The values.
    """
    path = folder / layout.users(number, users.fold)
    try:
        _write(path, epochs=np.array(users.epochs), values=users.values)
    except OSError as error:
        logger.warning("%s cannot be written, so a later run will not race with it: %s", path, error)


def _write(path: Path, **arrays: NDArray[Any]) -> None:
    archive = io.BytesIO()  # NumPy's own writing leaves a stack trace on stderr where a disk is full
    np.savez_compressed(archive, **arrays)
    write_file(path, archive.getvalue())


def write_final_users(
    folder: Path, number: int, seed: int, by_user: Mapping[str, NDArray[np.float32]]
) -> None:
    """Keep the values on the holdout of a trial that was fitted with a seed, by metric.

    Raises
    ------
    OSError
        If they cannot be written: without them nothing can be judged.
    """
    _write(folder / layout.holdout_users(number, seed), **by_user)


def read_final_users(folder: Path, number: int, seed: int) -> dict[str, NDArray[np.float32]] | None:
    """Read what `write_final_users` kept; None if there is nothing that can be read."""
    try:
        with np.load(folder / layout.holdout_users(number, seed)) as archive:
            return {label: archive[label] for label in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def read_users(folder: Path, number: int) -> Iterator[Users]:
    """Read the values of all folds that a trial has ended; a file that cannot be read is passed over."""
    for fold, path in layout.users_by_fold(folder, number):
        try:
            with np.load(path) as archive:
                yield Users(fold, tuple(archive["epochs"].tolist()), archive["values"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue


def drop_checkpoint(folder: Path, number: int) -> None:
    """Remove the checkpoint of a trial that has ended."""
    path = folder / layout.checkpoint(number)
    path.unlink(missing_ok=True)
    remove_leftovers(path)
