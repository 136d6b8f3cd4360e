"""What must hold for the encoder at targets: it is RecTools' encoder, dropout and gradients included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from pytorch_lightning import seed_everything
from rectools.models.nn.transformers.hstu import STULayers
from rectools.models.nn.transformers.net_blocks import (
    LearnableInversePositionalEncoding,
    PointWiseFeedForward,
    PreLNTransformerLayers,
)
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone

from search_spaces.albert import AlbertLayers
from tests.laws.test_training import BERT4REC, SASREC, assert_same_step, begun, step
from tuner.training.fast_paths.encoder import encode_at, encodes_at_targets
from tuner.training.fast_paths.step import target_only_step

if TYPE_CHECKING:
    from rectools.models.nn.transformers.base import TransformerModelBase

    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

SEED = 78
LIGR = {"transformer_layers_type": "rectools.models.nn.transformers.ligr.LiGRLayers"}
ALBERT = {"transformer_layers_type": AlbertLayers, "transformer_layers_kwargs.n_inner_groups": 2}
#: Long sessions, so that much is padding.
LONG: dict[str, Any] = {"session_max_len": 30, "loss": "softmax"}
MASKED = {**SASREC, **LONG, "use_key_padding_mask": True}
TASK = {**BERT4REC, **LONG}
HSTU = {**SASREC, **LONG, "cls": "HSTUModel"}
ENCODERS: dict[str, dict[str, Any]] = {
    "sasrec": {**SASREC, **LONG},
    "sasrec, padding masked": MASKED,
    "bert4rec": TASK,
    "no dropout": {**TASK, "dropout_rate": 0.0},
    "causal bert4rec": {**TASK, "use_causal_attn": True},
    "scaled, without positions": {**TASK, "use_pos_emb": False, "pos_encoding_kwargs.use_scale_factor": True},
    "pre-LN, narrow": {
        **MASKED,
        "n_blocks": 1,
        "transformer_layers_type": "rectools.models.nn.transformers.net_blocks.PreLNTransformerLayers",
        "transformer_layers_kwargs.ff_factors_multiplier": 2,
    },
    "LiGR": {**MASKED, **LIGR},
    "LiGR, relu": {**TASK, **LIGR, "transformer_layers_kwargs.ff_activation": "relu"},
    "albert": {**TASK, **ALBERT, "n_blocks": 3},
    "alsasrec": {**MASKED, **ALBERT},
    "pre-LN that sees padding": {**SASREC, **LONG, "transformer_layers_type": PreLNTransformerLayers},
    "LiGR that sees padding": {**SASREC, **LONG, **LIGR},
    "HSTU": HSTU,
    "HSTU, one head, no times": {**HSTU, "n_heads": 1, "relative_time_attention": False},
    "HSTU, dropout of attention, no positions": {
        **HSTU,
        "relative_pos_attention": False,
        "transformer_layers_kwargs.attn_dropout_rate": 0.3,
    },
}


@pytest.mark.parametrize("name", ENCODERS)
def test_positions_are_encoded_as_in_a_padded_batch(name: str, folds: list[Fold]) -> None:
    model, batch = begun(ENCODERS[name], folds[0])
    module, x = model.lightning_model, batch["x"]
    assert encodes_at_targets(module.torch_model)
    assert 0.2 < (x == 0).double().mean() < 0.8, "there is padding, and there are tokens"
    read = x.flatten().nonzero().squeeze(1)[1::2]
    table = module.double().torch_model.item_model.get_all_embeddings()
    seed_everything(SEED, verbose=False)
    ours, state = encode_at(module.torch_model, batch, table, read), torch.get_rng_state()
    seed_everything(SEED, verbose=False)
    expected = module.torch_model.encode_sessions(batch, table).flatten(0, 1)[read]
    assert torch.equal(state, torch.get_rng_state())
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_step_at_targets_has_the_loss_and_gradients_of_rectools(name: str, folds: list[Fold]) -> None:
    model, batch = begun(ENCODERS[name], folds[0])
    assert_same_step(model.lightning_model, batch)
    assert_same_step(model.lightning_model.double(), batch)


def test_padding_within_a_session_is_left_out_too(folds: list[Fold]) -> None:
    model, batch = begun(TASK, folds[0])
    x, y = batch["x"], batch["y"]
    gaps = (y == 0) & (x != 0)
    gaps[:, ::2] = False
    assert gaps.any()
    x[gaps] = 0
    assert_same_step(model.lightning_model.double(), batch)


def test_a_part_that_does_not_train_drops_nothing(folds: list[Fold]) -> None:
    model, batch = begun(TASK, folds[0])
    first = model.torch_model.transformer_layers.transformer_blocks[0]
    first.multi_head_attn.eval()
    first.dropout_1.eval()
    assert encodes_at_targets(model.torch_model)
    assert_same_step(model.lightning_model.double(), batch)


def test_a_target_at_padding_is_left_to_rectools(folds: list[Fold]) -> None:
    model, batch = begun(TASK, folds[0])
    row = int((batch["x"][:, 0] == 0).nonzero()[0])
    batch["y"][row, 0] = 5
    assert_same_step(model.lightning_model.double(), batch)


class SubclassedLayers(AlbertLayers):
    """Inherits the word, but may do anything."""


class SubclassedSasrec(SASRecTransformerLayers):
    """As above."""


class SubclassedStu(STULayers):
    """As above."""


class OwnMasks(TransformerTorchBackbone):
    def _merge_masks(self, *args: Any) -> torch.Tensor:
        return super()._merge_masks(*args) / 2


class OwnPositions(LearnableInversePositionalEncoding):
    def forward(self, sessions: torch.Tensor) -> torch.Tensor:
        return super().forward(sessions) * 2


NOT_ALLOWED: dict[str, dict[str, Any]] = {
    "a subclass of HSTU's layers": {
        **SASREC,
        **LONG,
        "transformer_layers_type": SubclassedStu,
        "transformer_layers_kwargs.linear_hidden_dim": 8,
        "transformer_layers_kwargs.attention_dim": 8,
        "transformer_layers_kwargs.session_max_len": 30,
        "transformer_layers_kwargs.relative_time_attention": False,
        "transformer_layers_kwargs.relative_pos_attention": True,
    },
    "a subclass of declared layers": {**TASK, **ALBERT, "transformer_layers_type": SubclassedLayers},
    "a subclass of RecTools' layers": {**MASKED, "transformer_layers_type": SubclassedSasrec},
    "other masks": {**MASKED, "backbone_type": OwnMasks},
    "another positional encoding": {**TASK, "pos_encoding_type": OwnPositions},
}


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_what_may_do_more_is_encoded_as_ever(name: str, folds: list[Fold]) -> None:
    model, batch = begun(NOT_ALLOWED[name], folds[0])
    assert not encodes_at_targets(model.torch_model)
    assert_same_step(model.lightning_model.double(), batch)


def listened(model: TransformerModelBase, calls: list[object]) -> None:
    model.torch_model.transformer_layers.transformer_blocks[0].feed_forward.register_forward_hook(
        lambda *_: calls.append(1)
    )


def replaced(model: TransformerModelBase, calls: list[object]) -> None:
    block = model.torch_model.transformer_layers.transformer_blocks[0]
    own = block.forward
    block.forward = lambda *args: calls.append(1) or own(*args)


class LoudFeedForward(PointWiseFeedForward):
    calls: ClassVar[list[object]] = []

    def forward(self, seqs: torch.Tensor) -> torch.Tensor:
        self.calls.append(1)
        return super().forward(seqs)


def exchanged(model: TransformerModelBase, calls: list[object]) -> None:
    LoudFeedForward.calls = calls
    model.torch_model.transformer_layers.transformer_blocks[0].feed_forward.__class__ = LoudFeedForward


@pytest.mark.parametrize("change", [listened, replaced, exchanged])
def test_a_part_that_somebody_changed_is_called_as_ever(change: Any, folds: list[Fold]) -> None:
    model, batch = begun(TASK, folds[0])
    calls: list[object] = []
    change(model, calls)
    step(model.lightning_model, target_only_step, batch)
    assert calls == [1]
