"""Folds: the data is split once, and all trials share the folds.

The newest folds are the holdout. They are removed before anything else reads the data. So the search cannot
use information of the holdout: the counts for `min_user_interactions` do not include it, and an item that
occurs only in the holdout is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools.dataset import Dataset
from rectools.model_selection import LastNSplitter, RandomSplitter, Splitter, TimeRangeSplitter

from tuner.config import Data, Folds
from tuner.data.fold import Fold, TrainRows
from tuner.data.own_splitter import own_splits, own_splitter, rows_before_holdout, tested_last
from tuner.data.plausible import refuse_short_data
from tuner.data.reading import Coded, kept, present
from tuner.data.source import Source, counted, make_table
from tuner.data.splitting import Split, last_parts, left_by_filters, split_by_parts, time_parts
from tuner.data.table import Table, internal
from tuner.errors import DataError, Problem

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

__all__ = [
    "Fold",
    "before_holdout",
    "development",
    "development_dataset",
    "holdout_fold",
    "make_folds",
    "make_splitter",
    "search_folds",
]

#: Name of a column that numbers rows for a while.
_ROW = "__row__"


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


def _before_holdout(rows: Coded, folds: Folds) -> Mask:
    """Mark the interactions that the search may use: all but the newest `holdout` folds."""
    if folds.holdout == 0:
        return np.ones(len(rows), dtype=bool)
    if folds.splitter is not None:
        return rows_before_holdout(own_splits(rows, folds), len(rows), folds)
    if folds.split == "random":
        size = float(folds.size) * folds.holdout
        _check_random(folds.model_copy(update={"n_folds": 1}), len(rows), size)
        splitter = make_splitter(folds, n_splits=1, size=size)
        train, _, _ = next(iter(splitter._split_without_filter(internal(rows))))  # noqa: SLF001  # the public `split` also applies filters
        before = np.zeros(len(rows), dtype=bool)
        before[train] = True
        return before
    return _parts(rows, make_splitter(folds, n_splits=folds.holdout))[0] < 0


def _parts(rows: Coded, splitter: Splitter) -> tuple[NDArray[Any], list[Any]]:
    """Return the fold that tests each row, negative for none, and the borders of folds by time."""
    if isinstance(splitter, TimeRangeSplitter):
        return time_parts(rows.times, splitter)
    assert isinstance(splitter, LastNSplitter), "random folds are split by RecTools"
    return last_parts(rows, splitter.n, splitter.n_splits), []


def before_holdout(interactions: pd.DataFrame, folds: Folds) -> pd.DataFrame:
    """Return the interactions that the search may use: all but the newest `holdout` folds."""
    return interactions[_before_holdout(Coded.of(interactions), folds)]


def development(source: Source, data: Data, folds: Folds) -> Table:
    """Return everything before the holdout, ready to be split.

    Raises
    ------
    DataError
        If holdout and folds leave nothing to train on.
    """
    refuse_short_data(source.coded if source.raw is None else source.raw, data, folds)
    return make_table(_both_sides(source, data, folds)[0], source.item_features, data, source.user_features)


def development_dataset(source: Source, data: Data, folds: Folds) -> Dataset:
    """Return everything before the holdout as a RecTools dataset; see `development`."""
    return development(source, data, folds).dataset()


def search_folds(source: Source, data: Data, folds: Folds) -> list[Fold]:
    """Return the folds of the search: everything before the holdout, split.

    Raises
    ------
    DataError
        If holdout and folds leave nothing to train on, or a fold is empty.
    """
    table = development(source, data, folds)
    if folds.splitter is None:
        return make_folds(table, folds)
    # The splitter has seen all rows, also those that policies then drop: find the rows of the table.
    rows = source.coded if source.raw is None else Coded.of(source.raw)
    splits = own_splits(rows, folds)
    numbered_rows = replace(rows, extras={_ROW: np.arange(len(rows))})
    before = numbered_rows.take(rows_before_holdout(splits, len(rows), folds))
    left = counted(before if source.raw is None else _deduplicated(before, data.duplicates), data)
    places = np.full(len(rows), -1)
    places[left.extras[_ROW]] = np.arange(len(left))
    splitter, whole = own_splitter(folds), internal(table.rows)
    made: list[Fold] = []
    for index, (train, test, info) in enumerate(splits[: folds.n_folds]):
        train_rows, test_rows = (places[part][places[part] >= 0] for part in (train, test))
        trained, tested, facts = splitter.filter(
            whole, True, train_rows, test_rows, info
        )  # RecTools' signature
        if not len(trained) or not len(tested):
            rule = (
                f"must have train and test interactions, but the filters leave none of {len(test):,} to test"
            )
            hint = "yield larger folds, or keep cold users and items (filter_cold_users: false)"
            raise DataError("folds", [Problem(f"folds, fold {index + 1}", rule, hint)])
        rows_of_fold = TrainRows(trained.astype(np.int32))
        made.append(
            Fold(index, table, rows_of_fold, table.rows.take(tested), tested, dict(_plain_facts(facts)))
        )
    return made


def _both_sides(source: Source, data: Data, folds: Folds) -> tuple[Coded, Coded, Rows]:
    """Return the interactions before the holdout, those of the holdout, and the labels of the latter.

    The duplicates policy is applied to each side, so that the first does not depend on the second.
    """
    rows = source.coded if source.raw is None else Coded.of(source.raw)
    mask = _before_holdout(rows, folds)
    held = ~mask if folds.splitter is None else tested_last(own_splits(rows, folds), len(rows), folds)
    if source.raw is None:
        return _taken(rows, mask), rows.take(held), np.flatnonzero(held)
    before, after = (_deduplicated(rows.take(side), data.duplicates) for side in (mask, held))
    return before, after, np.arange(len(after))


def _taken(rows: Coded, mask: Mask) -> Coded:
    return rows if mask.all() else rows.take(mask)


def _deduplicated(rows: Coded, policy: str) -> Coded:
    mask = kept(rows, policy)
    return rows if mask is None else rows.take(mask)


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
    before, after, labels = _both_sides(source, data, folds)
    table = make_table(before, source.item_features, data, source.user_features)
    trained = counted(before, data)  # the table's items have other numbers if there are features
    test = np.flatnonzero(left_by_filters(after, trained, folds))
    if len(test) == 0:
        rule = (
            f"must have interactions to test on, but the filters leave none of {len(after):,}: their users "
            "or items have no train interactions, or they repeat items that the user has seen"
        )
        raise DataError("folds", [Problem("folds, holdout", rule)])
    tested = after.take(test)
    days = pd.Series(after.times)
    facts = {**_facts(trained, tested), "start": days.min(), "end": days.max()}
    every = TrainRows(np.full(len(table), -1, dtype=np.int8), before=0)
    return Fold(folds.n_folds, table, every, tested, labels[test], dict(_plain_facts(facts)))


def make_folds(table: Table | Dataset, folds: Folds) -> list[Fold]:
    """Split interactions into folds, as `rectools.model_selection.cross_validate` does.

    Raises
    ------
    DataError
        If a fold has no train or test interactions. The error says which filters removed them.
    """
    table = Table.of(table) if isinstance(table, Dataset) else table
    size: str | float = folds.size
    if folds.split == "random":  # `size` is a share of all data, which is a larger share of the data here
        size = float(size) / (1 - float(size) * folds.holdout)
    splitter = make_splitter(folds, size=size)
    _check_random(folds, len(table), float(size) if folds.split == "random" else 1)
    problems: list[Problem] = []
    made: list[Fold] = []
    by_splitter = isinstance(splitter, RandomSplitter)
    for index, (split, trained) in enumerate(
        _by_splitter(table, splitter) if by_splitter else _by_parts(table, splitter, folds)
    ):
        if split.facts["train"] == 0 or len(split.test) == 0:
            problems.append(_empty_fold(split, index))
        else:
            tested = table.rows.take(split.test)
            facts = dict(_plain_facts(split.facts))
            made.append(Fold(index, table, trained, tested, split.test, facts))
    if problems:
        raise DataError("folds", problems)
    return made


def _by_parts(table: Table, splitter: Splitter, folds: Folds) -> Iterator[tuple[Split, TrainRows]]:
    parts, borders = _parts(table.rows, splitter)
    for index, split in enumerate(split_by_parts(table.rows, parts, folds)):
        if borders:
            split.facts.update(zip(("start", "end"), borders[index], strict=True))
        yield split, TrainRows(parts, before=index)


def _by_splitter(table: Table, splitter: Splitter) -> Iterator[tuple[Split, TrainRows]]:
    """Yield the folds of a splitter whose train rows are not those of the folds before."""
    rows = internal(table.rows)
    for train, unfiltered, info in splitter._split_without_filter(rows):  # noqa: SLF001  # an empty fold tells what the filters removed
        _, test, facts = splitter.filter(rows, True, train, unfiltered, info)  # RecTools' signature
        trained, tested = table.rows.take(train), table.rows.take(unfiltered)
        yield (
            Split(
                test,
                facts,
                len(unfiltered),
                int((~present(trained.users, len(trained.user_ids))[tested.users]).sum()),
                int((~present(trained.items, len(trained.item_ids))[tested.items]).sum()),
            ),
            TrainRows(train.astype(np.int32)),
        )


def _check_random(folds: Folds, n_rows: int, share: float) -> None:
    """Refuse a random split in which a fold has no test interactions, or no train interactions remain."""
    size = round(share * n_rows)
    if folds.split == "random" and not (size >= 1 and size * folds.n_folds < n_rows):
        rule = (
            f"must leave each of {folds.n_folds} random folds interactions to test and to train on, "
            f"but {n_rows:,} are split with size {folds.size}"
        )
        raise DataError("folds", [Problem("folds.size", rule)])


def _facts(trained: Coded, tested: Coded) -> dict[str, object]:
    """Return the numbers of rows, users and items."""
    return {
        f"{name}{what}": number
        for name, rows in (("train", trained), ("test", tested))
        for what, number in (
            ("", len(rows)),
            ("_users", rows.n_users),
            ("_items", rows.n_items),
        )
    }


def _plain_facts(facts: dict[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in facts.items():
        if isinstance(value, pd.Timestamp):
            yield key, value.isoformat()
        elif key != "i_split":
            yield key, int(value) if isinstance(value, np.integer) else value


def _empty_fold(split: Split, index: int) -> Problem:
    """Return the problem of a fold without test interactions: how many the filters removed, and which."""
    facts = split.facts
    window = f" ({facts['start']:%Y-%m-%d} to {facts['end']:%Y-%m-%d})" if "start" in facts else ""
    rule = (
        f"must have train and test interactions, but of {facts['train']:,} train and "
        f"{split.unfiltered:,} test interactions none are left to test: {split.cold_users:,} have a user "
        f"and {split.cold_items:,} have an item without train interactions, and the others repeat items "
        "that the user has seen"
    )
    hint = "use a larger size or fewer folds, or keep cold users and items (filter_cold_users: false)"
    return Problem(f"folds, fold {index + 1}{window}", rule, hint)
