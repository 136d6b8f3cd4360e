"""Paths of a trial's files in the study's folder, and per-user values as files.

There are too many per-user values for the store. The race compares those of the objective, which are in one
small NumPy archive for each fold. The final judgement uses those of all metrics on the holdout.
"""

from __future__ import annotations

import io
import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    path = users_path(folder, number, users.fold)
    try:
        _write(path, epochs=np.array(users.epochs), values=users.values)
    except OSError as error:
        logger.warning("%s cannot be written, so a later run will not race with it: %s", path, error)


def _write(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays to one file atomically."""
    unfinished = path.with_suffix(".tmp")
    archive = io.BytesIO()  # if NumPy writes to a full disk itself, it leaves a stack trace on stderr
    np.savez_compressed(archive, **arrays)
    try:
        path.parent.mkdir(exist_ok=True)
        unfinished.write_bytes(archive.getvalue())
        os.replace(unfinished, path)  # noqa: PTH105  # the same as Path.replace, and atomic by its documentation
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def write_final_users(
    folder: Path, number: int, seed: int, by_user: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write the per-user values on the holdout of a fit, by metric.

    Raises
    ------
    OSError
        If they cannot be written, because the judgement needs them.
    """
    _write(_final_path(folder, number, seed), **by_user)


def read_final_users(folder: Path, number: int, seed: int) -> dict[str, NDArray[np.float32]] | None:
    """Return the values that `write_final_users` wrote; None if the file is missing or damaged."""
    try:
        with np.load(_final_path(folder, number, seed)) as archive:
            return {label: archive[label] for label in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _final_path(folder: Path, number: int, seed: int) -> Path:
    return folder / FOLDER / f"final-{number:04d}-seed-{seed}.npz"


def read_users(folder: Path, number: int) -> Iterator[Users]:
    """Yield the per-user values of all finished folds of a trial. A file that cannot be read is skipped."""
    for path in sorted((folder / FOLDER).glob(f"trial-{number:04d}-fold-*.npz")):
        fold = int(path.stem.rsplit("-", 1)[1]) - 1
        try:
            with np.load(path) as archive:
                yield Users(fold, tuple(archive["epochs"].tolist()), archive["values"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue


def checkpoint_path(folder: Path, number: int) -> Path:
    """Return the path of a trial's checkpoint, from which its next attempt continues."""
    return folder / "checkpoints" / f"trial-{number:04d}.ckpt"


def users_path(folder: Path, number: int, fold: int) -> Path:
    """Return the path of the per-user values of one fold of a trial."""
    return folder / FOLDER / f"trial-{number:04d}-fold-{fold + 1}.npz"


def log_path(folder: Path, number: int) -> Path:
    """Return the path of a trial's log."""
    return folder / "logs" / f"trial-{number:04d}.log"


def drop_checkpoint(folder: Path, number: int) -> None:
    """Remove the checkpoint of a trial that has ended."""
    path = checkpoint_path(folder, number)
    for file in (path, *path.parent.glob(f"{path.stem}.*.tmp")):
        file.unlink(missing_ok=True)
