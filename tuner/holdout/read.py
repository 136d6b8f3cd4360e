"""The newest final judgement of a study that has been read from its store."""

from __future__ import annotations

from tuner.holdout import Final
from tuner.trials.stored import StoredStudy

__all__ = ["JUDGED", "final_of"]

#: Begin of the attribute that holds what a look at the holdout came to; its number follows.
JUDGED = "final:judged:"


def final_of(stored: StoredStudy) -> Final | None:
    """Return the newest final judgement of a study that has been read, None if it has none."""
    judged = {
        int(key.removeprefix(JUDGED)): value
        for key, value in stored.attributes.items()
        if key.startswith(JUDGED)
    }
    return Final.from_plain(judged[max(judged)]) if judged else None
