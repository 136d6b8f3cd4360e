"""One fold: the rows of a table on which a model is fitted, and those on which it is tested.

The folds of a study share one table. A fold holds which of its rows it trains on; the RecTools Dataset is
made where a model is fitted. So Ray's object store has each interaction once, however many folds there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Dataset

from tuner.data.reading import Coded, by_appearance
from tuner.data.table import Table, with_ids

__all__ = ["Fold", "TrainRows"]

AnyIds = NDArray[Any]
Rows = NDArray[Any]


@dataclass(frozen=True, eq=False)
class TrainRows:
    """Which rows of a table a model is fitted on.

    Attributes
    ----------
    numbers
        With `before`: for each row of the table the fold that tests it, and -1 for rows older than all folds.
        All folds share this array. Without it: numbers of rows, in the order in which the model gets them.
    before
        Rows of folds before this one are trained on; None if `numbers` are the rows.
    """

    numbers: Rows
    before: int | None = None

    def rows(self) -> Rows:
        """Return the rows, as a mask or as numbers in their order."""
        return self.numbers if self.before is None else self.numbers < self.before


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold, ready for a model.

    Attributes
    ----------
    index
        Position among the folds, oldest first, from 0.
    table
        The interactions of all folds.
    trained
        Rows of the table on which the model is fitted.
    tested
        Test interactions.
    labels
        Labels of the test interactions in `test`, shape (n_tested,).
    facts
        Numbers of rows, users and items, and the period, for people.
    reference
        Recommendations of the reference model; None if no metric needs them.
    items
        External ids of the items that may be recommended; None for all.
    """

    index: int
    table: Table
    trained: TrainRows
    tested: Coded
    labels: NDArray[np.int64]
    facts: dict[str, object]
    reference: pd.DataFrame | None = None
    items: AnyIds | None = None

    @cached_property
    def train(self) -> Dataset:
        """Dataset on which the model is fitted."""
        return self.table.part(self.trained.rows())

    @cached_property
    def test(self) -> pd.DataFrame:
        """Test interactions with external ids, as `rectools.metrics` expects them."""
        return with_ids(self.tested, self.labels)

    @cached_property
    def users(self) -> AnyIds:
        """External ids of the test users, each once, in order of appearance. Shape (n_users,)."""
        return self.tested.user_ids.take(by_appearance(self.tested.users, len(self.tested.user_ids)))

    @cached_property
    def seen(self) -> pd.DataFrame:
        """Train interactions with external ids. Metrics take them as `prev_interactions`."""
        return with_ids(self.table.rows.take(self.trained.rows()))

    @cached_property
    def catalog(self) -> AnyIds:
        """External ids of the items of the train interactions, each once. Shape (n_items,)."""
        if "train" in vars(self):
            known: AnyIds = self.train.item_id_map.external_ids  # those with features only come last
            return known[: self.facts["train_items"]]
        rows = self.table.rows
        return rows.item_ids.take(by_appearance(rows.items[self.trained.rows()], len(rows.item_ids)))

    def alone(self) -> Fold:
        """Return the fold without what was derived; who uses it for a while frees that memory with it."""
        return replace(self)

    def of_users(self, users: AnyIds) -> Fold:
        """Return the fold with some of its test users; it shares the train Dataset."""
        known = pd.Index(self.tested.user_ids).get_indexer(pd.Index(users))
        wanted = np.zeros(len(self.tested.user_ids), dtype=bool)
        wanted[known[known >= 0]] = True
        rows = np.flatnonzero(wanted[self.tested.users])
        reference = self.reference
        if reference is not None:
            reference = reference[reference[Columns.User].isin(users)]
        few = replace(self, tested=self.tested.take(rows), labels=self.labels[rows], reference=reference)
        vars(few)["train"] = self.train
        return few

    def trained_on(self, rows: Rows) -> Fold:
        """Return the fold with some of its train interactions, by their numbers in `train`."""
        trained = self.trained.rows()
        numbers = np.flatnonzero(trained) if trained.dtype == bool else trained
        return replace(self, trained=TrainRows(numbers[rows]))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle only the fields. Workers derive the rest again: with text ids, it is the larger part."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
