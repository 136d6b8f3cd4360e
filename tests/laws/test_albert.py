"""What must hold for the ALBERT modules: order, gradients, parameter counts, round trips."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.dataset.dataset import DatasetSchema
from rectools.models import BERT4RecModel, SASRecModel, load_model
from rectools.models.nn.item_net import CatFeaturesItemNet, IdEmbeddingsItemNet
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

from search_spaces.albert import AlbertLayers, AlbertSumConstructor, layer_order

if TYPE_CHECKING:
    from pathlib import Path

    from rectools.models.nn.transformers.base import TransformerModelBase

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)

# (n_blocks, n_hidden_groups, n_inner_groups) and the order of layers, written out by hand.
ORDERS = {
    (1, 1, 1): [0],
    (4, 1, 1): [0, 0, 0, 0],
    (2, 1, 3): [0, 1, 2, 0, 1, 2],
    (2, 2, 2): [0, 1, 2, 3],
    (4, 2, 2): [0, 1, 0, 1, 2, 3, 2, 3],
    (3, 2, 1): [0, 0, 1],
    (3, 3, 1): [0, 1, 2],
    (12, 5, 2): [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9],
}
BAD = [(2, 0, 1), (2, -1, 1), (2, 3, 1), (0, 1, 1), (0, 0, 1), (2, 1, 0), (2, 2, -1)]

ALBERT: dict[str, Any] = {
    "item_net_constructor_type": AlbertSumConstructor,
    "item_net_constructor_kwargs": {"emb_factors": 4},
    "transformer_layers_type": AlbertLayers,
    "transformer_layers_kwargs": {"n_hidden_groups": 2, "n_inner_groups": 2},
}
TINY: dict[str, Any] = {
    "n_blocks": 3,
    "n_heads": 2,
    "n_factors": 8,
    "session_max_len": 6,
    "epochs": 1,
    "batch_size": 16,
    "deterministic": True,
    "recommend_torch_device": "cpu",
}
MODELS = [SASRecModel, BERT4RecModel]

triples = st.integers(1, 48).flatmap(
    lambda n_blocks: st.tuples(st.just(n_blocks), st.integers(1, n_blocks), st.integers(1, 4))
)


def make_interactions(n_users: int, n_items: int, session_len: int) -> pd.DataFrame:
    """Give each user `session_len` consecutive items, starting where the user before stopped."""
    events = np.arange(n_users * session_len)
    return pd.DataFrame(
        {
            Columns.User: events // session_len,
            Columns.Item: 1000 + events % n_items,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp("2024-01-01") + pd.to_timedelta(events, unit="D"),
        }
    )


def with_item_features(interactions: pd.DataFrame) -> Dataset:
    """Add a categorical feature with three values and one with two to every item."""
    items = interactions[Columns.Item].unique()
    features = pd.concat(
        pd.DataFrame({"id": items, "feature": name, "value": items % n_values})
        for name, n_values in (("genre", 3), ("age", 2))
    )
    return Dataset.construct(interactions, item_features_df=features, cat_item_features=["genre", "age"])


def make_layers(n_blocks: int, n_hidden_groups: int = 1, n_inner_groups: int = 1) -> AlbertLayers:
    return AlbertLayers(n_blocks, 8, 2, 0.0, n_hidden_groups=n_hidden_groups, n_inner_groups=n_inner_groups)


def encode(layers: torch.nn.Module, seqs: torch.Tensor, **masks: torch.Tensor) -> torch.Tensor:
    """Call layers as the backbone of RecTools 0.19 does."""
    batch = {"x": torch.ones(seqs.shape[:2], dtype=torch.long)}
    timeline_mask = (batch["x"] != 0).unsqueeze(-1)
    attn_mask, key_padding_mask = masks.get("attn_mask"), masks.get("key_padding_mask")
    encoded: torch.Tensor = layers(seqs, timeline_mask, attn_mask, key_padding_mask, batch=batch)
    return encoded


def no_training(max_epochs: int) -> Trainer:
    """Return a trainer that builds the network and sees no batch."""
    return Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        limit_train_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return with_item_features(make_interactions(n_users=20, n_items=15, session_len=5))


# ####  --------------  Order of layers  --------------  #### #


@pytest.mark.parametrize(("triple", "expected"), ORDERS.items())
def test_order_is_the_one_written_by_hand(triple: tuple[int, int, int], expected: list[int]) -> None:
    assert list(layer_order(*triple)) == expected


@given(triples)
def test_every_block_applies_its_whole_group(triple: tuple[int, int, int]) -> None:
    n_blocks, n_hidden_groups, n_inner_groups = triple
    order = layer_order(*triple)
    assert len(order) == n_blocks * n_inner_groups
    for block in range(n_blocks):
        applied = order[block * n_inner_groups : (block + 1) * n_inner_groups]
        group = int(Fraction(block, n_blocks) * n_hidden_groups)
        first = group * n_inner_groups
        assert applied == tuple(range(first, first + n_inner_groups))


@pytest.mark.parametrize("n_blocks", [18, 27, 36, 42, 44, 45, 46])
def test_groups_are_not_at_the_mercy_of_rounding(n_blocks: int) -> None:
    """At these depths, dividing floats puts a block into the wrong group for some number of groups."""
    for n_hidden_groups in range(1, n_blocks + 1):
        exact = [int(Fraction(block, n_blocks) * n_hidden_groups) for block in range(n_blocks)]
        assert list(layer_order(n_blocks, n_hidden_groups, 1)) == exact


@given(triples)
def test_every_layer_is_used(triple: tuple[int, int, int]) -> None:
    _, n_hidden_groups, n_inner_groups = triple
    assert set(layer_order(*triple)) == set(range(n_hidden_groups * n_inner_groups))


@given(triples)
def test_groups_are_contiguous_and_even(triple: tuple[int, int, int]) -> None:
    n_blocks, n_hidden_groups, n_inner_groups = triple
    groups = [layer // n_inner_groups for layer in layer_order(*triple)][::n_inner_groups]
    assert groups == sorted(groups)
    run_lengths = [groups.count(group) for group in range(n_hidden_groups)]
    assert sum(run_lengths) == n_blocks
    assert max(run_lengths) - min(run_lengths) <= 1


@pytest.mark.parametrize("triple", BAD)
def test_bad_triple_is_refused_with_the_rule_and_the_values(triple: tuple[int, int, int]) -> None:
    message = (
        r"`1 <= n_hidden_groups <= n_blocks` and `n_inner_groups >= 1` must hold, but got "
        rf"n_blocks={triple[0]}, n_hidden_groups={triple[1]}, n_inner_groups={triple[2]}$"
    )
    with pytest.raises(ValueError, match=message):
        layer_order(*triple)
    with pytest.raises(ValueError, match=message):
        make_layers(*triple)


# ####  --------------  Layers  --------------  #### #


@pytest.mark.parametrize(("triple", "expected"), ORDERS.items())
def test_layers_are_called_in_order_and_all_learn(triple: tuple[int, int, int], expected: list[int]) -> None:
    torch.manual_seed(0)
    layers = make_layers(*triple)
    calls: list[int] = []
    for i, layer in enumerate(layers.transformer_blocks):
        layer.register_forward_hook(lambda *_, i=i: calls.append(i))

    encode(layers, torch.randn(2, 5, 8)).square().sum().backward()

    assert calls == expected
    assert len(layers.transformer_blocks) == triple[1] * triple[2]
    for name, parameter in layers.named_parameters():
        assert parameter.grad is not None, name
        assert torch.count_nonzero(parameter.grad) > 0, name


def test_nothing_shared_is_the_stock_network() -> None:
    torch.manual_seed(0)
    stock = PreLNTransformerLayers(3, 8, 2, 0.0)
    layers = make_layers(3, n_hidden_groups=3)
    layers.load_state_dict(stock.state_dict())
    seqs = torch.randn(4, 5, 8)
    padding = torch.tensor([[True] * n + [False] * (5 - n) for n in range(4)])
    for masks in ({}, {"attn_mask": causal(5)}, {"key_padding_mask": padding}):
        torch.testing.assert_close(
            encode(layers, seqs, **masks), encode(stock, seqs, **masks), rtol=0, atol=0
        )


def test_everything_shared_is_one_layer_repeated() -> None:
    torch.manual_seed(0)
    layers = make_layers(4)
    stock = PreLNTransformerLayers(4, 8, 2, 0.0)
    for block in stock.transformer_blocks:
        block.load_state_dict(layers.transformer_blocks[0].state_dict())
    seqs = torch.randn(3, 5, 8)
    torch.testing.assert_close(encode(layers, seqs), encode(stock, seqs), rtol=0, atol=0)


def test_causal_mask_hides_the_future_at_any_depth() -> None:
    torch.manual_seed(0)
    layers = make_layers(4, 2, 2).eval()
    seqs = torch.randn(3, 5, 8)
    changed = seqs.clone()
    changed[:, 3:] += 1
    before, after = encode(layers, seqs, attn_mask=causal(5)), encode(layers, changed, attn_mask=causal(5))
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=0)
    assert not torch.isclose(before[:, 3:], after[:, 3:]).all()


def causal(length: int) -> torch.Tensor:
    return ~torch.tril(torch.ones((length, length), dtype=torch.bool))


def test_misspelt_kwarg_is_refused(dataset: Dataset) -> None:
    with pytest.raises(TypeError, match="n_hiden_groups"):
        AlbertLayers(2, 8, 2, 0.0, n_hiden_groups=1)  # type: ignore[call-arg]
    for build, source in builders(dataset):
        with pytest.raises(TypeError, match="emb_factor"):
            build(source, 8, 0.0, [IdEmbeddingsItemNet], emb_factors=4, emb_factor=4)


# ####  --------------  Item net  --------------  #### #


def builders(dataset: Dataset) -> list[tuple[Any, Any]]:
    schema = DatasetSchema.model_validate(dataset.get_schema())
    return [
        (AlbertSumConstructor.from_dataset, dataset),
        (AlbertSumConstructor.from_dataset_schema, schema),
    ]


@pytest.mark.parametrize(
    "blocks", [[IdEmbeddingsItemNet], [CatFeaturesItemNet], [IdEmbeddingsItemNet, CatFeaturesItemNet]]
)
def test_dataset_and_its_schema_give_one_structure(dataset: Dataset, blocks: list[Any]) -> None:
    built, rebuilt = (build(source, 8, 0.0, blocks, emb_factors=4) for build, source in builders(dataset))
    assert str(built) == str(rebuilt)
    shapes, same_shapes = ({k: v.shape for k, v in net.state_dict().items()} for net in (built, rebuilt))
    assert shapes == same_shapes
    rebuilt.load_state_dict(built.state_dict())
    torch.testing.assert_close(rebuilt.get_all_embeddings(), built.get_all_embeddings(), rtol=0, atol=0)


def test_embeddings_are_the_projected_sum_of_blocks(dataset: Dataset) -> None:
    blocks = [IdEmbeddingsItemNet, CatFeaturesItemNet]
    net = AlbertSumConstructor.from_dataset(dataset, 8, 0.0, blocks, emb_factors=4)
    items = torch.tensor([3, 0, 7])
    narrow = net.item_net_blocks[0](items) + net.item_net_blocks[1](items)
    assert narrow.shape == (3, 4)
    expected = narrow @ net.item_emb_proj.weight.T + net.item_emb_proj.bias
    torch.testing.assert_close(net(items), expected)
    assert net.get_all_embeddings().shape == (dataset.item_id_map.size, 8)
    assert net.out_dim == 8


def test_blocks_without_data_are_left_out_but_not_all() -> None:
    plain = Dataset.construct(make_interactions(n_users=2, n_items=4, session_len=3))
    for build, source in builders(plain):
        net = build(source, 8, 0.0, [IdEmbeddingsItemNet, CatFeaturesItemNet], emb_factors=4)
        assert len(net.item_net_blocks) == 1
        with pytest.raises(ValueError, match="At least one"):
            build(source, 8, 0.0, [CatFeaturesItemNet], emb_factors=4)


@pytest.mark.parametrize("emb_factors", [0, -1])
def test_bad_emb_factors_is_refused_with_the_rule_and_the_value(dataset: Dataset, emb_factors: int) -> None:
    message = f"`emb_factors >= 1` must hold, but got emb_factors={emb_factors}$"
    for build, source in builders(dataset):
        with pytest.raises(ValueError, match=message):
            build(source, 8, 0.0, [IdEmbeddingsItemNet], emb_factors=emb_factors)


# ####  --------------  Whole models  --------------  #### #


@pytest.mark.parametrize(
    ("albert", "millions", "megabytes"),
    [
        ({}, 5.51, 22.040),
        (
            ALBERT
            | {
                "item_net_constructor_kwargs": {"emb_factors": 64},
                "transformer_layers_kwargs": {"n_hidden_groups": 2, "n_inner_groups": 2},
            },
            4.18,
            16.710,
        ),
    ],
)
def test_parameters_at_the_size_of_kion(albert: dict[str, Any], millions: float, megabytes: float) -> None:
    """15,253 embedding rows are what KION leaves after BERT4Rec's filters, PAD and MASK included."""
    interactions = make_interactions(n_users=153, n_items=15_251, session_len=100)
    model = BERT4RecModel(
        item_net_block_types=(IdEmbeddingsItemNet,),
        get_trainer_func=no_training,
        get_trainer_func_kwargs={"max_epochs": 1},
        **albert,
    ).fit(Dataset.construct(interactions))

    assert model.data_preparator.item_id_map.size == 15_253
    n_parameters = sum(parameter.numel() for parameter in model.torch_model.parameters())
    assert round(n_parameters / 1e6, 2) == millions
    assert round(n_parameters * 4 / 1e6, 3) == megabytes


@pytest.mark.parametrize("model_type", MODELS)
def test_fitted_model_survives_saving(
    model_type: type[TransformerModelBase[Any]], dataset: Dataset, tmp_path: Path
) -> None:
    seed_everything(7, verbose=False)
    model = model_type(**TINY, **ALBERT).fit(dataset)
    model.save(tmp_path / "model.pkl")
    loaded = load_model(tmp_path / "model.pkl")

    assert isinstance(loaded, model_type)
    assert loaded.get_params(simple_types=True) == model.get_params(simple_types=True)
    before, after = (recommend(some, dataset) for some in (model, loaded))
    assert len(before) > 0
    pd.testing.assert_frame_equal(after, before)


def recommend(model: TransformerModelBase[Any], dataset: Dataset) -> pd.DataFrame:
    users = dataset.user_id_map.external_ids
    return model.recommend(users=users, dataset=dataset, k=5, filter_viewed=False)


@pytest.mark.parametrize("model_type", MODELS)
def test_params_round_trip_through_json(model_type: type[TransformerModelBase[Any]]) -> None:
    params = model_type(**TINY, **ALBERT).get_params(simple_types=True)
    assert params["transformer_layers_type"] == "search_spaces.albert.AlbertLayers"
    assert params["transformer_layers_kwargs.n_hidden_groups"] == 2
    assert params["transformer_layers_kwargs.n_inner_groups"] == 2
    assert params["item_net_constructor_type"] == "search_spaces.albert.AlbertSumConstructor"
    assert params["item_net_constructor_kwargs.emb_factors"] == 4
    again = model_type.from_params(json.loads(json.dumps(params)))
    assert again.get_params(simple_types=True) == params
