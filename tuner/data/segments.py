"""Groups the test users of a fold by what is known of them before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools.dataset.features import DIRECT_FEATURE_VALUE, DenseFeatures, SparseFeatures

from tuner.data.fold import Fold
from tuner.data.reading import counts_of
from tuner.trials.segments import NONE, SEVERAL, Grouping, by_amount, by_category, by_history, hot_and_cold

__all__ = ["groupings_of"]

#: Features of users by which they are grouped, at most.
_MOST_FEATURES = 20


def groupings_of(fold: Fold) -> tuple[Grouping, ...]:
    """Return the test users of a fold in segments.

    They are grouped by the length of their history, as hot, warm or cold, and by each feature of users. A
    grouping that would have one segment only is left out.
    """
    rows, features = fold.table.rows, fold.table.user_features
    numbers = pd.Index(rows.user_ids).get_indexer(pd.Index(fold.users))  # -1: not in the table
    counts = counts_of(rows.users[fold.trained.rows()], len(rows.user_ids))
    lengths = np.where(numbers >= 0, counts[numbers], 0)
    has_features = None if features is None else (numbers >= 0) & _has_some(features)[numbers]
    found = [by_history(lengths), hot_and_cold(lengths, has_features)]
    if features is not None:
        found += _by_features(features, numbers)
    return tuple(grouping for grouping in found if grouping is not None)


def _has_some(features: DenseFeatures | SparseFeatures) -> NDArray[np.bool_]:
    if isinstance(features, DenseFeatures):
        return np.ones(len(features.values), dtype=bool)
    return np.diff(features.get_sparse().indptr) > 0


def _by_features(
    features: DenseFeatures | SparseFeatures, numbers: NDArray[np.int64]
) -> Iterator[Grouping | None]:
    """Yield a grouping for each feature; users who are not in the table have none."""
    known = numbers >= 0
    if isinstance(features, DenseFeatures):
        for place, name in list(enumerate(features.names))[:_MOST_FEATURES]:
            values = np.where(known, features.values[numbers, place].astype(np.float64), np.nan)
            yield by_amount(str(name), values)
        return
    cells = features.get_sparse().tocsc()
    columns: dict[str, list[int]] = {}
    for place, (name, _) in enumerate(features.names):
        columns.setdefault(str(name), []).append(place)
    for name, mine in list(columns.items())[:_MOST_FEATURES]:
        part = cells[:, mine].tocsr()[np.where(known, numbers, 0)]
        n_values = np.where(known, np.diff(part.indptr), 0)
        if features.names[mine[0]][1] == DIRECT_FEATURE_VALUE:
            amounts = np.asarray(part.sum(axis=1)).ravel().astype(np.float64)
            yield by_amount(name, np.where(n_values > 0, amounts, np.nan))
        else:
            categories = [str(features.names[place][1]) for place in mine]
            yield by_category(name, _labels(part, n_values, categories))


def _labels(part: Any, n_values: NDArray[np.int64], values: list[str]) -> list[str]:  # noqa: ANN401  # scipy's matrix has no annotations
    """Return the category of each user, by the cells of one feature."""
    first = part.indptr[:-1]
    return [
        values[part.indices[first[user]]] if n == 1 else NONE if n == 0 else SEVERAL
        for user, n in enumerate(n_values.tolist())
    ]
