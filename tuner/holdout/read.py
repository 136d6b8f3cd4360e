"""Finds the newest final judgement in the records of a stored study."""

from __future__ import annotations

from tuner.holdout import Final
from tuner.trials.stored import StoredStudy

__all__ = ["JUDGED", "final_of"]

#: First part of the name of the attribute that holds a final judgement; the number of its look follows.
JUDGED = "final:judged:"


def final_of(stored: StoredStudy) -> Final | None:
    """Return the newest final judgement of a stored study, None if it has none."""
    judged = {
        int(key.removeprefix(JUDGED)): value
        for key, value in stored.attributes.items()
        if key.startswith(JUDGED)
    }
    return Final.from_plain(judged[max(judged)]) if judged else None
