"""The form in which data come changes nothing: files, tables in memory and a Dataset of RecTools.

They have equal fingerprints and folds, and a trial's metrics are those of `cross_validate` on the Dataset,
with features of items and users, further columns and items to recommend.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rectools.metrics
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from pytorch_lightning import seed_everything
from rectools.dataset import Dataset, DenseFeatures
from rectools.model_selection import LastNSplitter, cross_validate
from rectools.models import model_from_params

from tuner.config import Data, Folds, Metric
from tuner.data.folds import Fold, search_folds
from tuner.data.items import with_items
from tuner.data.source import Source, load_source
from tuner.evaluation import Plan, evaluate_fold

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]

SEED = 4242
FOLDS = Folds(split="last_n", size=2, n_folds=2, holdout=0)
SASREC: dict[str, Any] = {
    "cls": "SASRecModel",
    "n_blocks": 1,
    "n_heads": 1,
    "n_factors": 8,
    "session_max_len": 6,
    "batch_size": 32,
    "lr": 0.01,
    "epochs": 1,
    "recommend_torch_device": "cpu",
}
IALS = {
    "cls": "ImplicitALSWrapperModel",
    "model.factors": 4,
    "model.iterations": 2,
    "model.random_state": 1,
    "fit_features_together": True,
}
LABELS = ("NDCG@10", "Recall@5")
FORMS = ("csv", "parquet", "frames", "dataset")


@pytest.fixture(scope="module")
def tables(interactions: pd.DataFrame, item_features: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Interactions with a further column; categories and numbers of items and users; items to recommend."""
    rng = np.random.default_rng(3)
    users = interactions["user_id"].unique()
    prices = pd.DataFrame({"id": item_features["id"].unique(), "feature": "price"})
    prices["value"] = rng.integers(1, 50, len(prices)) / 4
    ages = pd.DataFrame({"id": users, "feature": "age", "value": rng.integers(18, 70, len(users))})
    sexes = pd.DataFrame({"id": users, "feature": "sex", "value": rng.choice(["f", "m", "x"], len(users))})
    return {
        "interactions": interactions.assign(page=rng.integers(0, 5, len(interactions))),
        "item_features": pd.concat([prices.astype({"value": str}), item_features], ignore_index=True),
        "user_features": pd.concat([sexes, ages.astype({"value": str})], ignore_index=True),
        "items": pd.DataFrame({"item_id": np.sort(interactions["item_id"].unique())[::2]}),
    }


@pytest.fixture(scope="module")
def dataset(tables: dict[str, pd.DataFrame]) -> Dataset:
    """Return the Dataset that a person makes of these tables."""
    return Dataset.construct(
        tables["interactions"],
        user_features_df=tables["user_features"],
        cat_user_features=["sex"],
        item_features_df=tables["item_features"],
        cat_item_features=["genre", "age"],
        keep_extra_cols=True,
    )


@pytest.fixture(scope="module")
def read(
    tables: dict[str, pd.DataFrame], dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Source, Data]]:
    """Read the tables in one of their forms."""
    folder = tmp_path_factory.mktemp("forms")
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        table.to_parquet(folder / f"{name}.parquet")
    made: dict[str, tuple[Source, Data]] = {}

    def found(form: str) -> tuple[Source, Data]:
        if form not in made:
            data = Data(**_section(form, tables, dataset, folder))
            made[form] = load_source(data), data
        return made[form]

    return found


def _section(form: str, tables: dict[str, pd.DataFrame], dataset: Dataset, folder: Path) -> dict[str, Any]:
    features = ("item_features", "user_features")
    given: dict[str, Any] = {
        "columns": {"weight": "weight"},
        "extra_columns": ["page"],
        "numeric_features": ["price"],
        "numeric_user_features": ["age"],
        "items_to_recommend": str(folder / "items.csv"),
    }
    if form == "dataset":
        return {**given, "interactions": dataset}
    if form == "frames":
        return {**given, "interactions": tables["interactions"], **{key: tables[key] for key in features}}
    place = {key: str(folder / f"{key}.{form}") for key in ("interactions", *features)}
    return {**given, **place}


def folds_of(source: Source, data: Data) -> list[Fold]:
    return with_items(search_folds(source, data, FOLDS), source.items)


def metrics_of(params: dict[str, Any], fold: Fold) -> dict[str, float]:
    plan = Plan(tuple(map(Metric.parse, LABELS)), LABELS[0], "maximize", filter_viewed=True, fast=False)
    made: list[Any] = []
    evaluate_fold(params, fold, plan, SEED, made.append)
    return dict(made[-1].metrics)


def test_fingerprints_are_equal(read: Callable[[str], tuple[Source, Data]]) -> None:
    assert len({read(form)[0].fingerprint for form in FORMS}) == 1


@pytest.mark.parametrize("form", FORMS[1:])
def test_folds_are_equal(form: str, read: Callable[[str], tuple[Source, Data]]) -> None:
    for one, other in zip(folds_of(*read(form)), folds_of(*read("csv")), strict=True):
        assert_frame_equal(one.seen, other.seen, check_dtype=False)
        assert_frame_equal(one.test, other.test, check_dtype=False)
        assert_array_equal(one.items, other.items)
        for name in ("item_features", "user_features"):
            mine, theirs = getattr(one.train, name), getattr(other.train, name)
            assert list(map(str, mine.names)) == list(map(str, theirs.names))
            assert_array_equal(mine.get_sparse().toarray(), theirs.get_sparse().toarray())


@pytest.mark.parametrize("params", [SASREC, IALS], ids=["sasrec", "ials"])
def test_metrics_are_those_of_cross_validate_on_the_dataset(
    params: dict[str, Any],
    read: Callable[[str], tuple[Source, Data]],
    dataset: Dataset,
    tables: dict[str, pd.DataFrame],
) -> None:
    """For the second fold; `cross_validate` fits on the first one before, so the seed is set for each."""
    ours = [metrics_of(params, folds_of(*read(form))[1]) for form in FORMS]
    seed_everything(SEED, workers=True, verbose=False)
    (expected,) = cross_validate(
        dataset,
        LastNSplitter(2, 1),
        {
            label: getattr(rectools.metrics, label.split("@")[0])(k=int(label.split("@")[1]))
            for label in LABELS
        },
        {"trial": model_from_params(params)},
        k=10,
        filter_viewed=True,
        items_to_recommend=tables["items"]["item_id"].to_numpy(),
    )["metrics"]
    assert ours == [{label: expected[label] for label in LABELS}] * len(FORMS)
    plain, data = read("csv")
    without = Source(plain.interactions, None, "", 0, 0)
    assert ours[0] != metrics_of(params, folds_of(without, data)[1]), "features and items matter"


def test_dense_features_stay_dense(interactions: pd.DataFrame) -> None:
    users = pd.DataFrame({"id": interactions["user_id"].unique()})
    users["age"] = np.linspace(0.1, 1, len(users))
    users["visits"] = np.arange(len(users))
    given = Dataset.construct(interactions, user_features_df=users, make_dense_user_features=True)
    source, data = load_source(Data(interactions=given)), Data(interactions=given)
    for one, (train, _, _) in zip(
        search_folds(source, data, FOLDS), LastNSplitter(2, 2).split(given.interactions), strict=True
    ):
        expected = given.filter_interactions(train)
        assert isinstance(one.train.user_features, DenseFeatures)
        assert one.train.user_features.names == expected.user_features.names
        assert_array_equal(one.train.user_features.values, expected.user_features.values)


def test_an_older_fingerprint_of_item_features_is_known(
    read: Callable[[str], tuple[Source, Data]], tables: dict[str, pd.DataFrame]
) -> None:
    """It is that of the rows in their order, of studies that have features of items only."""
    shuffled = tables["item_features"].sample(frac=1, random_state=1)
    one, other = (
        load_source(Data(interactions=tables["interactions"], item_features=table))
        for table in (tables["item_features"], shuffled)
    )
    assert one.fingerprint == other.fingerprint
    assert one.former_fingerprint != other.former_fingerprint
    assert read("csv")[0].former_fingerprint is None
