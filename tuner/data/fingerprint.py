"""The fingerprint of a study's data: equal for equal rows, in whatever form they came."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tuner.config.data import spelled
from tuner.data.features import Entity, Features
from tuner.data.reading import Coded, row_hashes

__all__ = ["fingerprint_of", "former_fingerprint"]

Hashes = NDArray[np.uint64]
_LENGTH = 16


def fingerprint_of(
    rows: Coded, events: Hashes, features: Mapping[Entity, Features | None], items: NDArray[Any] | None
) -> str:
    """Return the hash of interactions, features as written, and items to recommend.

    The rows of interactions count in their order; those of features and items in any order, since a Dataset
    does not keep it.

    Parameters
    ----------
    rows, events
        The interactions, and their `event_hashes`.
    features, items
        Features of items and users, and the ids of the items to recommend; None for all.
    """
    digest = _interactions(rows, events)
    for entity, found in features.items():
        if found is not None:
            digest.update(f"{entity} features".encode())
            _add_table(digest, _canonical(found))
    if items is not None:
        digest.update(b"items to recommend")
        _add_table(digest, pd.DataFrame({"id": sorted(map(str, items.tolist()))}))
    return str(digest.hexdigest()[:_LENGTH])


def former_fingerprint(
    rows: Coded, events: Hashes, features: Mapping[Entity, Features | None], items: NDArray[Any] | None
) -> str | None:
    """Return the hash of version 0.1.0, in which the rows of item features counted in their order.

    None if it is the same, or if that version could not read such data.
    """
    found = features["item"]
    if found is None or features["user"] is not None or items is not None:
        return None
    digest = _interactions(rows, events)
    _add_table(digest, found.table[["id", "feature", "value"]])
    return str(digest.hexdigest()[:_LENGTH])


def _interactions(rows: Coded, events: Hashes) -> Any:  # noqa: ANN401  # hashlib has no public type
    digest = hashlib.sha256(b"user_id,item_id,datetime,weight")
    for hashes in row_hashes(rows, events):
        digest.update(hashes.data)
    if rows.extras:
        _add_table(digest, pd.DataFrame(dict(rows.extras)))
    return digest


def _add_table(digest: Any, table: pd.DataFrame) -> None:  # noqa: ANN401  # hashlib has no public type
    digest.update(",".join(table.columns).encode())
    digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())


def _canonical(features: Features) -> pd.DataFrame:
    """Return features as RecTools adds them up: a row for each number or category, in order of its text."""
    table = features.table
    numeric = table["feature"].isin(features.numeric).to_numpy()
    amounts = np.ones(len(table)) if "weight" not in table else table["weight"].to_numpy(copy=True)
    amounts[numeric] = table["value"].to_numpy(dtype=object)[numeric].astype(np.float64)
    whole = pd.DataFrame(
        {
            "id": table["id"].map(str),
            "feature": table["feature"].map(str),
            "value": np.where(numeric, "", table["value"].map(spelled)),
            "amount": amounts.astype(np.float32).astype(np.float64),
        }
    )
    return whole.groupby(["id", "feature", "value"], sort=True)["amount"].sum().reset_index()
