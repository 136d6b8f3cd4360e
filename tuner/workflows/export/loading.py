"""What an exported model was fitted on, and a load that no job of a batch system disturbs.

Each export contains this file, so it does not import rectools-tuner.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from rectools.dataset import Dataset

__all__ = ["FEATURES", "ITEMS", "fitted_on", "items_of", "outside_of_jobs"]

#: Files of an export: interactions, the items that may be recommended, and features, scaled as for the fit.
INTERACTIONS, ITEMS = "interactions.parquet", "items.parquet"
FEATURES = {"item": "features.parquet", "user": "user_features.parquet"}
#: How variables begin from which Lightning takes its processes; see `build_model` of rectools-tuner.
LAUNCHERS = ("SLURM_", "LSB_", "LSF_", "JSM_", "TORCHELASTIC_", "PET_", "OMPI_", "PMI_", "PMIX_", "ROLE_")
RANKS = frozenset(
    [
        "GROUP_RANK",
        "GROUP_WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "RANK",
        "WORLD_SIZE",
    ]
)


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


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Hide the variables of a launcher such as SLURM from Lightning, which takes its tasks for its own."""
    names = [name for name in os.environ if name.startswith(LAUNCHERS) or name in RANKS]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
