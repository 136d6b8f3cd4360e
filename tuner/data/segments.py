"""Groups the test users of a fold by what is known of them before it."""

from __future__ import annotations

import numpy as np
from rectools import Columns

from tuner.data.fold import Fold
from tuner.trials.segments import Grouping, by_history, hot_and_cold

__all__ = ["groupings_of"]


def groupings_of(fold: Fold) -> tuple[Grouping, ...]:
    """Return the test users of a fold in segments: by the length of their history, and as hot or cold.

    A grouping that would have one segment only is left out.
    """
    counts = fold.seen[Columns.User].value_counts()
    lengths = np.asarray(counts.reindex(fold.users, fill_value=0), dtype=np.int64)
    found = (by_history(lengths), hot_and_cold(lengths))
    return tuple(grouping for grouping in found if grouping is not None)
