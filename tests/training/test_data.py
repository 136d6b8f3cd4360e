"""Flat sequences, masking draws, what is remembered, and what a user's own classes keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.data_preparator import SequenceDataset
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.rank import Distance, TorchRanker
from scipy import sparse

from tuner.training.fast_paths.data import accelerate_data
from tuner.training.fast_paths.draws import draw_masks, draw_masks_at_once, replacements
from tuner.training.fast_paths.recommend import Latest, rank
from tuner.training.fast_paths.sequences import Sequences

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

TINY: dict[str, Any] = {
    "n_blocks": 1,
    "n_heads": 1,
    "n_factors": 4,
    "session_max_len": 5,
    "batch_size": 8,
    "epochs": 1,
    "recommend_torch_device": "cpu",
}
ALL = ("flat sequences", "vectorised batches", "kept recommend data", "sparse-mask ranking")


@pytest.fixture(scope="module")
def dataset(interactions: pd.DataFrame) -> Dataset:
    return Dataset.construct(interactions)


# ####  --------------  Sequences  --------------  #### #


def frame(rows: list[tuple[int, int, int]]) -> pd.DataFrame:
    """Interactions of (user, item, day), with extra columns of three types."""
    made = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "day"], dtype=np.int64)
    made[Columns.Weight] = made["day"] / 7
    made[Columns.Datetime] = pd.Timestamp("2024-01-01") + pd.to_timedelta(made["day"], unit="D")
    made["day"] = made["day"].astype(np.int32)
    made["bought"] = made["day"] % 2 == 0
    return made


@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 4)), min_size=1),
    sort_users=st.booleans(),
)
def test_sequences_are_those_of_rectools(rows: list[tuple[int, int, int]], sort_users: bool) -> None:
    interactions = frame(rows)
    stock = SequenceDataset.from_interactions(interactions, sort_users=sort_users)
    flat = Sequences.of(interactions, sort_users=sort_users)
    expected = [stock[index] for index in range(len(stock))]
    assert [flat[index] for index in range(len(flat))] == list(flat) == expected
    assert flat.lengths.tolist() == [len(items) for items, _, _ in expected]
    backwards = list(range(len(flat)))[::-1]
    assert list(flat.__getitems__(backwards)) == expected[::-1]


def test_sequences_hold_the_types_of_rectools() -> None:
    interactions = frame([(0, 1, 2), (0, 3, 4)])
    _, _, stock = SequenceDataset.from_interactions(interactions)[0]
    items, weights, extras = Sequences.of(interactions)[0]
    assert {type(value) for value in items} == {int}
    assert {type(value) for value in weights} == {float}
    assert {name: type(values[0]) for name, values in extras.items()} == {"day": int, "bought": bool}
    assert {name: type(values[0]) for name, values in stock.items()} == {"day": int, "bought": bool}


@pytest.mark.parametrize(
    ("column", "held"),
    [
        (["a", "b"], False),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), False),
        (pd.array([1, None], dtype="Int64"), False),
        (pd.Categorical(["a", "b"]), False),
        (np.array([1, 2], dtype=np.uint8), True),
        (np.array([0.5, np.nan], dtype=np.float32), True),
    ],
)
def test_only_numbers_are_held(column: Any, held: bool) -> None:
    assert Sequences.can_hold(frame([(0, 1, 2), (0, 3, 4)]).assign(more=column)) == held


def test_columns_that_are_not_numbers_are_loaded_as_rectools_does(interactions: pd.DataFrame) -> None:
    towns = interactions.assign(town=np.where(interactions.index % 3, "Ems", "Ulm"))
    dataset = Dataset.construct(towns, keep_extra_cols=True)
    loaders = []
    for fast in (False, True):
        model = SASRecModel(**TINY, data_preparator_kwargs={"extra_cols": ["town"]})
        if fast:
            accelerate_data(model)
        model.data_preparator.process_dataset_train(dataset)
        loaders.append(model.data_preparator.get_dataloader_train())
    stock, fast = loaders
    assert fast.dataset[3] == stock.dataset[3]
    assert set(fast.dataset[3][2]["town"]) <= {"Ems", "Ulm"}
    for expected, batch in zip(drawn(stock), drawn(fast), strict=True):
        assert all(torch.equal(expected[key], batch[key]) for key in expected.keys() | batch.keys())


def drawn(loader: Any) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    return list(loader)


# ####  --------------  Draws  --------------  #### #


def draws_of_rectools(
    lengths: list[int], mask_prob: float, low: int, high: int
) -> tuple[list[float], list[int]]:
    """Draw as `BERT4RecDataPreparator._mask_session` does, position by position."""
    numbers: list[float] = []
    items: list[int] = []
    for length in lengths:
        of_session = np.random.rand(length)  # noqa: NPY002  # the generator that RecTools draws from
        numbers += of_session.tolist()
        for number in of_session:
            if number < mask_prob and 0.8 <= number / mask_prob < 0.9:
                items.append(np.random.randint(low=low, high=high))  # noqa: NPY002, PERF401  # as above; one by one
    return numbers, items


@settings(max_examples=300, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40),
    mask_prob=st.one_of(st.sampled_from([0.0, 1e-300, 0.15, 1.0]), st.floats(0, 1)),
    low=st.integers(0, 3),
    n_items=st.one_of(st.integers(1, 70), st.integers(2**16 - 3, 2**16 + 3), st.integers(1, 2**40)),
    seed=st.integers(0, 2**32 - 1),
    drawn_before=st.integers(0, 700),  # so that the generator's block of 624 words ends anywhere
)
def test_draws_are_those_of_rectools(
    lengths: list[int], mask_prob: float, low: int, n_items: int, seed: int, drawn_before: int
) -> None:
    np.random.seed(seed)  # noqa: NPY002  # as above
    np.random.randn(drawn_before)  # noqa: NPY002  # an odd number leaves a Gauss in the state
    before = np.random.get_state()  # noqa: NPY002  # as above
    numbers, items = draws_of_rectools(lengths, mask_prob, low, low + n_items)
    after = np.random.get_state()  # noqa: NPY002  # as above
    np.random.set_state(before)  # noqa: NPY002  # as above
    fast_numbers, fast_items = draw_masks(np.array(lengths), mask_prob, low, low + n_items)
    assert fast_numbers.tolist() == numbers
    assert fast_items.tolist() == items
    fast_after = np.random.get_state()  # noqa: NPY002  # as above
    assert np.array_equal(fast_after[1], after[1])
    assert fast_after[2:] == after[2:]


def test_draws_from_another_generator_are_its_own() -> None:
    before = np.random.get_bit_generator()
    draws = []
    try:
        for draw in (draws_of_rectools, draw_masks):
            np.random.set_bit_generator(np.random.PCG64(5))
            draws.append([list(drawn) for drawn in draw(np.array([50, 60, 70]), 0.9, 2, 90)])
            draws.append(np.random.rand())  # noqa: NPY002  # as above
    finally:
        np.random.set_bit_generator(before)
    assert draws[:2] == draws[2:]
    assert len(draws[0][1]) > 4


def test_draws_at_once_have_the_same_distribution() -> None:
    """Of 30,000 positions: shares within three standard errors, and all items about equally often."""
    np.random.seed(7)  # noqa: NPY002  # as above
    lengths, mask_prob = np.full(300, 100), 0.4
    numbers, items = draw_masks_at_once(lengths, mask_prob, 2, 12)
    is_mask, is_random = replacements(numbers, mask_prob)
    n = len(numbers)
    assert n == lengths.sum()
    assert len(items) == is_random.sum()
    for is_one, share in (
        (is_mask, 0.8 * mask_prob),
        (is_random, 0.1 * mask_prob),
        (numbers < mask_prob, mask_prob),
    ):
        assert abs(is_one.mean() - share) < 3 * (share * (1 - share) / n) ** 0.5
    counts = np.bincount(items)
    assert counts[:2].sum() == 0
    assert len(counts) == 12
    assert abs(counts[2:] - len(items) / 10).max() < 4 * (len(items) / 10) ** 0.5


# ####  --------------  What is remembered  --------------  #### #


def test_latest_is_made_anew_when_something_changes() -> None:
    made: list[int] = []
    latest: Latest[int] = Latest()

    def ask(*made_from: object) -> int:
        return latest.get(lambda: made.append(0) or len(made), *made_from)

    one, other, users = object(), object(), np.arange(3)
    table = pd.DataFrame({"user_id": [1, 2]})
    assert ask(one, users, table) == 1
    assert ask(one, users.copy(), table.copy()) == 1
    assert ask(other, users, table) == 2
    assert ask(other, users.astype(float), table) == 3
    assert ask(other, users, None) == 4
    users[0] = 9
    assert ask(other, users, None) == 5
    assert ask(other, users, table) == 6
    table["user_id"] += 1
    assert ask(other, users, table) == 7
    assert ask(other, users, table) == 7


def test_latest_remembers_nothing_of_a_failure() -> None:
    latest: Latest[int] = Latest()
    assert latest.get(lambda: 1, "a") == 1
    with pytest.raises(ZeroDivisionError):
        latest.get(lambda: 1 // 0, "b")
    assert latest.get(lambda: 2, "a") == 2


def test_recommend_data_is_kept_between_calls(dataset: Dataset) -> None:
    model = SASRecModel(**TINY)
    assert accelerate_data(model) == ALL
    model.fit(dataset)
    users = dataset.user_id_map.external_ids
    preparator = model.data_preparator
    kept = preparator.transform_dataset_u2i(dataset, users)
    assert preparator.transform_dataset_u2i(dataset, list(users)) is kept
    assert preparator.transform_dataset_u2i(dataset, users[1:]) is not kept
    first, second = (preparator.get_dataloader_recommend(kept, size).dataset for size in (4, 9))
    assert isinstance(first, Sequences)
    assert first is second


# ####  --------------  Ranking  --------------  #### #


@pytest.mark.parametrize("distance", [Distance.DOT, Distance.COSINE])
@pytest.mark.parametrize("k", [7, 900])
@pytest.mark.parametrize("n_users", [1, 128, 300])  # part of a batch, a whole one, and two and a part
def test_ranking_is_that_of_torch_ranker(distance: Distance, k: int, n_users: int) -> None:
    generator = np.random.default_rng(n_users)
    users = generator.normal(size=(n_users, 16)).round(1).astype(np.float32)
    items = generator.normal(size=(700, 16)).round(1).astype(np.float32)
    users[::9], items[5], items[50:90] = 0, 0, items[300:340]  # norms of zero, and many equal scores
    users[::7] *= 1e-9
    hidden = sparse.random(n_users, 700, 0.1, "csr", np.float32, random_state=1)
    for pairs in (hidden, None):
        ranker = TorchRanker(distance, "cpu", torch.from_numpy(users), torch.from_numpy(items))
        expected = ranker.rank(np.arange(n_users), k, filter_pairs_csr=pairs)
        rows, columns, scores = rank(torch.from_numpy(users), torch.from_numpy(items), distance, k, pairs)
        assert np.array_equal(rows, expected[0])
        assert np.array_equal(columns, expected[1])
        assert np.array_equal(scores, expected[2])
        assert scores.dtype == np.float32


# ####  --------------  Users' own classes  --------------  #### #


class OwnLoader(SASRecDataPreparator):
    def get_dataloader_train(self):
        return "mine"


class OwnLoaders(OwnLoader):
    def get_dataloader_val(self):
        return "mine"

    def get_dataloader_recommend(self, dataset, batch_size):
        return "mine"


class OwnBatches(SASRecDataPreparator):
    def _collate_fn_train(self, batch):
        assert type(batch) is list
        assert [type(items + weights) for items, weights, _ in batch] == [list] * len(batch)
        return super()._collate_fn_train(batch[::-1])


class OwnMask(BERT4RecDataPreparator):
    def _mask_session(self, ses, first_border=0.8, second_border=0.9):
        return [1] * len(ses), ses


class OwnTransform(SASRecDataPreparator):
    def transform_dataset_u2i(self, dataset, users, context=None):
        return super().transform_dataset_u2i(dataset, users[:2], context)


class OwnModule(TransformerLightningModule):
    def _recommend_u2i(self, user_ids, *args, **kwargs):
        raise RuntimeError("mine")


class OwnSimilarity(DistanceSimilarityModule):
    def _recommend_u2i(self, *args, **kwargs):
        raise RuntimeError("mine")


class OwnModel(SASRecModel):
    def _recommend_u2i(self, *args, **kwargs):
        raise RuntimeError("mine")


def without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in ALL if name not in names)


def test_an_own_loader_is_kept() -> None:
    model = SASRecModel(**TINY, data_preparator_type=OwnLoader)
    assert accelerate_data(model) == ALL
    assert model.data_preparator.get_dataloader_train() == "mine"


def test_paths_that_nothing_takes_are_not_named() -> None:
    model = SASRecModel(**TINY, data_preparator_type=OwnLoaders)
    assert accelerate_data(model) == without("flat sequences", "vectorised batches")


@pytest.mark.parametrize(("model_type", "own"), [(SASRecModel, OwnBatches), (BERT4RecModel, OwnMask)])
def test_own_batches_are_kept_and_get_what_rectools_gives(
    model_type: Any, own: type, dataset: Dataset
) -> None:
    epochs = []
    for fast in (False, True):
        model = model_type(**TINY, data_preparator_type=own)
        if fast:
            accelerate_data(model)
        model.data_preparator.process_dataset_train(dataset)
        loader = model.data_preparator.get_dataloader_train()
        assert isinstance(loader.dataset, Sequences) == fast
        epochs.append(drawn(loader))
    for expected, batch in zip(*epochs, strict=True):
        assert all(torch.equal(expected[key], batch[key]) for key in expected.keys() | batch.keys())


def test_an_own_transform_is_kept(dataset: Dataset) -> None:
    model = SASRecModel(**TINY, data_preparator_type=OwnTransform)
    assert accelerate_data(model) == without("kept recommend data")
    model.fit(dataset)
    users = dataset.user_id_map.external_ids
    assert model.recommend(users, dataset, 3, True, on_unsupported_targets="ignore")["user_id"].nunique() == 2


@pytest.mark.parametrize(
    "model",
    [
        OwnModel(**TINY),
        SASRecModel(**TINY, lightning_module_type=OwnModule),
        SASRecModel(**TINY, similarity_module_type=OwnSimilarity),
    ],
    ids=["model", "module", "similarity"],
)
def test_an_own_ranking_is_kept(model: SASRecModel, dataset: Dataset) -> None:
    assert accelerate_data(model) == without("sparse-mask ranking")
    model.fit(dataset)
    with pytest.raises(RuntimeError, match="mine"):
        model.recommend(dataset.user_id_map.external_ids, dataset, 3, True)


def test_a_similarity_module_put_in_later_ranks_by_its_own_rule(dataset: Dataset) -> None:
    model = SASRecModel(**TINY)
    accelerate_data(model)
    model.fit(dataset)
    model.torch_model.similarity_module = OwnSimilarity()
    with pytest.raises(RuntimeError, match="mine"):
        model.recommend(dataset.user_id_map.external_ids, dataset, 3, True)


@pytest.mark.parametrize("fast", [False, True])
def test_sessions_too_short_for_a_target_are_refused_as_by_rectools(
    fast: bool, interactions: pd.DataFrame
) -> None:
    single = pd.concat([interactions, interactions[:1].assign(user_id=5)])
    model = SASRecModel(**TINY, train_min_user_interactions=1)
    if fast:
        accelerate_data(model)
    model.data_preparator.process_dataset_train(Dataset.construct(single))
    with pytest.raises(ValueError, match="could not broadcast"):
        list(model.data_preparator.get_dataloader_train())
