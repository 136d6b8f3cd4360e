"""The fast fit of EASE: RecTools' weights up to rounding, its lists, and a plain model afterwards."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from rectools.dataset import Dataset
from rectools.models import EASEModel, PopularModel

from tuner.training.fast_paths import accelerate

NAMES = ("Cholesky inverse", "weights by column")
_ROUNDING = 1e-6


def events(seed: int, n_users: int, n_items: int, n_rows: int) -> pd.DataFrame:
    """Return interactions with weights that are no whole numbers, so that few scores are equal."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": rng.integers(n_users, size=n_rows),
            "item_id": rng.integers(n_items, size=n_rows),
            "weight": rng.random(n_rows) + 0.5,
            "datetime": pd.Timestamp("2024-01-01"),
        }
    )


def assert_same_lists(fast: pd.DataFrame, stock: pd.DataFrame) -> None:
    """Scores are equal up to rounding, and so are the items, except for those with equal scores."""
    assert_frame_equal(fast.drop(columns="item_id"), stock.drop(columns="item_id"), rtol=1e-4, atol=1e-6)
    scores = stock.set_index(["user_id", "item_id"])["score"]
    swapped = fast["item_id"].to_numpy() != stock["item_id"].to_numpy()
    assert swapped.mean() < 1 / 100, "few scores are equal"
    for user, item, score in fast.loc[swapped, ["user_id", "item_id", "score"]].itertuples(index=False):
        last = scores[user].min()  # of two items that are as good as the last one, either may be in the list
        assert score - last < _ROUNDING or abs(scores.get((user, item), np.inf) - score) < _ROUNDING


def fitted(dataset: Dataset, regularization: float, *, fast: bool) -> EASEModel:
    model = EASEModel(regularization=regularization)
    if fast:
        assert accelerate(model).applied == NAMES
    return model.fit(dataset)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n_users=st.integers(1, 60),
    n_items=st.integers(1, 60),
    n_rows=st.integers(1, 400),
    regularization=st.sampled_from([1.0, 50.0, 500.0]),
)
def test_weights_are_those_of_rectools_up_to_rounding(
    seed: int, n_users: int, n_items: int, n_rows: int, regularization: float
) -> None:
    dataset = Dataset.construct(events(seed, n_users, n_items, n_rows))
    stock, fast = (fitted(dataset, regularization, fast=fast).weight for fast in (False, True))
    assert fast.dtype == stock.dtype == np.float32
    assert fast.shape == stock.shape
    users = dataset.get_user_item_matrix().toarray().astype(np.float64)
    condition = np.linalg.cond(users.T @ users + regularization * np.eye(len(stock)))
    assert np.abs(fast - stock).max() <= 16 * np.finfo(np.float32).eps * condition
    assert_array_equal(np.diag(fast), 0)


@pytest.mark.parametrize("filter_viewed", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_lists_are_those_of_rectools(seed: int, filter_viewed: bool) -> None:
    rows = events(seed, 300, 120, 6_000)
    dataset, users = Dataset.construct(rows), rows["user_id"].unique()
    items: list[Any] = [None, rows["item_id"].unique()[:50]]
    for chosen in items:
        lists = [
            fitted(dataset, 100.0, fast=fast).recommend(
                users, dataset, k=10, filter_viewed=filter_viewed, items_to_recommend=chosen
            )
            for fast in (False, True)
        ]
        assert_same_lists(lists[1], lists[0])


def test_the_fitted_model_is_a_plain_one_whose_weights_are_stored_by_column() -> None:
    dataset = Dataset.construct(events(1, 30, 20, 300))
    stock, fast = (fitted(dataset, 10.0, fast=fast) for fast in (False, True))
    assert vars(fast).keys() == vars(stock).keys()
    assert fast.weight.flags.f_contiguous
    assert b"tuner" not in pickle.dumps(fast)
    fast.fit(dataset)
    assert_array_equal(fast.weight, stock.weight, "the next fit is RecTools'")


def test_a_singular_matrix_is_left_to_rectools() -> None:
    """Two items with the same users, and no regularization."""
    rows = pd.DataFrame({"user_id": [0, 0, 1, 1], "item_id": [0, 1, 0, 1], "weight": 1.0})
    dataset = Dataset.construct(rows.assign(datetime=pd.Timestamp("2024-01-01")))
    said = []
    for fast in (False, True):
        with pytest.raises(np.linalg.LinAlgError) as error:
            fitted(dataset, 0.0, fast=fast)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_other_models_and_classes_with_a_fit_of_their_own_are_left_alone() -> None:
    class Own(EASEModel):
        def _fit(self, dataset: Dataset) -> None:
            super()._fit(dataset)

    for model in (Own(), PopularModel()):
        before = dict(vars(model))
        assert accelerate(model).applied == ()
        assert vars(model) == before
