"""Folds: RecTools' own, without a trace of the holdout."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import LastNSplitter, RandomSplitter, Splitter, TimeRangeSplitter

from tuner.config import Data, Folds, Metric
from tuner.data.features import Features
from tuner.data.folds import (
    Fold,
    before_holdout,
    development_dataset,
    holdout_fold,
    make_folds,
    make_splitter,
)
from tuner.data.plausible import catalogue_warnings, holdout_warnings, refuse_one_item
from tuner.data.reading import Coded, deduplicated
from tuner.data.source import Source
from tuner.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

DATA = Data(interactions="shop.csv")
COUNTED = Data(interactions="shop.csv", min_user_interactions=5, min_item_interactions=2)
OPEN = {"filter_viewed": False, "filter_cold_users": False, "filter_cold_items": False}

SECTIONS = {
    "time_range": Folds(split="time_range", size="7D", n_folds=3, holdout=1),
    "time_range_hours": Folds(split="time_range", size="36H", n_folds=2, holdout=2, filter_viewed=False),
    "last_n": Folds(split="last_n", size=1, n_folds=2, holdout=1),
    "last_n_open": Folds(split="last_n", size=2, n_folds=1, holdout=2, **OPEN),
    "random": Folds(split="random", size=0.15, n_folds=3, holdout=1),
    "random_open": Folds(split="random", size=0.1, n_folds=2, holdout=3, seed=4, **OPEN),
}


@pytest.fixture(scope="module")
def shop(interactions: pd.DataFrame) -> pd.DataFrame:
    """The shop's interactions; the weight is the number of the row, so that rows can be followed."""
    return interactions.assign(weight=np.arange(len(interactions), dtype=float))


@pytest.fixture(params=SECTIONS)
def section(request: pytest.FixtureRequest) -> Folds:
    return SECTIONS[request.param]


def folds_of(
    shop: pd.DataFrame, section: Folds, data: Data = DATA, features: pd.DataFrame | None = None
) -> list[Fold]:
    return make_folds(
        development_dataset(
            Source(shop, None if features is None else Features(features), "", 0, 0), data, section
        ),
        section,
    )


def held_out(shop: pd.DataFrame, section: Folds) -> np.ndarray:
    """Mark the rows of the holdout, by the definition of each split."""
    if section.split == "time_range":
        unit = section.size[-1].lower()
        end = shop["datetime"].max().floor(unit) + pd.Timedelta(1, unit)
        start = end - section.holdout * pd.Timedelta(int(section.size[:-1]), unit)
        return (shop["datetime"] >= start).to_numpy()
    if section.split == "last_n":
        in_time = shop.sort_values("datetime", kind="stable")
        newest = in_time.groupby("user_id").tail(section.size * section.holdout)
        return shop.index.isin(newest.index)
    n_held = round(len(shop) * section.size * section.holdout)
    rows = np.random.default_rng(section.seed).permutation(len(shop))[:n_held]
    return np.isin(np.arange(len(shop)), rows)


def rows_of(frame: pd.DataFrame) -> list[int]:
    return frame[Columns.Weight].astype(int).tolist()


# ####  --------------  The holdout  --------------  #### #


def test_nothing_of_the_holdout_is_in_a_fold(shop: pd.DataFrame, section: Folds) -> None:
    held = held_out(shop, section)
    assert 0.05 < held.mean() < 0.5
    known_before = set(shop.loc[~held, "item_id"])
    held_rows = set(rows_of(shop[held]))
    assert set(rows_of(before_holdout(shop, section))) == set(rows_of(shop)) - held_rows
    folds = folds_of(shop, section)
    assert len(folds) == section.n_folds
    for fold in folds:
        assert held_rows.isdisjoint(rows_of(fold.train.get_raw_interactions()))
        assert held_rows.isdisjoint(rows_of(fold.test))
        assert held_rows.isdisjoint(rows_of(fold.seen))
        assert known_before.issuperset(fold.catalog)
        assert known_before.issuperset(fold.train.item_id_map.external_ids)
        if section.split == "time_range":
            newest = max(fold.test["datetime"].max(), fold.seen["datetime"].max())
            assert newest < shop.loc[held, "datetime"].min()


def poisoned(shop: pd.DataFrame, section: Folds) -> pd.DataFrame:
    """Replace all that the holdout says, as far as it does not decide what the holdout is."""
    held = held_out(shop, section)
    rng = np.random.default_rng(99)
    other = shop.copy()
    other.loc[held, "item_id"] = rng.choice([*shop["item_id"].unique()[:9], 7777, 8888], held.sum())
    other.loc[held, "weight"] = rng.random(held.sum()) * 1e6
    if section.split != "last_n":  # there, whose an interaction is decides which are the last
        other.loc[held, "user_id"] = rng.choice([*shop["user_id"].unique()[:9], 5555], held.sum())
    if section.split == "random":
        other.loc[held, "datetime"] += pd.Timedelta(days=1000)
    return other


def assert_same_folds(folds: list[Fold], others: list[Fold]) -> None:
    assert len(folds) == len(others)
    for fold, other in zip(folds, others, strict=True):
        assert fold.index == other.index
        assert fold.facts == other.facts
        assert fold.users.tolist() == other.users.tolist()
        assert fold.catalog.tolist() == other.catalog.tolist()
        assert_frame_equal(fold.test, other.test)
        assert_frame_equal(fold.seen, other.seen)
        assert_frame_equal(fold.train.interactions.df, other.train.interactions.df)
        for name in ("user_id_map", "item_id_map"):
            ids, other_ids = (getattr(some.train, name).external_ids for some in (fold, other))
            assert ids.tolist() == other_ids.tolist()
        features, other_features = fold.train.item_features, other.train.item_features
        assert features.names == other_features.names
        assert np.array_equal(features.get_sparse().toarray(), other_features.get_sparse().toarray())


@pytest.mark.parametrize("data", [DATA, COUNTED], ids=["all", "counted"])
def test_whatever_the_holdout_says_folds_are_the_same(
    data: Data, shop: pd.DataFrame, item_features: pd.DataFrame, section: Folds
) -> None:
    poison = poisoned(shop, section)
    assert (poison["item_id"] != shop["item_id"]).any()
    strange = pd.DataFrame({"id": [7777, 8888], "feature": ["genre", "new"], "value": ["strange", "x"]})
    more_features = pd.concat([item_features, strange], ignore_index=True)
    assert_same_folds(
        folds_of(shop, section, data, item_features), folds_of(poison, section, data, more_features)
    )


@pytest.mark.parametrize("policy", ["keep_first", "keep_last"])
def test_the_holdout_decides_no_row_that_is_kept_before_it(
    policy: str, shop: pd.DataFrame, section: Folds
) -> None:
    data = DATA.model_copy(update={"duplicates": policy})

    def development(frame: pd.DataFrame) -> pd.DataFrame:
        source = Source(deduplicated(frame, policy), None, "", 0, 0, frame)
        return development_dataset(source, data, section).get_raw_interactions()

    before = development(shop)
    assert len(before) == len(shop[~held_out(shop, section)].drop_duplicates(["user_id", "item_id"]))
    assert_frame_equal(before, development(poisoned(shop, section)))


# ####  --------------  The fold of the final judgement  --------------  #### #


def final_fold(shop: pd.DataFrame, section: Folds, data: Data = DATA) -> Fold:
    return holdout_fold(Source(shop, None, "", 0, 0), data, section)


@pytest.mark.parametrize("data", [DATA, COUNTED], ids=["all", "counted"])
def test_the_final_fold_is_trained_on_all_before_the_holdout(
    data: Data, shop: pd.DataFrame, section: Folds
) -> None:
    fold = final_fold(shop, section, data)
    development = development_dataset(Source(shop, None, "", 0, 0), data, section)
    assert_frame_equal(fold.seen, development.get_raw_interactions())
    assert set(rows_of(fold.test)) <= set(rows_of(shop[held_out(shop, section)]))
    assert fold.users.tolist() == fold.test["user_id"].unique().tolist()
    if section.filter_cold_items:
        assert set(fold.test["item_id"]) <= set(fold.catalog)
    if section.filter_viewed:
        seen = set(zip(fold.seen["user_id"], fold.seen["item_id"], strict=True))
        assert seen.isdisjoint(zip(fold.test["user_id"], fold.test["item_id"], strict=True))


@pytest.mark.parametrize("name", ["time_range", "last_n", "random"])
def test_the_final_fold_of_a_holdout_of_one_is_the_newest_of_rectools(name: str, shop: pd.DataFrame) -> None:
    section = SECTIONS[name]
    *_, newest = split_rows(shop, rectools_splitter(section, 1, section.size))
    fold = final_fold(shop, section)
    assert [sorted(rows_of(frame)) for frame in (fold.seen, fold.test)] == [sorted(rows) for rows in newest]


def test_a_holdout_of_several_folds_is_one_test(shop: pd.DataFrame) -> None:
    section = SECTIONS["last_n_open"]
    held = held_out(shop, section)
    assert sorted(rows_of(final_fold(shop, section).test)) == sorted(rows_of(shop[held]))


def test_a_final_without_a_holdout_or_with_nothing_in_it_is_refused(shop: pd.DataFrame) -> None:
    none = Folds(split="last_n", size=1, holdout=0)
    with pytest.raises(DataError, match="must be at least 1 for a final judgement, but got 0"):
        final_fold(shop, none)
    section = SECTIONS["time_range"]
    strangers = shop.copy()
    strangers.loc[held_out(shop, section), "user_id"] = 1
    with pytest.raises(DataError, match="must have interactions to test on, but the filters leave none of"):
        final_fold(strangers, section)


def test_without_a_holdout_all_is_seen(shop: pd.DataFrame) -> None:
    for split, size in (("time_range", "7D"), ("last_n", 1), ("random", 0.2)):
        section = Folds(split=split, size=size, n_folds=2, holdout=0, **OPEN)
        assert_frame_equal(before_holdout(shop, section), shop)
        *_, newest = folds_of(shop, section)
        assert sorted(rows_of(newest.seen) + rows_of(newest.test)) == rows_of(shop)


@pytest.mark.parametrize(("split", "size"), [("time_range", "99D"), ("last_n", 99)])
def test_a_holdout_of_everything_is_refused(split: Any, size: Any, shop: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="must leave interactions to train on"):
        folds_of(shop, Folds(split=split, size=size))


# ####  --------------  RecTools' folds  --------------  #### #


def rectools_splitter(section: Folds, n_folds: int, size: Any) -> Splitter:
    filters = {
        "filter_cold_users": section.filter_cold_users,
        "filter_cold_items": section.filter_cold_items,
        "filter_already_seen": section.filter_viewed,
    }
    if section.split == "time_range":
        return TimeRangeSplitter(size, n_folds, **filters)
    if section.split == "last_n":
        return LastNSplitter(size, n_folds, **filters)
    return RandomSplitter(size, n_folds, random_state=section.seed, **filters)


def split_rows(frame: pd.DataFrame, splitter: Splitter) -> list[tuple[list[int], list[int]]]:
    rows = np.array(rows_of(frame))
    split = splitter.split(Dataset.construct(frame).interactions)
    return [(rows[train].tolist(), rows[test].tolist()) for train, test, _ in split]


def fold_rows(folds: list[Fold]) -> list[tuple[list[int], list[int]]]:
    return [(rows_of(fold.seen), rows_of(fold.test)) for fold in folds]


def test_folds_are_rectools_own(shop: pd.DataFrame, section: Folds) -> None:
    size = section.size
    if section.split == "random":
        size = size / (1 - size * section.holdout)
    splitter = rectools_splitter(section, section.n_folds, size)
    assert fold_rows(folds_of(shop, section)) == split_rows(shop[~held_out(shop, section)], splitter)


@pytest.mark.parametrize("name", ["time_range", "time_range_hours", "last_n", "last_n_open"])
def test_folds_are_the_older_ones_of_a_split_of_everything(name: str, shop: pd.DataFrame) -> None:
    section = SECTIONS[name]
    splitter = rectools_splitter(section, section.n_folds + section.holdout, section.size)
    everything = split_rows(shop, splitter)
    assert fold_rows(folds_of(shop, section)) == everything[: section.n_folds]


def test_minimal_counts_come_before_the_split(shop: pd.DataFrame) -> None:
    section = SECTIONS["last_n"]
    left = shop[~held_out(shop, section)]
    left = left[left.groupby("user_id")["user_id"].transform("size") >= 5]
    left = left[left.groupby("item_id")["item_id"].transform("size") >= 2]
    expected = split_rows(left, rectools_splitter(section, 2, 1))
    assert len(left) < len(shop[~held_out(shop, section)])
    assert fold_rows(folds_of(shop, section, COUNTED)) == expected


def test_a_fold_says_what_a_model_needs(
    shop: pd.DataFrame, item_features: pd.DataFrame, section: Folds
) -> None:
    for index, fold in enumerate(folds_of(shop, section, features=item_features)):
        assert fold.index == index
        assert fold.reference is None
        assert_frame_equal(fold.seen, fold.train.get_raw_interactions())
        assert fold.users.tolist() == list(dict.fromkeys(fold.test["user_id"]))
        assert fold.catalog.tolist() == list(dict.fromkeys(fold.seen["item_id"]))
        original = shop.set_index("weight")
        for frame in (fold.seen, fold.test):
            for column in ("user_id", "item_id", "datetime"):
                assert frame[column].tolist() == original.loc[frame["weight"], column].tolist()
        assert fold.train.item_features is not None
        facts = json.loads(json.dumps(fold.facts))
        assert facts["train"] == len(fold.seen)
        assert facts["test"] == len(fold.test)
        assert facts["test_users"] == len(fold.users)
        assert facts["train_items"] == len(fold.catalog)
        assert ("start" in facts) == (section.split == "time_range")


def test_filters_are_applied(shop: pd.DataFrame) -> None:
    def pairs(frame: pd.DataFrame) -> set[tuple[int, int]]:
        return set(zip(frame["user_id"], frame["item_id"], strict=True))

    section = Folds(split="time_range", size="14D", n_folds=1, holdout=1, **OPEN)
    (unfiltered,) = folds_of(shop, section)
    assert pairs(unfiltered.test) & pairs(unfiltered.seen)
    assert set(unfiltered.test["user_id"]) - set(unfiltered.seen["user_id"])
    assert set(unfiltered.test["item_id"]) - set(unfiltered.seen["item_id"])
    for name in OPEN:
        (fold,) = folds_of(shop, section.model_copy(update={name: True}))
        assert len(fold.test) < len(unfiltered.test)
        if name == "filter_viewed":
            assert not pairs(fold.test) & pairs(fold.seen)
        else:
            column = "user_id" if name == "filter_cold_users" else "item_id"
            assert set(fold.test[column]) <= set(fold.seen[column])


def test_equal_timestamps_keep_the_order_of_the_file() -> None:
    frame = pd.DataFrame(
        {
            "user_id": [1, 2, 1, 2, 1, 2, 1, 2],
            "item_id": [8, 1, 7, 2, 6, 3, 5, 4],
            "weight": np.arange(8.0),
            "datetime": pd.Timestamp("2024-01-01"),
        }
    )
    (fold,) = folds_of(frame, Folds(split="last_n", size=1, n_folds=1, holdout=1, **OPEN))
    assert rows_of(fold.seen) == [0, 1, 2, 3]
    assert rows_of(fold.test) == [4, 5]


# ####  --------------  Random folds  --------------  #### #


@pytest.mark.parametrize("n_rows", [100, 101, 257, 733])
@pytest.mark.parametrize(
    ("size", "n_folds", "holdout"), [(0.1, 3, 1), (0.25, 2, 1), (0.15, 4, 2), (0.2, 4, 0)]
)
def test_random_folds_are_of_one_size(
    size: float, n_folds: int, holdout: int, n_rows: int, shop: pd.DataFrame
) -> None:
    frame = shop[:n_rows]
    section = Folds(split="random", size=size, n_folds=n_folds, holdout=holdout, **OPEN)
    folds = folds_of(frame, section)
    (fold_size,) = {len(fold.test) for fold in folds}
    assert abs(fold_size - n_rows * size) <= 1
    assert abs(len(frame) - len(before_holdout(frame, section)) - n_rows * size * holdout) <= 1
    tested = [row for fold in folds for row in rows_of(fold.test)]
    assert len(set(tested)) == len(tested) == n_folds * fold_size


def test_random_folds_follow_from_their_seed(shop: pd.DataFrame) -> None:
    section = SECTIONS["random"]
    other = section.model_copy(update={"seed": section.seed + 1})
    assert fold_rows(folds_of(shop, section)) == fold_rows(folds_of(shop, section))
    assert fold_rows(folds_of(shop, section)) != fold_rows(folds_of(shop, other))


@pytest.mark.parametrize(
    ("n_rows", "section"),
    [
        (4, Folds(split="random", size=0.1)),
        (23, Folds(split="random", size=0.16, n_folds=5, holdout=1)),
    ],
)
def test_random_folds_of_too_little_data_are_refused(n_rows: int, section: Folds, shop: pd.DataFrame) -> None:
    with pytest.raises(DataError):
        folds_of(shop[:n_rows], section)


def test_a_splitter_takes_other_values_than_the_section() -> None:
    section = SECTIONS["time_range"]
    splitter = make_splitter(section, n_splits=5, size="2D")
    assert (splitter.n_splits, splitter.test_size) == (5, "2D")
    assert make_splitter(section).n_splits == 3


# ####  --------------  Empty folds  --------------  #### #


def test_an_empty_fold_is_refused_saying_where_its_interactions_went() -> None:
    days = pd.to_datetime(
        ["2024-01-01", "2024-01-02", "2024-01-11", "2024-01-12", "2024-01-13", "2024-01-30"]
    )
    frame = pd.DataFrame(
        {
            "user_id": [1, 2, 1, 7, 8, 1],
            "item_id": [10, 20, 10, 10, 90, 20],  # seen before; user is cold; user and item are cold
            "weight": 1.0,
            "datetime": days,
        }
    )
    section = Folds(split="time_range", size="10D", n_folds=2, holdout=0)
    with pytest.raises(DataError) as raised:
        folds_of(frame, section)
    (problem,) = raised.value.problems
    assert problem.where == "folds, fold 1 (2024-01-11 to 2024-01-21)"
    assert "of 2 train and 3 test interactions none are left to test" in problem.rule
    assert "2 have a user and 1 have an item without train interactions" in problem.rule
    assert problem.hint is not None
    assert "filter_cold_users: false" in problem.hint
    assert raised.value.exit_code == 2


def test_every_empty_fold_is_reported(shop: pd.DataFrame) -> None:
    """All users are new in each window."""
    strangers = shop.assign(user_id=np.arange(len(shop)))
    with pytest.raises(DataError) as raised:
        folds_of(strangers, Folds(split="time_range", size="7D", n_folds=3, holdout=0))
    assert [p.where[:13] for p in raised.value.problems] == [
        "folds, fold 1",
        "folds, fold 2",
        "folds, fold 3",
    ]
    assert all("none are left to test" in p.rule for p in raised.value.problems)


# ####  --------------  Plausibility  --------------  #### #


@pytest.mark.parametrize(
    ("section", "where", "rule"),
    [
        (
            {"split": "time_range", "size": "99D"},
            "folds.holdout",
            "the holdout, the newest 99 days, has all 856 interactions (2024-03-01 to ",
        ),
        ({"split": "time_range", "size": "999999D"}, "folds.holdout", "the newest 999999 days, has all 856"),
        (
            {"split": "time_range", "size": "999999999H"},
            "folds.holdout",
            "the newest 999999999 hours, has all",
        ),
        (
            {"split": "last_n", "size": 21},
            "folds.holdout",
            "the newest 21 interactions of each user",
        ),
        (
            {"split": "time_range", "size": "7D", "n_folds": 100_000},
            "folds.n_folds",
            "100,000 folds and 1 for the holdout of 7D are 700,007.0 days, and the data have 62.5",
        ),
        (
            {"split": "time_range", "size": "63D", "n_folds": 3, "holdout": 0},
            "folds.n_folds",
            "3 folds and 0 for the holdout of 63D are 189.0 days",
        ),
        (
            {"split": "last_n", "size": 1, "n_folds": 100_000},
            "folds.n_folds",
            "take the newest 100,001 interactions of each user, and no user has more than 21",
        ),
    ],
)
def test_folds_that_outlast_the_data_are_refused_with_the_cause(
    section: dict[str, Any], where: str, rule: str, shop: pd.DataFrame
) -> None:
    with pytest.raises(DataError) as raised:
        folds_of(shop, Folds(**section))
    (problem,) = raised.value.problems
    assert problem.where == where
    assert "must leave interactions to train on" in problem.rule
    assert rule in problem.rule
    assert problem.hint is not None
    assert "min_user_interactions" not in str(raised.value)


def test_folds_that_just_fit_are_made(shop: pd.DataFrame) -> None:
    """The first day is all that the oldest fold is trained on; one day more would be refused."""
    n_days = (shop["datetime"].max().floor("D") - shop["datetime"].min().floor("D")).days
    open_folds = {"split": "time_range", "size": "1D", "holdout": 1, **OPEN}
    assert len(folds_of(shop, Folds(n_folds=n_days - 1, **open_folds))) == n_days - 1
    with pytest.raises(DataError, match="must leave interactions to train on in each fold"):
        folds_of(shop, Folds(n_folds=n_days, **open_folds))


def test_a_holdout_of_few_users_is_told(shop: pd.DataFrame) -> None:
    section = Folds(split="time_range", size="7D")
    assert list(holdout_warnings(shop, section)) == []
    late = shop.copy()
    late.loc[5, "datetime"] = pd.Timestamp("2203-01-01")
    (warning,) = holdout_warnings(late, section)
    assert "the holdout (2202-12-26 to 2203-01-01) has 1 of 856 interactions, and 1 of 60 users" in warning


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (
            {"split": "last_n", "size": 1},
            "the holdout (the newest interaction of each user) leaves interactions to train on for 1 of 300 "
            "users: a judgement on it says little. Take a smaller `folds.size`, or a `time_range` split",
        ),
        (
            {"split": "random", "size": 0.004},
            "the holdout (1 of 301 interactions) has about 1 of 300 users: a judgement on it says little. "
            "Take a larger `folds.size`",
        ),
    ],
)
def test_a_holdout_of_few_users_is_told_with_other_splits(
    section: dict[str, Any], text: str, shop: pd.DataFrame
) -> None:
    """Of 300 users, all have one interaction, but for the last of them, who has two."""
    frame = pd.DataFrame({"user_id": [*range(300), 299], "item_id": range(301), "weight": 1.0})
    frame["datetime"] = pd.date_range("2024-01-01", periods=len(frame), freq="h")
    assert list(holdout_warnings(frame, Folds(**section))) == [text]
    usual = {"last_n": 1, "random": 0.2}[section["split"]]
    assert list(holdout_warnings(shop, Folds(**{**section, "size": usual}))) == []


def test_a_list_that_has_all_items_is_told(shop: pd.DataFrame) -> None:
    rows, n_items = Coded.of(shop), shop["item_id"].nunique()
    assert list(catalogue_warnings(rows, Metric("NDCG", n_items - 1))) == []
    (warning,) = catalogue_warnings(rows, Metric("NDCG", n_items))
    assert warning.startswith(f"NDCG@{n_items} looks at {n_items} items, and the data have {n_items}: a list")


def test_interactions_with_one_item_are_refused(shop: pd.DataFrame) -> None:
    data = Data(interactions="shop.csv")
    refuse_one_item(Coded.of(shop), data)
    with pytest.raises(DataError, match=r"two items or more, but all 856 interactions are with 'only'"):
        refuse_one_item(Coded.of(shop.assign(item_id="only")), data)


def test_a_fold_travels_without_what_can_be_derived(shop: pd.DataFrame) -> None:
    fold = folds_of(shop, Folds(split="last_n", size=1))[0]
    before = len(pickle.dumps(fold))
    seen, catalog = fold.seen, fold.catalog
    assert len(pickle.dumps(fold)) == before
    arrived = pickle.loads(pickle.dumps(fold))
    pd.testing.assert_frame_equal(arrived.seen, seen)
    assert arrived.catalog.tolist() == catalog.tolist()
