"""The table of all item embeddings on a GPU, made without waiting and with a fast gradient.

On a CPU, and with a user's classes, RecTools' own methods run.
"""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

import torch
from rectools.models.nn.item_net import (
    CatFeaturesItemNet,
    IdEmbeddingsItemNet,
    ItemNetBase,
    ItemNetConstructorBase,
    SumOfEmbeddingsConstructor,
)
from rectools.models.nn.transformers.net_blocks import LearnableInversePositionalEncoding
from rectools.models.nn.transformers.torch_backbone import TransformerBackboneBase, TransformerTorchBackbone
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding
from typing_extensions import TypeIs

from tuner.training.fast_paths.fused import ByItem, looked_up
from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.stu import is_stu, through_stu

__all__ = ["all_embeddings", "encode_sessions", "takes_ids_of_any_device"]


def all_embeddings(net: ItemNetBase) -> torch.Tensor:
    """Return ``net.get_all_embeddings()``, shape (n_items, n_factors).

    At each step RecTools makes the ids of all items on the CPU, and waits until they have been sent. Here the
    GPU makes the ids. If items have no features, all embeddings are the weights themselves, in their order.
    """
    if not (takes_ids_of_any_device(net) and net.device.type == "cuda"):
        return net.get_all_embeddings()
    if type(net) is SumOfEmbeddingsConstructor and len(net.item_net_blocks) == 1:
        (block,) = net.item_net_blocks
        if type(block) is IdEmbeddingsItemNet and not any(map(_has_hooks, net.modules())):
            return _weights_of(block.ids_emb)
    embeddings: torch.Tensor = net.forward(torch.arange(net.n_items, device=net.device))
    return embeddings


def _has_hooks(part: torch.nn.Module) -> bool:
    return bool(part._forward_pre_hooks or part._forward_hooks or part._backward_hooks)  # noqa: SLF001  # torch has no public names for its hooks


def _weights_of(layer: torch.nn.Embedding) -> torch.Tensor:
    """Return the embeddings of all ids, without a gradient for the padding."""
    weights: torch.Tensor = _Weights.apply(layer.weight, layer.padding_idx)  # type: ignore[no-untyped-call]  # torch does not type it
    return weights


class _Weights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, padding: int | None) -> torch.Tensor:  # noqa: ANN401  # torch gives it no type
        ctx.padding = padding
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401  # as above
        if ctx.padding is not None:
            grad = grad.clone()
            grad[ctx.padding] = 0
        return grad, None


def takes_ids_of_any_device(net: ItemNetBase) -> TypeIs[ItemNetConstructorBase]:
    """Whether a net is RecTools' own, or its class declares ``takes_ids_of_any_device = True``."""
    own = vars(type(net))
    return (
        isinstance(net, ItemNetConstructorBase)
        and (type(net) is SumOfEmbeddingsConstructor or own.get("takes_ids_of_any_device") is True)
        and all(type(block) in {IdEmbeddingsItemNet, CatFeaturesItemNet} for block in net.item_net_blocks)
    )


def encode_sessions(
    backbone: TransformerBackboneBase, batch: dict[str, torch.Tensor], table: torch.Tensor
) -> torch.Tensor:
    """Return ``backbone.encode_sessions(batch, table)``, shape (batch_size, session_max_len, n_factors).

    RecTools looks items up by an index. To be reproducible, a GPU sums the gradient of an index row by row,
    one position after another. Most positions belong to one row, the padding. The gradient of an embedding is
    summed in parts, and its order is fixed too. Only the rounding of that sum differs.
    """
    own = getattr_static(backbone, "encode_sessions")
    if table.device.type != "cuda" or own is not TransformerTorchBackbone.encode_sessions:
        return backbone.encode_sessions(batch, table)
    assert isinstance(backbone, TransformerTorchBackbone)
    if type(backbone.pos_encoding_layer) is LearnableInversePositionalEncoding:
        return _encoded(backbone, batch, table)
    return backbone.encode_sessions(batch, _Rows(table))  # type: ignore[arg-type]  # that method only takes rows of it


def _encoded(
    backbone: TransformerTorchBackbone, batch: dict[str, torch.Tensor], table: torch.Tensor
) -> torch.Tensor:
    """Do the same as ``backbone.encode_sessions``. The GPU makes the positions; RecTools would send them."""
    x = batch["x"]
    padding, length = x == 0, x.shape[1]
    encoding = backbone.pos_encoding_layer
    assert isinstance(encoding, LearnableInversePositionalEncoding)
    seqs = _with_positions(encoding, _embedded(batch, table))
    seqs = backbone.emb_dropout(seqs)
    attention_mask = key_padding_mask = None
    if backbone.use_causal_attn:
        attention_mask = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    if backbone.use_key_padding_mask:
        key_padding_mask = padding
        if attention_mask is not None:
            attention_mask = backbone._merge_masks(attention_mask, key_padding_mask, seqs)  # noqa: SLF001  # RecTools' own
            key_padding_mask = None
    layers, is_token = backbone.transformer_layers, ~padding.unsqueeze(-1)
    if attention_mask is not None and key_padding_mask is None and is_stu(layers):
        return through_stu(layers, seqs, is_token, attention_mask, batch)
    encoded: torch.Tensor = layers(seqs, is_token, attention_mask, key_padding_mask, batch=batch)
    return encoded


def _embedded(batch: dict[str, torch.Tensor], table: torch.Tensor) -> torch.Tensor:
    x = batch["x"]
    if "order" not in batch or not serves(table):
        return embedding(x, table)
    by_item = ByItem(batch["items"], batch["order"])
    return looked_up(table, x.flatten(), by_item).view(*x.shape, -1)


def _with_positions(encoding: LearnableInversePositionalEncoding, seqs: torch.Tensor) -> torch.Tensor:
    """Return the same as the layer. Positions count from the end."""
    if encoding.use_scale_factor:
        seqs = seqs * seqs.shape[2] ** 0.5
    if encoding.pos_emb is None:
        return seqs
    return seqs + encoding.pos_emb.weight[: seqs.shape[1]].flip(0)


class _Rows:
    """A table that only supports taking rows."""

    def __init__(self, table: torch.Tensor) -> None:
        self._table = table

    def __getitem__(self, ids: torch.Tensor) -> torch.Tensor:
        return embedding(ids, self._table)
