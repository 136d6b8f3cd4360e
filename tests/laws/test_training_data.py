"""The data side of the fast paths changes nothing: batches, generators, weights and recommendations."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.dataset.context import get_context
from rectools.models import SASRecModel, load_model
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.models.build import build_model
from tuner.training.fast_paths.data import accelerate_data, restore_data

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.data import DataLoader

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

TINY: dict[str, Any] = {
    "n_blocks": 1,
    "n_heads": 2,
    "n_factors": 8,
    "session_max_len": 7,  # some sequences are cut, some padded
    "dropout_rate": 0.2,
    "batch_size": 16,
    "epochs": 2,
    "recommend_batch_size": 11,
    "recommend_torch_device": "cpu",
}
SASREC = {"cls": "SASRecModel", **TINY}
BERT4REC = {"cls": "BERT4RecModel", **TINY, "mask_prob": 0.6}
HSTU = {"cls": "HSTUModel", **TINY}  # dot products by default in SASRec and BERT4Rec, cosines here
NEXT_ACTION = {
    "data_preparator_type": "search_spaces.next_action.NextActionDataPreparator",
    "lightning_module_type": "search_spaces.next_action.NextActionLightningModule",
}
SHIFTED = {**NEXT_ACTION, "data_preparator_type": "search_spaces.next_action.ShiftedNextActionDataPreparator"}
NEGATIVES = {"loss": "sampled_softmax", "n_negatives": 3}
COSINE = {"similarity_module_kwargs.distance": "cosine"}

CASES: dict[str, dict[str, Any]] = {
    "sasrec": SASREC,
    "sasrec-in-order": {**SASREC, "data_preparator_kwargs.shuffle_train": False},
    "sasrec-negatives": {**SASREC, **NEGATIVES, **COSINE},
    "bert4rec": {**BERT4REC, **COSINE},
    "bert4rec-negatives": {**BERT4REC, **NEGATIVES},
    "hstu": HSTU,
    "hstu-negatives": {**HSTU, **NEGATIVES},
    "hstu-without-time": {**HSTU, "relative_time_attention": False},
    "next-action": {**BERT4REC, **NEXT_ACTION},
    "next-action-negatives": {**BERT4REC, **NEXT_ACTION, **NEGATIVES},
    "shifted-next-action": {**SASREC, **SHIFTED},
    "shifted-next-action-hstu": {**HSTU, **SHIFTED, **NEGATIVES},
}

Model = TransformerModelBase[Any]


@pytest.fixture(scope="module")
def dataset(interactions: pd.DataFrame) -> Dataset:
    """The shop, with a user who has had everything and one whose only item nobody else has had."""
    items = interactions[Columns.Item].unique()
    rows = [(900, item, 2.5) for item in items] + [(901, 7777, 1.0)]
    late = pd.DataFrame(rows, columns=Columns.Interactions[:3])
    late[Columns.Datetime] = interactions[Columns.Datetime].max()
    weighted = interactions.assign(weight=interactions[Columns.Weight] / 7)  # digits that float32 has not
    return Dataset.construct(pd.concat([weighted, late], ignore_index=True))


@pytest.fixture(scope="module")
def users(dataset: Dataset) -> np.ndarray:
    """Users in no order: most of the shop's, the two others and a stranger."""
    known = np.random.default_rng(3).permutation(np.delete(dataset.user_id_map.external_ids, [4, 9]))
    return np.append(known, 12345)


def context_of(model: Model, users: np.ndarray, days: int = 0) -> pd.DataFrame | None:
    if not model.require_recommend_context:
        return None
    times = pd.Timestamp("2024-06-01") + pd.to_timedelta(np.arange(len(users)) + 24 * days, unit="h")
    return get_context(pd.DataFrame({Columns.User: users, Columns.Datetime: times}))


def generators() -> tuple[bytes, bytes, int]:
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002  # the generator that RecTools draws from
    return torch.get_rng_state().numpy().tobytes(), keys.tobytes(), position


def assert_same_batches(stock: DataLoader, fast: DataLoader) -> None:
    """Two epochs of each, drawn from the same seed, and what the generators give afterwards."""
    drawn = []
    for loader in (stock, fast):
        seed_everything(11, verbose=False)
        drawn.append(([batch for _ in range(2) for batch in loader], generators()))
    (expected, expected_generators), (batches, after) = drawn
    assert len(batches) == len(expected) > 4
    for batch, reference in zip(batches, expected, strict=True):
        assert list(batch) == list(reference)
        for key, tensor in batch.items():
            assert tensor.dtype == reference[key].dtype
            assert tensor.stride() == reference[key].stride()
            assert torch.equal(tensor, reference[key]), key
    assert after == expected_generators


def model_of(params: dict[str, Any], *, fast: bool) -> Model:
    model = build_model(params)
    assert isinstance(model, TransformerModelBase)
    if fast:
        assert len(accelerate_data(model)) == 4
    return model


def fitted(params: dict[str, Any], dataset: Dataset, *, fast: bool) -> Model:
    model = model_of(params, fast=fast)
    seed_everything(5, verbose=False)
    return model.fit(dataset)


@pytest.fixture(scope="module")
def pair(dataset: Dataset) -> Callable[[str], tuple[Model, Model]]:
    """Two fits of a case from one seed: RecTools' own, and the fast one. Made once."""
    made: dict[str, tuple[Model, Model]] = {}

    def pair_of(name: str) -> tuple[Model, Model]:
        if name not in made:
            made[name] = fitted(CASES[name], dataset, fast=False), fitted(CASES[name], dataset, fast=True)
        return made[name]

    return pair_of


# ####  --------------  Batches  --------------  #### #


@pytest.mark.parametrize("name", CASES)
def test_training_batches_are_the_same(name: str, dataset: Dataset) -> None:
    loaders = []
    for fast in (False, True):
        preparator = model_of(CASES[name], fast=fast).data_preparator
        preparator.process_dataset_train(dataset)
        loaders.append(preparator.get_dataloader_train())
    assert_same_batches(*loaders)


@pytest.mark.parametrize("name", CASES)
def test_batches_for_recommending_are_the_same(name: str, dataset: Dataset, users: np.ndarray) -> None:
    loaders = []
    for fast in (False, True):
        model = model_of(CASES[name], fast=fast)
        model.data_preparator.process_dataset_train(dataset)
        transformed = model.data_preparator.transform_dataset_u2i(dataset, users, context_of(model, users))
        loaders.append(model.data_preparator.get_dataloader_recommend(transformed, 13))
    assert_same_batches(*loaders)


def last_of_each(interactions: pd.DataFrame) -> np.ndarray:
    """Mark the last interaction of each user for validation."""
    return ~interactions[::-1].duplicated(Columns.User)[::-1].to_numpy()


@pytest.mark.parametrize("name", ["sasrec", "bert4rec-negatives", "next-action"])
def test_validation_batches_are_the_same(name: str, dataset: Dataset) -> None:
    loaders = []
    for fast in (False, True):
        preparator = model_of(CASES[name], fast=fast).data_preparator
        preparator.get_val_mask_func = last_of_each
        preparator.process_dataset_train(dataset)
        loaders.append(preparator.get_dataloader_val())
    assert_same_batches(*loaders)


@pytest.mark.parametrize("name", ["sasrec-negatives", "bert4rec"])
def test_batches_of_worker_processes_are_the_same(name: str, dataset: Dataset) -> None:
    loaders = []
    for fast in (False, True):
        preparator = model_of({**CASES[name], "dataloader_num_workers": 1}, fast=fast).data_preparator
        preparator.process_dataset_train(dataset)
        loaders.append(preparator.get_dataloader_train())
    assert loaders[1].num_workers == 1
    assert_same_batches(*loaders)


# ####  --------------  Fits and recommendations  --------------  #### #


def test_the_laws_are_not_empty(pair) -> None:
    """Cases have batches of all kinds and give other weights, or equality would say nothing."""
    preparators = [pair(name)[1].data_preparator for name in CASES]
    keys = {tuple(next(iter(preparator.get_dataloader_train()))) for preparator in preparators}
    assert len(keys) == 4, "with and without negatives, with and without time"
    embeddings = [next(pair(name)[1].torch_model.parameters()) for name in CASES]
    assert len({float(embedding.sum()) for embedding in embeddings}) == len(CASES)


@pytest.mark.parametrize("name", CASES)
def test_fitted_weights_are_the_same(name: str, pair) -> None:
    stock, fast = (model.torch_model.state_dict() for model in pair(name))
    assert all(torch.equal(stock[key], fast[key]) for key in stock.keys() | fast.keys())


@pytest.mark.parametrize("k", [5, 1000])
@pytest.mark.parametrize("filter_viewed", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_recommendations_are_the_same(
    name: str, filter_viewed: bool, k: int, pair, dataset: Dataset, users: np.ndarray
) -> None:
    for whitelist in (None, dataset.item_id_map.external_ids[5:60:2]):
        answers = []
        for model in pair(name):
            seed_everything(8, verbose=False)
            answers.append(
                model.recommend(
                    users,
                    dataset,
                    k,
                    filter_viewed,
                    items_to_recommend=whitelist,
                    on_unsupported_targets="ignore",
                    context=context_of(model, users),
                )
            )
            answers.append(pd.Series(generators()))
        pd.testing.assert_frame_equal(answers[0], answers[2], check_exact=True)
        assert answers[1].equals(answers[3])
        missing = set(users) - set(answers[0][Columns.User])
        assert missing == ({900, 901, 12345} if filter_viewed else {901, 12345})
        known = model.data_preparator.get_known_item_ids()
        n_items = len(known if whitelist is None else np.intersect1d(known, whitelist))
        longest = answers[0][Columns.Rank].max()
        assert longest == min(k, n_items) or (filter_viewed and longest < n_items)


def test_equal_scores_come_in_the_same_order(dataset: Dataset, users: np.ndarray) -> None:
    answers = []
    for fast_path in (False, True):
        model = fitted({**SASREC, "epochs": 1}, dataset, fast=fast_path)
        with torch.no_grad():
            for parameter in model.torch_model.parameters():
                parameter.copy_(parameter.round())
        answers.append(model.recommend(users, dataset, 50, True, on_unsupported_targets="ignore"))
    assert answers[0].duplicated([Columns.User, Columns.Score]).sum() > 100
    pd.testing.assert_frame_equal(*answers, check_exact=True)


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "hstu"])
def test_what_is_kept_between_recommendations_is_never_old(
    name: str, interactions: pd.DataFrame, users: np.ndarray
) -> None:
    """Each call changes one thing of the call before it."""
    early = Dataset.construct(interactions[:500])
    whole = Dataset.construct(interactions)
    stock, fast = fitted(CASES[name], early, fast=False), fitted(CASES[name], early, fast=True)
    changing = users.copy()
    for step in range(8):
        dataset = early if step < 2 else whole
        if step in {3, 4}:
            changing[:10] = changing[:10][::-1]  # in place
        if step == 7:
            stock, fast = (model.fit(whole) for model in map(reseeded, (stock, fast)))
        answers = [
            model.recommend(
                changing,
                dataset,
                5,
                step != 6,
                on_unsupported_targets="ignore",
                context=context_of(model, changing, days=int(step >= 5)),
            )
            for model in (stock, fast)
        ]
        pd.testing.assert_frame_equal(*answers, check_exact=True)


def reseeded(model: Model) -> Model:
    seed_everything(21, verbose=False)
    return model


# ####  --------------  What is left of it  --------------  #### #


@pytest.mark.parametrize("name", ["sasrec", "hstu"])
def test_saved_copied_and_restored_models_are_plain(
    name: str, pair, dataset: Dataset, users: np.ndarray, tmp_path: Path
) -> None:
    stock = pair(name)[0]
    fast = fitted(CASES[name], dataset, fast=True)
    fast.save(tmp_path / "model")
    plain = [load_model(tmp_path / "model"), pickle.loads(pickle.dumps(fast)), copy.deepcopy(fast)]
    restore_data(fast)
    for model in (*plain, fast):
        assert vars(model).keys() == vars(stock).keys()
        assert vars(model.data_preparator).keys() <= vars(stock.data_preparator).keys()
        answers = [
            each.recommend(
                users,
                dataset,
                5,
                True,
                on_unsupported_targets="ignore",
                context=context_of(each, users),
            )
            for each in (stock, model)
        ]
        pd.testing.assert_frame_equal(*answers, check_exact=True)


def test_restoring_takes_away_only_what_was_put_there() -> None:
    model = SASRecModel(**TINY)
    model.data_preparator.get_dataloader_train = print
    before = dict(vars(model.data_preparator))
    accelerate_data(model)
    assert vars(model.data_preparator) != before
    restore_data(model)
    assert vars(model.data_preparator) == before
