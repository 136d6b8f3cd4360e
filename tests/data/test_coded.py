"""Interactions as numbers: equal to what pandas and RecTools make of the same rows."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from rectools.dataset import Dataset

from tuner.config import Data, Folds
from tuner.data.features import Features
from tuner.data.folds import make_folds, make_splitter
from tuner.data.reading import (
    Coded,
    by_appearance,
    deduplicated,
    enough_interactions,
    equal_later,
    event_hashes,
    repeated,
    row_hashes,
)
from tuner.data.source import load_source, make_table
from tuner.data.table import Table

pytestmark = pytest.mark.filterwarnings("ignore")

DATA = Data(interactions="shop.csv")


def shop(seed: int, *, text: bool = False, n_rows: int = 400) -> pd.DataFrame:
    """Make interactions of which many are at one time, and some are repeated."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 40, n_rows) * 7,
            "item_id": rng.integers(-9, 20, n_rows),
            "datetime": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 60, n_rows), "D"),
            "weight": rng.choice([1.0, 2.5], n_rows),
        }
    )
    return frame.astype({"user_id": str, "item_id": str}) if text else frame


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_hashes_of_rows_are_those_of_pandas(text: bool, weighted: bool) -> None:
    frame = shop(1, text=text, n_rows=70_000)  # more than are hashed at once
    frame = frame if weighted else frame.assign(weight=1.0)
    rows = Coded.of(frame)
    assert (rows.weights is None) != weighted
    found = np.concatenate(list(row_hashes(rows, event_hashes(rows))))
    assert np.array_equal(found, pd.util.hash_pandas_object(frame, index=False).to_numpy())
    assert_frame_equal(rows.frame(), frame)


def test_repeated_rows_are_those_of_pandas_also_where_hashes_collide() -> None:
    frame = shop(2, n_rows=3000)
    rows = Coded.of(frame)
    expected = frame.duplicated(["user_id", "item_id", "datetime"]).to_numpy()
    assert 0 < expected.sum() < len(frame)
    assert np.array_equal(repeated(rows), expected)
    assert np.array_equal(repeated(rows, np.zeros(len(rows), dtype=np.uint64)), expected)
    assert not repeated(rows.take(~expected)).any()


def last_of(keys: Any) -> Any:
    """Return for each number the place of the last one that is equal, by `equal_later`."""
    found = np.arange(len(keys))
    earlier, last = equal_later(keys)
    assert len(np.unique(earlier)) == len(earlier)
    found[earlier] = last
    return found


@settings(deadline=None)
@given(st.lists(st.integers(-3, 40), max_size=200), st.sampled_from([1, 2**40]))
def test_each_number_finds_the_last_that_is_equal(numbers: list[int], factor: int) -> None:
    keys = np.array(numbers, dtype=np.int64) * factor
    assert last_of(keys).tolist() == [max(np.flatnonzero(keys == key)) for key in keys]


@pytest.mark.parametrize(
    ("n_keys", "highest"),
    [(200_000, 60_000), (1_200_000, 400_000), (600_000, 2**60), (300_000, 1)],
    ids=["two blocks", "several groups", "nearly none twice", "all equal"],
)
def test_many_numbers_share_a_hash_and_find_their_own(n_keys: int, highest: int) -> None:
    keys = np.random.default_rng(5).integers(0, highest, n_keys)
    keys[-1] = keys[0]
    last = pd.Series(np.arange(n_keys)).groupby(keys).transform("max")
    assert np.array_equal(last_of(keys), last)


@pytest.mark.parametrize("keep", ["first", "last"])
def test_one_row_of_each_user_and_item_is_that_of_pandas(keep: Any) -> None:
    frame = shop(3)
    in_time = frame.sort_values("datetime", kind="stable").drop_duplicates(["user_id", "item_id"], keep=keep)
    expected = frame.loc[in_time.index.sort_values()].reset_index(drop=True)
    assert_frame_equal(deduplicated(frame, f"keep_{keep}"), expected)


def test_minimal_counts_keep_the_labels_of_rows() -> None:
    frame = shop(4)
    counts = frame["item_id"].map(frame["item_id"].value_counts())
    assert_frame_equal(enough_interactions(frame, "item_id", 15), frame[counts >= 15])


def test_ids_are_numbered_as_they_appear() -> None:
    codes = np.random.default_rng(5).integers(0, 5000, 200_000).astype(np.int32) * 2
    assert np.array_equal(by_appearance(codes, 10_001), pd.unique(codes))
    assert by_appearance(codes[:0], 3).tolist() == []


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_of_every_size_are_ids(kind: type[np.integer[Any]]) -> None:
    """Those close together and those far apart, the smallest and the largest among them."""
    limits = np.iinfo(kind)
    for values in ([limits.min, limits.max, limits.min], [limits.max - 3, limits.max - 1, limits.max]):
        table = {"user_id": np.array(values, kind), "item_id": [1, 2, 3], "datetime": ["2024-01-01"] * 3}
        source = load_source(Data(interactions=pd.DataFrame(table)))
        assert source.interactions["user_id"].astype(str).tolist() == [str(value) for value in values]


@pytest.mark.parametrize("how", ["mask", "order"])
def test_a_part_of_a_table_is_that_of_a_dataset(how: str) -> None:
    frame = shop(6, text=True)
    items = [*frame["item_id"].unique()[::-1], "unknown"]
    features = pd.DataFrame(
        {"id": items, "feature": "kind", "value": [f"v{n % 3}" for n in range(len(items))]}
    )
    table = make_table(Coded.of(frame), Features(features), DATA)
    rng = np.random.default_rng(6)
    rows = rng.permutation(len(frame))[:150]
    mask = np.zeros(len(frame), dtype=bool)
    mask[rows] = True
    whole = Dataset.construct(
        frame, item_features_df=features[features["id"] != "unknown"], cat_item_features=["kind"]
    )
    expected = whole.filter_interactions(np.flatnonzero(mask) if how == "mask" else rows)
    part = table.part(mask if how == "mask" else rows)
    assert_frame_equal(part.interactions.df, expected.interactions.df)
    assert_frame_equal(part.get_raw_interactions(), expected.get_raw_interactions())
    assert part.item_id_map.external_ids.tolist() == expected.item_id_map.external_ids.tolist()
    assert part.item_features is not None
    assert np.array_equal(
        part.item_features.get_sparse().toarray(), expected.item_features.get_sparse().toarray()
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "split",
    [
        {"split": "time_range", "size": "5D", "n_folds": 4},
        {"split": "last_n", "size": 2, "n_folds": 3},
        {"split": "last_n", "size": 1, "n_folds": 12},
    ],
)
def test_rows_of_folds_are_those_of_rectools_splitters(split: dict[str, Any], seed: int) -> None:
    """With every filter on or off, for users and items that are new, and rows at one time."""
    rng = np.random.default_rng(seed)
    names = ("filter_cold_users", "filter_cold_items", "filter_viewed")
    filters = dict(zip(names, (rng.random(3) < 0.5).tolist(), strict=True))
    section = Folds(**split, holdout=0, **filters)
    dataset = Dataset.construct(shop(seed, n_rows=1500).assign(weight=np.arange(1500.0)))
    folds = make_folds(dataset, section)
    expected = list(make_splitter(section).split(dataset.interactions, collect_fold_stats=True))
    for fold, (train, test, facts) in zip(folds, expected, strict=True):
        assert fold.train.interactions.df["weight"].tolist() == train.tolist()
        assert fold.test["weight"].tolist() == test.tolist() == fold.test.index.tolist()
        counts = {key: value for key, value in fold.facts.items() if key not in {"start", "end"}}
        assert counts == {key: facts[key] for key in counts}
        assert len(counts) == 6


def test_folds_share_one_table_with_four_bytes_an_item() -> None:
    frame = shop(8, n_rows=20_000).assign(weight=1.0)
    section = Folds(split="last_n", size=1, n_folds=40, holdout=0, filter_viewed=False)
    folds = make_folds(Table.of(Dataset.construct(frame)), section)
    arrived = pickle.loads(pickle.dumps(folds, protocol=5))
    assert arrived[0].table is arrived[-1].table
    assert arrived[0].table.rows.items.dtype == np.int32
    assert arrived[0].table.rows.weights is None
    # User, item and time are 16 bytes, the fold of a row 2; each row is tested once at most.
    assert len(pickle.dumps(folds, protocol=5)) < 30 * len(frame)
    assert_frame_equal(arrived[7].seen, folds[7].train.get_raw_interactions())
    assert arrived[7].catalog.tolist() == folds[7].catalog.tolist()
    assert folds[7].train.item_id_map.external_ids.tolist() == folds[7].catalog.tolist()


def test_a_fold_of_some_users_has_their_test_rows_and_the_same_train_dataset() -> None:
    fold = make_folds(Dataset.construct(shop(9)), Folds(split="last_n", size=2, n_folds=1, holdout=0))[0]
    few = fold.of_users(fold.users[3:6])
    assert few.users.tolist() == fold.users[3:6].tolist()
    assert few.train is fold.train
    assert_frame_equal(few.test, fold.test[fold.test["user_id"].isin(few.users)])
    small = fold.trained_on(np.array([1, 5, 7]))
    assert_frame_equal(small.seen, fold.seen.iloc[[1, 5, 7]].reset_index(drop=True))
