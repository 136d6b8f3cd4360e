"""Reads the final judgement of a stored study. Another process may write the study at the same time."""

from __future__ import annotations

from pathlib import Path

from tuner.holdout import Final
from tuner.holdout.read import final_of
from tuner.store import read_records

__all__ = ["read_final"]


def read_final(folder: Path) -> Final | None:
    """Return the newest final judgement of a study, None if it has none.

    Raises
    ------
    StoreError
        If the folder holds no study.
    """
    return final_of(read_records(folder, curves=False))
