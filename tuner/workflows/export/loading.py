"""What an exported model was fitted on: the dataset, and the items that may be recommended.

Each export contains this file, so it does not import rectools-tuner.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from rectools.dataset import Dataset

__all__ = ["FEATURES", "ITEMS", "fitted_on", "items_of"]

#: Files of an export: interactions, the items that may be recommended, and features, scaled as for the fit.
INTERACTIONS, ITEMS = "interactions.parquet", "items.parquet"
FEATURES = {"item": "features.parquet", "user": "user_features.parquet"}


def fitted_on(folder: Path, facts: dict[str, Any], reading: ModuleType) -> Dataset:
    """Return the dataset that the model was fitted on, with the same internal ids.

    Parameters
    ----------
    folder, facts
        Folder of the export, and its settings.
    reading
        The package that reads interactions.
    """
    import pandas as pd  # noqa: PLC0415  # a light start, as in `recommend.py`
    from rectools.dataset import Dataset  # noqa: PLC0415  # as above

    given: dict[str, Any] = {}
    for entity, key in (("item", "categorical_features"), ("user", "categorical_user_features")):
        if not (folder / FEATURES[entity]).exists():
            continue
        table = pd.read_parquet(folder / FEATURES[entity])
        if entity in facts.get("dense_features", ()):
            given |= {f"{entity}_features_df": reading.flat_to_wide(table)}
            given |= {f"make_dense_{entity}_features": True}
        else:
            given |= {f"{entity}_features_df": table, f"cat_{entity}_features": facts[key]}
    return Dataset.construct(pd.read_parquet(folder / INTERACTIONS), keep_extra_cols=True, **given)


def items_of(folder: Path) -> Any:  # noqa: ANN401  # an array, whose library is imported late
    """Return the ids of the items that may be recommended; None for all."""
    import pandas as pd  # noqa: PLC0415  # as above

    return pd.read_parquet(folder / ITEMS)["item_id"].to_numpy() if (folder / ITEMS).exists() else None
