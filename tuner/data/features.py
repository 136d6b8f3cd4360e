"""Features of items and users: read from tables or from a RecTools Dataset, scaled, and put into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools.dataset import Dataset, IdMap
from rectools.dataset.features import DIRECT_FEATURE_VALUE, DenseFeatures, SparseFeatures

from tuner.config.data import spelled
from tuner.data.reading import flat_to_wide

__all__ = ["Entity", "Features", "features_in", "scale_lines", "scaled"]

Entity = Literal["item", "user"]


@dataclass(frozen=True)
class Scale:
    """How a numeric feature was scaled: ``(value - center) / spread``.

    Attributes
    ----------
    feature
        Name of the feature.
    how
        ``none``, ``standard`` or ``min_max``.
    center, spread
        What is subtracted, and what the difference is divided by.
    low, high
        Smallest and largest value as written.
    """

    feature: str
    how: str
    center: float
    spread: float
    low: float
    high: float

    def __str__(self) -> str:
        bounds = f"{self.low:.6g} to {self.high:.6g}"
        if self.how == "none":
            return f"{self.feature} as written, {bounds}"
        return f"{self.feature} ({bounds}) by {self.how}: (value - {self.center:.6g}) / {self.spread:.6g}"


@dataclass(frozen=True)
class Features:
    """Features of items or of users in RecTools' flat format.

    Attributes
    ----------
    table
        Columns id, feature and value, and perhaps weight. The values are all numbers or all text.
    numeric
        Features whose value is a number. The others are categories.
    dense
        Whether RecTools gets them as `DenseFeatures`, which have no categories.
    scales
        How the numeric features were scaled.
    """

    table: pd.DataFrame
    numeric: tuple[str, ...] = ()
    dense: bool = False
    scales: tuple[Scale, ...] = field(default=())

    @property
    def categorical(self) -> list[str]:
        """Names of the features that are categories, in the order of the table."""
        return [str(name) for name in self.table["feature"].unique() if name not in self.numeric]

    def of(self, ids: NDArray[Any]) -> Features:
        """Return the features of those with these ids."""
        return replace(self, table=self.table[self.table["id"].isin(ids)])

    def built(self, ids: IdMap) -> DenseFeatures | SparseFeatures:
        """Return these features as RecTools has them; `ids` has all of their ids."""
        if self.dense:
            return DenseFeatures.from_dataframe(flat_to_wide(self.table), ids)
        return SparseFeatures.from_flatten(self.table, ids, self.categorical)


def features_in(dataset: Dataset, entity: Entity) -> Features | None:
    """Return the features of a Dataset, by features in its order; None if it has none.

    Built again, they have the columns of the Dataset in its order.
    """
    made = dataset.item_features if entity == "item" else dataset.user_features
    id_map = dataset.item_id_map if entity == "item" else dataset.user_id_map
    if made is None:
        return None
    ids = id_map.get_external_sorted_by_internal()
    if isinstance(made, DenseFeatures):
        names = [str(name) for name in made.names]
        table = pd.DataFrame(
            {
                "id": np.tile(ids, len(names)),
                "feature": np.repeat(np.array(names, dtype=object), len(ids)),
                "value": made.values.T.ravel().astype(np.float64),
            }
        )
        return Features(table, tuple(names), dense=True)
    cells = made.get_sparse().tocoo()
    order = np.lexsort((cells.row, cells.col))
    columns, amounts = cells.col[order], cells.data[order].astype(np.float64)
    direct = np.array([value == DIRECT_FEATURE_VALUE for _, value in made.names])[columns]
    names = [str(name) for name, _ in made.names]
    values = [
        amount if number else made.names[column][1]
        for column, amount, number in zip(columns, amounts, direct, strict=True)
    ]
    table = pd.DataFrame(
        {
            "id": ids[cells.row[order]],
            "feature": np.array(names, dtype=object)[columns],
            "value": one_type(values),
        }
    )
    weights = np.where(direct, 1.0, amounts)
    if (weights != 1).any():
        table["weight"] = weights
    return Features(table, tuple(dict.fromkeys(np.array(names, dtype=object)[columns[direct]])))


def one_type(values: Sequence[Any]) -> pd.Series[Any]:
    """Return values that are all numbers as such, and others as text, which files can hold."""
    if all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values):
        return pd.Series(values).infer_objects()
    texts = [repr(float(v)) if isinstance(v, (float, np.floating)) else spelled(v) for v in values]
    return pd.Series(texts, dtype=object)


def scaled(features: Features, how: str) -> Features:
    """Return features with their numeric ones scaled, each by all of its values.

    Parameters
    ----------
    features
        With finite numbers as numeric values, once for each id.
    how
        See `tuner.config.Data.scaling`.
    """
    table, scales = features.table, []
    numbers: NDArray[Any] = table["value"].to_numpy(dtype=object, copy=True)
    for feature in features.numeric:
        rows = (table["feature"] == feature).to_numpy()
        values = numbers[rows].astype(np.float64)
        scale = _scale(feature, how, values)
        scales.append(scale)
        if how != "none":
            numbers[rows] = (values - scale.center) / scale.spread
    if how != "none":
        table = table.assign(value=one_type(numbers.tolist()).to_numpy())
    return replace(features, table=table, scales=tuple(scales))


def _scale(feature: str, how: str, values: NDArray[np.float64]) -> Scale:
    low, high = float(values.min()), float(values.max())
    center, spread = 0.0, 1.0
    if how == "standard":
        center, spread = float(values.mean()), float(values.std())
    elif how == "min_max":
        center, spread = low, high - low
    return Scale(feature, how, center, spread or 1.0, low, high)  # a constant becomes 0


def scale_lines(features: dict[Entity, Features | None]) -> Iterator[str]:
    """Yield how the numeric features were scaled, for people."""
    for entity, found in features.items():
        if found is not None and found.scales:
            yield f"numeric features of {entity}s: {'; '.join(map(str, found.scales))}"
