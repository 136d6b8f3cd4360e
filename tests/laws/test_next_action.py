"""What must hold for next-action training: batches, losses, learning, round trips."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.dataset.identifiers import IdMap
from rectools.models import BERT4RecModel, load_model
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler

from search_spaces.albert import AlbertLayers, AlbertSumConstructor
from search_spaces.next_action import NextActionDataPreparator, NextActionLightningModule

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)

N_ITEMS = 10
SESSION_MAX_LEN = 6
N_NEGATIVES = 3
PAD, MASK = 0, 1

NEXT_ACTION: dict[str, Any] = {
    "data_preparator_type": NextActionDataPreparator,
    "lightning_module_type": NextActionLightningModule,
}
ALBERT: dict[str, Any] = {
    "item_net_constructor_type": AlbertSumConstructor,
    "item_net_constructor_kwargs": {"emb_factors": 4},
    "transformer_layers_type": AlbertLayers,
}
TINY: dict[str, Any] = {
    "n_blocks": 1,
    "n_heads": 2,
    "n_factors": 16,
    "dropout_rate": 0.1,
    "session_max_len": SESSION_MAX_LEN,
    "n_negatives": N_NEGATIVES,
    "lr": 0.01,
    "batch_size": 32,
    "epochs": 1,
    "deterministic": True,
    "recommend_torch_device": "cpu",
}
LOSSES = ["softmax", "BCE", "gBCE", "sampled_softmax"]

# Internal ids start after PAD and MASK; weights and lengths differ, the last session fills the window.
SESSIONS = [[2, 3], [5, 4, 9], [11, 2, 3, 7, 8, 6]]
WEIGHTS = [[1.0, 2.0], [1.0, 1.0, 0.5], [3.0, 1.0, 1.0, 1.0, 1.0, 1.5]]
BATCH = [(items, weights, {}) for items, weights in zip(SESSIONS, WEIGHTS, strict=True)]


def make_dataset(n_users: int = 120) -> Dataset:
    """Walk round the circle of items: item i is always followed by i + 1."""
    rows = [
        (user, 100 + (user + step) % N_ITEMS, 1.0, pd.Timestamp("2024-01-01") + pd.Timedelta(days=step))
        for user in range(n_users)
        for step in range(3 + user // N_ITEMS % 5)  # every length from every item
    ]
    return Dataset.construct(pd.DataFrame(rows, columns=Columns.Interactions))


def last_interactions(interactions: pd.DataFrame) -> np.ndarray:
    """Mark each user's last interaction for validation."""
    latest = interactions.groupby(Columns.User)[Columns.Datetime].transform("max")
    return (interactions[Columns.Datetime] == latest).to_numpy()


def make_preparator(n_negatives: int | None = None) -> NextActionDataPreparator:
    preparator = NextActionDataPreparator(
        session_max_len=SESSION_MAX_LEN,
        n_negatives=n_negatives,
        batch_size=3,
        dataloader_num_workers=0,
        train_min_user_interactions=2,
        negative_sampler=CatalogUniformSampler(n_negatives) if n_negatives else None,
    )
    preparator.item_id_map = IdMap.from_values([*preparator.item_extra_tokens, *range(N_ITEMS)])
    preparator._init_extra_token_ids()
    return preparator


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset()


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> dict[str, BERT4RecModel]:
    """Models fitted for one epoch with validation, by loss."""
    seed_everything(3, verbose=False)
    return {
        loss: BERT4RecModel(
            **TINY,
            **NEXT_ACTION,
            loss=loss,
            get_val_mask_func=last_interactions,
            lightning_module_kwargs={"logits_t": 0.5},
        ).fit(dataset)
        for loss in LOSSES
    }


# ####  --------------  Batches  --------------  #### #


def test_last_item_is_the_target_and_masked_in_the_input() -> None:
    batch = make_preparator()._collate_fn_train(BATCH)
    assert batch.keys() == {"x", "y", "yw"}
    assert batch["x"].tolist() == [
        [PAD, PAD, PAD, PAD, 2, MASK],
        [PAD, PAD, PAD, 5, 4, MASK],
        [11, 2, 3, 7, 8, MASK],
    ]
    assert batch["y"].tolist() == [[3], [9], [6]]
    assert batch["yw"].tolist() == [[2.0], [0.5], [1.5]]
    assert (batch["x"].dtype, batch["y"].dtype, batch["yw"].dtype) == (
        torch.int64,
        torch.int64,
        torch.float32,
    )


def test_collate_leaves_the_sessions_alone() -> None:
    sessions = [items.copy() for items in SESSIONS]
    make_preparator()._collate_fn_train(BATCH)
    assert sessions == SESSIONS


def test_negatives_are_items_drawn_for_the_last_position() -> None:
    batch = make_preparator(n_negatives=500)._collate_fn_train(BATCH)
    assert batch["negatives"].shape == (3, 1, 500)
    assert set(batch["negatives"].unique().tolist()) == set(range(2, 2 + N_ITEMS))


@pytest.mark.parametrize("n_negatives", [None, N_NEGATIVES])
def test_validation_batch_has_the_shapes_of_a_training_batch(n_negatives: int | None) -> None:
    preparator = make_preparator(n_negatives)
    held_out = [(items, [0.0] * (len(items) - 1) + [1.0], {}) for items in SESSIONS]
    train, val = preparator._collate_fn_train(held_out), preparator._collate_fn_val(held_out)
    assert {k: (v.shape, v.dtype) for k, v in val.items()} == {
        k: (v.shape, v.dtype) for k, v in train.items()
    }
    for key in ("x", "y", "yw"):
        torch.testing.assert_close(val[key], train[key], rtol=0, atol=0)


def test_session_of_one_item_is_predicted_from_the_mask_alone() -> None:
    preparator = make_preparator(N_NEGATIVES)
    for collate in (preparator._collate_fn_train, preparator._collate_fn_val):
        batch = collate([([4], [1.0], {})])
        assert batch["x"].tolist() == [[PAD] * (SESSION_MAX_LEN - 1) + [MASK]]
        assert batch["y"].tolist() == [[4]]
        assert batch["negatives"].shape == (1, 1, N_NEGATIVES)


# ####  --------------  Losses  --------------  #### #


def naive_loss(
    loss: str, logits: torch.Tensor, batch: dict[str, torch.Tensor], gbce_t: float
) -> torch.Tensor:
    """Compute a loss by its formula, user by user, from logits of shape (batch_size, n_items)."""
    n_actual_items = logits.shape[1] - 2  # without PAD and MASK
    losses = []
    for row, target, weight, negatives in zip(
        logits.double(), batch["y"][:, 0], batch["yw"][:, 0], batch.get("negatives", batch["y"]), strict=True
    ):
        positive, others = row[target], row[negatives.flatten()]
        if loss == "softmax":
            value = row.logsumexp(0) - positive
        elif loss == "sampled_softmax":
            value = torch.cat([positive[None], others]).logsumexp(0) - positive
        else:
            alpha = len(others) / (n_actual_items - 1)
            power = 1.0 if loss == "BCE" else alpha * (gbce_t * (1 - 1 / alpha) + 1 / alpha)
            terms = [
                -power * torch.sigmoid(positive).log(),
                *(-torch.sigmoid(-other).log() for other in others),
            ]
            value = torch.stack(terms).mean()
        losses.append(value * weight)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_the_formula_on_full_logits(fitted: dict[str, BERT4RecModel], loss: str) -> None:
    model = fitted[loss]
    batch = model.data_preparator._collate_fn_train(BATCH)
    module = model.lightning_model.eval()
    with torch.no_grad():
        full = module.torch_model(batch={"x": batch["x"]})
        actual = module.loss_calculator(module.get_batch_logits(batch), batch["y"], batch["yw"])
    assert full.shape == (3, SESSION_MAX_LEN, N_ITEMS + 2)
    expected = naive_loss(loss, full[:, -1] / 0.5, batch, module.gbce_t)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_step_is_the_stock_step_with_no_other_targets(fitted: dict[str, BERT4RecModel], loss: str) -> None:
    """The stock module, given targets of 0 everywhere but at the end, has the same loss and gradients."""
    module = fitted[loss].lightning_model.train()
    short = fitted[loss].data_preparator._collate_fn_train(BATCH)
    wide = {key: torch.zeros(3, SESSION_MAX_LEN, *value.shape[2:]).to(value) for key, value in short.items()}
    wide["x"] = short["x"]
    for key in short.keys() - {"x"}:
        wide[key][:, -1:] = short[key]

    def step(get_logits: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        torch.manual_seed(11)  # the same dropout
        logits = get_logits(module, batch)
        value = module.loss_calculator(logits, batch["y"], batch["yw"])
        return value, list(torch.autograd.grad(value, list(module.torch_model.parameters())))

    ours, our_gradients = step(NextActionLightningModule.get_batch_logits, short)
    stock, stock_gradients = step(TransformerLightningModule.get_batch_logits, wide)
    torch.testing.assert_close(ours, stock, rtol=1e-6, atol=0)
    torch.testing.assert_close(our_gradients, stock_gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("distance", ["dot", "cosine"])
@pytest.mark.parametrize("loss", ["softmax", "BCE"])
def test_logits_are_the_last_of_the_plain_path(dataset: Dataset, loss: str, distance: str) -> None:
    kwargs = {
        "lightning_module_kwargs": {"logits_t": 0.1},
        "similarity_module_kwargs": {"distance": distance},
    }
    model = BERT4RecModel(**TINY, **NEXT_ACTION, loss=loss, **kwargs).fit(dataset)
    batch = model.data_preparator._collate_fn_train(BATCH)
    module = model.lightning_model.eval()
    candidates = torch.cat([batch["y"][..., None], batch["negatives"]], -1) if loss == "BCE" else None
    plain = module.torch_model(batch=batch, candidate_item_ids=candidates)[:, -1:] / 0.1
    torch.testing.assert_close(module.get_batch_logits(batch), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_validation_loss_is_logged(fitted: dict[str, BERT4RecModel], loss: str) -> None:
    trainer = fitted[loss].fit_trainer
    assert trainer is not None
    assert np.isfinite(float(trainer.callback_metrics["val_loss"]))


# ####  --------------  Whole models  --------------  #### #


def next_items(model: BERT4RecModel, dataset: Dataset, k: int = 1) -> pd.DataFrame:
    users = dataset.user_id_map.external_ids
    return model.recommend(users=users, dataset=dataset, k=k, filter_viewed=False)


@pytest.mark.parametrize("use_causal_attn", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_model_learns_which_item_follows(dataset: Dataset, loss: str, use_causal_attn: bool) -> None:
    seed_everything(5, verbose=False)
    settings = TINY | {"epochs": 25}
    model = BERT4RecModel(**settings, **NEXT_ACTION, loss=loss, use_causal_attn=use_causal_attn).fit(dataset)
    recommended = next_items(model, dataset).set_index(Columns.User)[Columns.Item]
    interactions = dataset.get_raw_interactions()
    last = interactions.sort_values(Columns.Datetime).groupby(Columns.User)[Columns.Item].last()
    following = 100 + (last - 100 + 1) % N_ITEMS
    assert (recommended.reindex(following.index) == following).mean() > 0.9


@pytest.mark.parametrize("use_causal_attn", [False, True])
@pytest.mark.parametrize("other_modules", [{}, ALBERT], ids=["stock", "albert"])
def test_fitted_model_survives_saving(
    dataset: Dataset, other_modules: dict[str, Any], use_causal_attn: bool, tmp_path: Path
) -> None:
    seed_everything(5, verbose=False)
    modules = NEXT_ACTION | other_modules
    model = BERT4RecModel(**TINY, **modules, use_causal_attn=use_causal_attn).fit(dataset)
    model.save(tmp_path / "model.pkl")
    loaded = load_model(tmp_path / "model.pkl")
    assert isinstance(loaded.lightning_model, NextActionLightningModule)
    assert isinstance(loaded.data_preparator, NextActionDataPreparator)
    pd.testing.assert_frame_equal(next_items(loaded, dataset, k=5), next_items(model, dataset, k=5))


def test_params_round_trip_through_json() -> None:
    model = BERT4RecModel(**TINY, **NEXT_ACTION, lightning_module_kwargs={"logits_t": 0.5})
    params = model.get_params(simple_types=True)
    assert params["data_preparator_type"] == "search_spaces.next_action.NextActionDataPreparator"
    assert params["lightning_module_type"] == "search_spaces.next_action.NextActionLightningModule"
    assert params["lightning_module_kwargs.logits_t"] == 0.5
    again = BERT4RecModel.from_params(json.loads(json.dumps(params)))
    assert again.get_params(simple_types=True) == params
