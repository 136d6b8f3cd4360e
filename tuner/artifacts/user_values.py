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

from tuner.artifacts.atomic import remove_leftovers, write_file
from tuner.trials.records import Users

__all__ = [
    "checkpoint_path",
    "drop_checkpoint",
    "log_path",
    "read_final_users",
    "read_users",
    "users_path",
    "write_final_users",
    "write_users",
]

logger = logging.getLogger(__name__)

FOLDER = "users"


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
    path = users_path(folder, number, users.fold)
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
    _write(_final_path(folder, number, seed), **by_user)


def read_final_users(folder: Path, number: int, seed: int) -> dict[str, NDArray[np.float32]] | None:
    """Read what `write_final_users` kept; None if there is nothing that can be read."""
    try:
        with np.load(_final_path(folder, number, seed)) as archive:
            return {label: archive[label] for label in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _final_path(folder: Path, number: int, seed: int) -> Path:
    return folder / FOLDER / f"final-{number:04d}-seed-{seed}.npz"


def read_users(folder: Path, number: int) -> Iterator[Users]:
    """Read the values of all folds that a trial has ended; a file that cannot be read is passed over."""
    for path in sorted((folder / FOLDER).glob(f"trial-{number:04d}-fold-*.npz")):
        fold = int(path.stem.rsplit("-", 1)[1]) - 1
        try:
            with np.load(path) as archive:
                yield Users(fold, tuple(archive["epochs"].tolist()), archive["values"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue


def checkpoint_path(folder: Path, number: int) -> Path:
    """Return where a trial that is running keeps what it goes on from if it is cut off."""
    return folder / "checkpoints" / f"trial-{number:04d}.ckpt"


def users_path(folder: Path, number: int, fold: int) -> Path:
    """Return where the per-user values of one fold of a trial stand."""
    return folder / FOLDER / f"trial-{number:04d}-fold-{fold + 1}.npz"


def log_path(folder: Path, number: int) -> Path:
    """Return where the log of a trial stands."""
    return folder / "logs" / f"trial-{number:04d}.log"


def drop_checkpoint(folder: Path, number: int) -> None:
    """Remove the checkpoint of a trial that has ended."""
    path = checkpoint_path(folder, number)
    path.unlink(missing_ok=True)
    remove_leftovers(path)
