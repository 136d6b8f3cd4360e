"""Finds the newest final judgement in the records of a stored study."""

from __future__ import annotations

from tuner.holdout import Final
from tuner.trials.schema import judgements
from tuner.trials.stored import StoredStudy

__all__ = ["final_of"]


def final_of(stored: StoredStudy) -> Final | None:
    """Return the newest final judgement of a stored study, None if it has none."""
    judged = judgements(stored.attributes)
    return Final.from_plain(judged[max(judged)]) if judged else None
