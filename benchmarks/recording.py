"""A recorded table: the objective of some hundred configurations at each epoch of each fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.space import Value
from tuner.trials.records import Users

__all__ = ["Table", "epochs_compared", "load_table", "save_table", "table_path"]


def table_path(name: str) -> Path:
    """Return the path at which `benchmarks.record_table` writes a table."""
    return Path(__file__).parent / "recorded" / f"{name}.npz"


@dataclass(frozen=True)
class Table:
    """Recorded configurations, in the order in which they were drawn.

    Attributes
    ----------
    points
        Values of the dimensions of each configuration, by name.
    values
        The objective, which is maximized, shape (n_rows, n_folds, n_epochs). Epochs are numbered from 1.
    seconds
        Seconds since the begin of the configuration's trial, of the same shape.
    users
        Per-user values of all folds except the last, one fold after the other. After the last fold nothing is
        compared. Shape (n_rows, n_folds, n_users), with a row of users for each of `epochs_compared`.
    fold_sizes
        Number of users of each of these folds.
    facts
        Facts about the recording: study, data and machine.
    """

    points: Sequence[Mapping[str, Value]]
    values: NDArray[np.float32]
    seconds: NDArray[np.float32]
    users: NDArray[np.float16]
    fold_sizes: Sequence[int]
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def n_folds(self) -> int:
        """Number of folds of a trial."""
        return int(self.values.shape[1])

    @property
    def n_epochs(self) -> int:
        """Number of epochs of a fold."""
        return int(self.values.shape[2])

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """Value of each complete trial: the mean over the folds at the best common epoch, shape (n_rows,)."""
        scores: NDArray[np.float32] = self.values.mean(axis=1).max(axis=1)
        return scores

    def users_of(self, row: int, fold: int) -> Users:
        """Return the per-user values of a fold at the epochs that the race compares."""
        epochs, where = np.unique(epochs_compared(self.values[row]), return_index=True)
        end = sum(self.fold_sizes[: fold + 1])
        mine = self.users[row, :, end - self.fold_sizes[fold] : end]
        return Users(fold, tuple(epochs.tolist()), mine[where].astype(np.float32))

    def part(self, rows: Sequence[int]) -> Table:
        """Return the table of some rows."""
        chosen = list(rows)
        return Table(
            [self.points[row] for row in chosen],
            self.values[chosen],
            self.seconds[chosen],
            self.users[chosen],
            self.fold_sizes,
            self.facts,
        )


def epochs_compared(values: NDArray[Any]) -> list[int]:
    """Return the best epoch by the first fold, by the first two folds, and so on up to all folds.

    The race takes a complete trial as the incumbent at the last of these epochs, and compares a running trial
    at the epoch for its finished folds.

    Parameters
    ----------
    values
        The objective of one configuration, shape (n_folds, n_epochs).
    """
    return [int(values[: fold + 1].mean(axis=0).argmax()) + 1 for fold in range(len(values))]


def save_table(table: Table, path: Path) -> None:
    """Write a table to a compressed file."""
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path,
        points=json.dumps([dict(point) for point in table.points]),
        values=table.values,
        seconds=table.seconds,
        users=table.users,
        fold_sizes=np.array(table.fold_sizes),
        facts=json.dumps(dict(table.facts)),
    )


def load_table(path: Path) -> Table:
    """Return the table that `save_table` wrote."""
    with np.load(path) as archive:
        return Table(
            json.loads(str(archive["points"])),
            archive["values"],
            archive["seconds"],
            archive["users"],
            archive["fold_sizes"].tolist(),
            json.loads(str(archive["facts"])),
        )
