"""Gives features of items or users to RecTools, in a search and in an export alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

__all__ = ["feature_arguments"]


def feature_arguments(
    table: pd.DataFrame, entity: str, categorical: Sequence[str], *, dense: bool
) -> dict[str, Any]:
    """Return the arguments of `Dataset.construct` that give features to items or users.

    Parameters
    ----------
    table
        Columns id, feature and value, and perhaps weight.
    entity
        ``item`` or ``user``.
    categorical
        Features that are categories.
    dense
        Whether RecTools gets them as `DenseFeatures`.
    """
    if not dense:
        return {f"{entity}_features_df": table, f"cat_{entity}_features": list(categorical)}
    wide = table.pivot_table(index="id", columns="feature", values="value", sort=False)
    names = list(table["feature"].unique())
    return {f"{entity}_features_df": wide[names].reset_index(), f"make_dense_{entity}_features": True}
