"""Compares two stored trials on the same users, by the per-user values of their studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.artifacts.user_values import read_users
from tuner.trials.paired import Paired, paired_difference
from tuner.trials.stored import TrialRecord

__all__ = ["compare_on_users", "values_of"]


def compare_on_users(
    folder: Path, one: TrialRecord, other: TrialRecord, other_folder: Path | None = None
) -> Paired | None:
    """Compare two complete trials user by user, each at its own best epoch.

    Parameters
    ----------
    folder
        Folder of the first trial's study.
    one, other
        Trials to compare.
    other_folder
        Folder of the other trial's study, if it is another study.

    Returns
    -------
    Paired or None
        None if a trial is not complete, or if its study has no per-user values of a fold. A study has none
        for an objective that is not a mean over users.
    """
    mine, its = values_of(folder, one), values_of(other_folder or folder, other)
    return paired_difference(mine, its) if mine.keys() == its.keys() else None


def values_of(folder: Path, record: TrialRecord) -> Mapping[int, NDArray[np.float32]]:
    """Return a trial's per-user values at its best epoch by fold; empty if those of a fold are missing."""
    if record.summary is None:
        return {}
    epoch = record.summary.epoch
    found = {users.fold: users.at(epoch) for users in read_users(folder, record.number)}
    return found if len(found) == len(record.summary.folds) else {}
