"""Folds: the data is split once, and all trials share the folds.

The newest folds are the holdout. They are removed before anything else reads the data. So the search cannot
use information of the holdout: the counts for `min_user_interactions` do not include it, and an item that
occurs only in the holdout is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import LastNSplitter, RandomSplitter, Splitter, TimeRangeSplitter

from tuner.config import Data, Folds
from tuner.data.own_splitter import own_splits, own_splitter, rows_before_holdout
from tuner.data.plausible import refuse_short_data
from tuner.data.source import Source, deduplicated, make_dataset, with_minimal_counts
from tuner.errors import DataError, Problem

AnyIds = NDArray[Any]
Rows = NDArray[np.int64]

__all__ = [
    "Fold",
    "before_holdout",
    "development_dataset",
    "holdout_fold",
    "make_folds",
    "make_splitter",
    "search_folds",
]

#: Name of a column that numbers rows for a while.
_ROW = "__row__"


@dataclass(frozen=True)
class Fold:
    """One fold, ready for a model.

    Attributes
    ----------
    index
        Position among the folds, oldest first, from 0.
    train
        Dataset on which the model is fitted.
    test
        Test interactions with external ids, as `rectools.metrics` expects them.
    users
        External ids of the test users, each once, in order of appearance. Shape (n_users,).
    facts
        Numbers of rows, users and items, and the period, for people.
    reference
        Recommendations of the reference model; None if no metric needs them.
    items
        External ids of the items that may be recommended; None for all.
    """

    index: int
    train: Dataset
    test: pd.DataFrame
    users: AnyIds
    facts: dict[str, object]
    reference: pd.DataFrame | None = None
    items: AnyIds | None = None

    @cached_property
    def seen(self) -> pd.DataFrame:
        """Train interactions with external ids. Metrics take them as `prev_interactions`."""
        return self.train.get_raw_interactions()

    @cached_property
    def catalog(self) -> AnyIds:
        """External ids of the items of the train interactions, each once. Shape (n_items,)."""
        catalog: AnyIds = self.seen[Columns.Item].unique()
        return catalog

    def __getstate__(self) -> dict[str, Any]:
        """Pickle only the fields. Workers derive the rest again: with text ids, it is the larger part."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def make_splitter(folds: Folds, *, n_splits: int | None = None, size: str | float | None = None) -> Splitter:
    """Return the RecTools splitter of a study.

    Parameters
    ----------
    folds
        The section `folds` of the study.
    n_splits, size
        Number of splits and size of one, instead of the values in `folds`.
    """
    if folds.splitter is not None:
        return own_splitter(folds)
    n_splits = folds.n_folds if n_splits is None else n_splits
    size = folds.size if size is None else size
    filters = {
        "filter_cold_users": folds.filter_cold_users,
        "filter_cold_items": folds.filter_cold_items,
        "filter_already_seen": folds.filter_viewed,
    }
    if folds.split == "time_range":
        return TimeRangeSplitter(str(size), n_splits, **filters)
    if folds.split == "last_n":
        return LastNSplitter(int(size), n_splits, **filters)
    return RandomSplitter(float(size), n_splits, random_state=folds.seed, **filters)


def split_holdout(interactions: pd.DataFrame, folds: Folds) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split interactions into those that the search may use, and the holdout: the newest `holdout` folds."""
    if folds.holdout == 0:
        return interactions, interactions.iloc[:0]
    if folds.splitter is not None:
        return _split_by_own(interactions, folds)
    if folds.split == "random":
        size = float(folds.size) * folds.holdout
        _check_random(folds.model_copy(update={"n_folds": 1}), len(interactions), size)
        splitter = make_splitter(folds, n_splits=1, size=size)
    else:
        splitter = make_splitter(folds, n_splits=folds.holdout)
    rows = Dataset.construct(interactions).interactions
    train, _, _ = next(iter(splitter._split_without_filter(rows)))  # noqa: SLF001  # the public `split` also applies filters
    before = np.zeros(len(interactions), dtype=bool)
    before[train] = True
    return interactions[before], interactions[~before]


def _split_by_own(interactions: pd.DataFrame, folds: Folds) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split by the study's own splitter: what its holdout is trained on, and what it is tested on."""
    splits = own_splits(interactions, folds)
    after = np.zeros(len(interactions), dtype=bool)
    after[np.concatenate([test for _, test, _ in splits[folds.n_folds :]])] = True
    before = rows_before_holdout(splits, len(interactions), folds)
    return interactions[before], interactions[after & ~before]


def before_holdout(interactions: pd.DataFrame, folds: Folds) -> pd.DataFrame:
    """Return the interactions that the search may use: all but the newest `holdout` folds."""
    return split_holdout(interactions, folds)[0]


def development_dataset(source: Source, data: Data, folds: Folds) -> Dataset:
    """Return everything before the holdout as a RecTools dataset.

    Raises
    ------
    DataError
        If holdout and folds leave nothing to train on.
    """
    refuse_short_data(source.interactions if source.raw is None else source.raw, data, folds)
    return make_dataset(_both_sides(source, data, folds)[0], source.item_features, data, source.user_features)


def search_folds(source: Source, data: Data, folds: Folds) -> list[Fold]:
    """Return the folds of the search: everything before the holdout, split.

    Raises
    ------
    DataError
        If holdout and folds leave nothing to train on, or a fold is empty.
    """
    dataset = development_dataset(source, data, folds)
    if folds.splitter is None:
        return make_folds(dataset, folds)
    interactions = source.interactions if source.raw is None else source.raw
    splits = own_splits(interactions, folds)
    # The splitter has seen all rows, also those that policies then drop: find the rows of the dataset.
    numbered = interactions.assign(**{_ROW: np.arange(len(interactions))})
    numbered = numbered[rows_before_holdout(splits, len(numbered), folds)]
    kept = with_minimal_counts(deduplicated(numbered, data.duplicates), data)[_ROW].to_numpy()
    places = np.full(len(interactions), -1)
    places[kept] = np.arange(len(kept))
    splitter = own_splitter(folds)
    made: list[Fold] = []
    for index, (train, test, facts) in enumerate(splits[: folds.n_folds]):
        train_rows, test_rows = (places[rows][places[rows] >= 0] for rows in (train, test))
        filtered = splitter.filter(dataset.interactions, True, train_rows, test_rows, facts)
        if not len(filtered[0]) or not len(filtered[1]):
            rule = (
                f"must have train and test interactions, but the filters leave none of {len(test):,} to test"
            )
            hint = "yield larger folds, or keep cold users and items (filter_cold_users: false)"
            raise DataError("folds", [Problem(f"folds, fold {index + 1}", rule, hint)])
        made.append(_fold(dataset, index, *filtered))
    return made


def _both_sides(source: Source, data: Data, folds: Folds) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the interactions before the holdout, and those of the holdout.

    The duplicates policy is applied to each side, so that the first does not depend on the second.
    """
    if source.raw is None:
        return split_holdout(source.interactions, folds)
    before, after = split_holdout(source.raw, folds)
    return deduplicated(before, data.duplicates), deduplicated(after, data.duplicates)


def holdout_fold(source: Source, data: Data, folds: Folds) -> Fold:
    """Return the fold of the final judgement: trained before the holdout, tested on the holdout.

    The holdout is one test part, even if it consists of several folds. Its interactions are filtered as in
    other folds. The minimal counts apply to the interactions before the holdout: an item with too few of them
    is cold.

    Raises
    ------
    DataError
        If there is no holdout, or the filters leave no interactions in it.
    """
    if folds.holdout == 0:
        rule = "must be at least 1 for a final judgement, but got 0: the search has used all interactions"
        hint = "begin a study under another name with `holdout: 1`"
        raise DataError("folds", [Problem("folds.holdout", rule, hint)])
    before, after = _both_sides(source, data, folds)
    train = make_dataset(before, source.item_features, data, source.user_features)
    seen = train.get_raw_interactions()
    both = Dataset.construct(pd.concat([seen, after], ignore_index=True)).interactions
    rows = np.arange(len(both.df))
    _, test, facts = make_splitter(folds).filter(
        both, collect_fold_stats=True, train_idx=rows[: len(seen)], test_idx=rows[len(seen) :], split_info={}
    )
    if len(test) == 0:
        rule = (
            f"must have interactions to test on, but the filters leave none of {len(after):,}: their users "
            "or items have no train interactions, or they repeat items that the user has seen"
        )
        raise DataError("folds", [Problem("folds, holdout", rule)])
    frame = after.iloc[test - len(seen)].copy()
    days = after[Columns.Datetime]
    facts |= {"start": days.min(), "end": days.max()}
    return Fold(folds.n_folds, train, frame, frame[Columns.User].unique(), dict(_plain_facts(facts)))


def make_folds(dataset: Dataset, folds: Folds) -> list[Fold]:
    """Split a dataset into folds, as `rectools.model_selection.cross_validate` does.

    Raises
    ------
    DataError
        If a fold has no train or test interactions. The error says which filters removed them.
    """
    size: str | float = folds.size
    if folds.split == "random":  # `size` is a share of all data, which is a larger share of the data here
        size = float(size) / (1 - float(size) * folds.holdout)
    splitter = make_splitter(folds, size=size)
    problems: list[Problem] = []
    made: list[Fold] = []
    _check_random(folds, len(dataset.interactions.df), float(size) if folds.split == "random" else 1)
    for index, (train, test, facts) in enumerate(
        splitter.split(dataset.interactions, collect_fold_stats=True)
    ):
        if len(test) == 0 or len(train) == 0:
            problems.append(_empty_fold(splitter, dataset, index))
        else:
            made.append(_fold(dataset, index, train, test, facts))
    if problems:
        raise DataError("folds", problems)
    return made


def _check_random(folds: Folds, n_rows: int, share: float) -> None:
    """Refuse a random split in which a fold has no test interactions, or no train interactions remain."""
    size = round(share * n_rows)
    if folds.split == "random" and not (size >= 1 and size * folds.n_folds < n_rows):
        rule = (
            f"must leave each of {folds.n_folds} random folds interactions to test and to train on, "
            f"but {n_rows:,} are split with size {folds.size}"
        )
        raise DataError("folds", [Problem("folds.size", rule)])


def _fold(dataset: Dataset, index: int, train: Rows, test: Rows, facts: dict[str, object]) -> Fold:
    train_dataset = dataset.filter_interactions(
        row_indexes_to_keep=train, keep_external_ids=True, keep_features_for_removed_entities=True
    )
    frame = dataset.interactions.df.loc[test].copy()
    frame[Columns.User] = dataset.user_id_map.convert_to_external(frame[Columns.User].to_numpy())
    frame[Columns.Item] = dataset.item_id_map.convert_to_external(frame[Columns.Item].to_numpy())
    return Fold(
        index=index,
        train=train_dataset,
        test=frame,
        users=frame[Columns.User].unique(),
        facts=dict(_plain_facts(facts)),
    )


def _plain_facts(facts: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in facts.items():
        if isinstance(value, pd.Timestamp):
            yield key, value.isoformat()
        elif key != "i_split":
            yield key, int(value) if isinstance(value, np.integer) else value


def _empty_fold(splitter: Splitter, dataset: Dataset, index: int) -> Problem:
    """Return the problem of a fold without test interactions: how many the filters removed, and which."""
    unfiltered = list(splitter._split_without_filter(dataset.interactions))  # noqa: SLF001  # the same split without filters
    train, test, facts = unfiltered[index]
    frame = dataset.interactions.df
    train_rows, test_rows = frame.iloc[train], frame.iloc[test]
    window = f" ({facts['start']:%Y-%m-%d} to {facts['end']:%Y-%m-%d})" if "start" in facts else ""
    cold_users = int((~test_rows[Columns.User].isin(train_rows[Columns.User])).sum())
    cold_items = int((~test_rows[Columns.Item].isin(train_rows[Columns.Item])).sum())
    rule = (
        f"must have train and test interactions, but of {len(train):,} train and {len(test):,} test "
        f"interactions none are left to test: {cold_users:,} have a user and {cold_items:,} have an item "
        "without train interactions, and the others repeat items that the user has seen"
    )
    hint = "use a larger size or fewer folds, or keep cold users and items (filter_cold_users: false)"
    return Problem(f"folds, fold {index + 1}{window}", rule, hint)
