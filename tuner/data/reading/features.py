"""Tables of features, as a search and an export give them to RecTools."""

from __future__ import annotations

import pandas as pd

__all__ = ["flat_to_wide"]


def flat_to_wide(table: pd.DataFrame) -> pd.DataFrame:
    """Return numeric features with a row for each id and a column for each feature, for `DenseFeatures`.

    Parameters
    ----------
    table
        Columns id, feature and value. Each id has each feature once.
    """
    wide = table.pivot_table(index="id", columns="feature", values="value", sort=False)
    return wide[list(table["feature"].unique())].reset_index()
