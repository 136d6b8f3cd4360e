"""Reads the final judgement of a study, also while another process writes it."""

from __future__ import annotations

from pathlib import Path

from tuner.holdout import Final
from tuner.store import read_records
from tuner.trials.stored import StoredStudy

__all__ = ["JUDGED", "final_of", "read_final"]

#: Begin of the attribute that holds what a look at the holdout came to; its number follows.
JUDGED = "final:judged:"


def read_final(folder: Path) -> Final | None:
    """Return the newest final judgement of a study, None if it has none.

    Raises
    ------
    StoreError
        If the folder holds no study.
    """
    return final_of(read_records(folder, curves=False))


def final_of(stored: StoredStudy) -> Final | None:
    """Return the newest final judgement of a study that has been read, None if it has none."""
    judged = {
        int(key.removeprefix(JUDGED)): value
        for key, value in stored.attributes.items()
        if key.startswith(JUDGED)
    }
    return Final.from_plain(judged[max(judged)]) if judged else None
