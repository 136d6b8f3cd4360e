"""RecTools' session encoder, computed only for the positions that a training step reads: the targets.

RecTools encodes padded batches. Only 15 to 50 % of their positions are tokens, and a step reads only the
targets from the output of the last block. This module computes the last block only at targets (see `blocks`),
and the earlier blocks only at tokens, if tokens do not see padding. That is so in three cases:

- The key padding mask gives padding a weight of 0 in attention.
- `SASRecTransformerLayers` set padding to 0 before each block, so its keys and values are the biases.
- `STULayers` of HSTU do so too, and hide padding in attention (see `stu`).

If tokens see padding, as in pre-LN layers without that mask, padding is encoded like tokens.

Results differ from RecTools' by the rounding of smaller matrix products. Shortening the batch to its longest
session would save little: among 128 sessions, the longest is usually as long as allowed.
"""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

import torch
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.net_blocks import (
    LearnableInversePositionalEncoding,
    PointWiseFeedForward,
    PreLNTransformerLayers,
    SwigluFeedForward,
    TransformerLayersBase,
)
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers
from rectools.models.nn.transformers.torch_backbone import TransformerBackboneBase, TransformerTorchBackbone
from torch.nn import functional

from tuner.training.fast_paths import fused
from tuner.training.fast_paths.blocks import BLOCKS, PaddedTokens, Tokens, draws_as_it_lies
from tuner.training.fast_paths.fused_tokens import FusedTokens
from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.packed import PackedTokens
from tuner.training.fast_paths.stu import is_stu, tokens_through_stu
from tuner.training.fast_paths.table import takes_ids_of_any_device

__all__ = [
    "encode_at",
    "encode_unpadded",
    "encodes_at_targets",
    "encodes_unpadded",
    "same_at_each_step",
]

Batch = dict[str, torch.Tensor]
#: Methods of the backbone that `encode_at` replaces.
_METHODS = ("encode_sessions", "_merge_masks", "_convert_mask_to_float")


def encodes_at_targets(backbone: TransformerBackboneBase) -> bool:
    """Whether `encode_at` gives the same results as the backbone's `encode_sessions`.

    On a GPU this is false, because torch draws dropout masks in another way there.
    """
    return (
        next(backbone.parameters()).device.type == "cpu" and encodes_unpadded(backbone) and draws_as_it_lies()
    )


def encodes_unpadded(backbone: TransformerBackboneBase) -> bool:
    """Whether `encode_unpadded` gives the results of `encode_sessions`, except for other dropout masks.

    The backbone's methods, positional encoding and blocks must be RecTools' own, without hooks.
    """
    return _is_plain(backbone) and (_is_hstu(backbone) or len(_blocks(backbone.transformer_layers)) > 0)


def _is_plain(backbone: TransformerBackboneBase) -> bool:
    return (
        all(
            getattr_static(backbone, name) is getattr_static(TransformerTorchBackbone, name)
            for name in _METHODS
        )
        and type(backbone.pos_encoding_layer) is LearnableInversePositionalEncoding
        and type(backbone.emb_dropout) is torch.nn.Dropout
        and not any(map(_does_more, backbone.modules()))
    )


def same_at_each_step(backbone: TransformerBackboneBase) -> bool:
    """Whether a backbone does the same at each step, without waiting for the GPU."""
    net = backbone.item_model
    return (
        encodes_unpadded(backbone)
        and takes_ids_of_any_device(net)
        and all(type(block) is IdEmbeddingsItemNet for block in net.item_net_blocks)
    )


def _is_hstu(backbone: TransformerBackboneBase) -> bool:
    """Whether the layers are RecTools' for HSTU, used as HSTU uses them."""
    return (
        is_stu(backbone.transformer_layers) and backbone.use_causal_attn and not backbone.use_key_padding_mask
    )


def _blocks(layers: TransformerLayersBase) -> list[Any]:
    """Return the blocks that sessions pass, in order. The list is empty if the layers may do more than that.

    A class may have a `forward` that passes sessions through `transformer_blocks` in the order of its
    `layer_order`, and does no more. It declares this by ``passes_blocks = "layer_order"`` in its body.
    Subclasses do not inherit the declaration, because they may override any method.
    """
    own, blocks = vars(type(layers)), getattr(layers, "transformer_blocks", None)
    if not isinstance(blocks, torch.nn.ModuleList):
        return []
    if own.get("passes_blocks") == "layer_order" and "forward" in own:
        passed = [blocks[index] for index in layers.layer_order]  # type: ignore[union-attr]  # its class declares that it has them
    elif type(layers) in {PreLNTransformerLayers, LiGRLayers, SASRecTransformerLayers}:
        passed = list(blocks)
    else:
        return []
    return passed if all(map(_is_known, passed)) else []


def _is_known(block: Any) -> bool:  # noqa: ANN401  # torch does not type attributes of modules
    """Whether a block is exactly one of RecTools' own, with the parts that RecTools gives it."""
    return (
        type(block) in BLOCKS
        and type(block.multi_head_attn) is torch.nn.MultiheadAttention
        and type(block.feed_forward) in {PointWiseFeedForward, SwigluFeedForward}
    )


def _does_more(part: torch.nn.Module) -> bool:
    """Whether a call of the module may run more code than its class defines."""
    hooks = (part._forward_pre_hooks, part._forward_hooks, part._backward_pre_hooks, part._backward_hooks)  # noqa: SLF001  # torch has no public names for its hooks
    return any(hooks) or "forward" in vars(part)


def encode_at(
    backbone: TransformerBackboneBase, batch: Batch, table: torch.Tensor, read: torch.Tensor
) -> torch.Tensor:
    """Return ``backbone.encode_sessions(batch, table).flatten(0, 1)[read]``.

    Parameters
    ----------
    backbone
        A backbone for which `encodes_at_targets` is true.
    batch
        "x", shape (batch_size, session_max_len): sessions of items, 0 for padding. For HSTU also "unix_ts".
    table : shape (n_items, n_factors)
        Item embeddings.
    read : shape (n_read,)
        Flat positions of tokens in "x", ascending.

    Returns
    -------
    torch.Tensor, shape (n_read, n_factors)
        Encoded sessions.
    """
    x = batch["x"]
    positions = _seen_positions(backbone, x)
    tokens = PaddedTokens(x.shape[0], x.shape[1], positions, _attention_mask(backbone, x, table.dtype))
    return _encoded(backbone, batch, table, tokens, positions, read)


def encode_unpadded(
    backbone: TransformerBackboneBase,
    batch: Batch,
    table: torch.Tensor,
    read: torch.Tensor,
    positions: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the same as `encode_at`, computed only at real tokens, with other dropout masks; see `packed`.

    Parameters
    ----------
    backbone
        A backbone for which `encodes_unpadded` is true.
    batch, table, read
        As in `encode_at`. The batch may also contain "items" and "order": the tokens by item, as in
        `tuner.training.fast_paths.fused.ByItem`.
    positions : shape (n_tokens,), optional
        Positions of the tokens, if already known; see `PackedTokens`.
    """
    x = batch["x"]
    if positions is None:
        positions = _seen_positions(backbone, x)
    sees_padding = _puts_padding_to_0(backbone) and not backbone.use_key_padding_mask
    of_batch = x.shape[0], x.shape[1], positions, backbone.use_causal_attn, sees_padding
    tokens = FusedTokens(*of_batch, read) if serves(table) else PackedTokens(*of_batch)
    return _encoded(backbone, batch, table, tokens, positions, read)


def _encoded(  # noqa: PLR0917  # all are needed alike
    backbone: TransformerBackboneBase,
    batch: Batch,
    table: torch.Tensor,
    tokens: Tokens,
    positions: torch.Tensor,
    read: torch.Tensor,
) -> torch.Tensor:
    layers = backbone.transformer_layers
    if isinstance(tokens, FusedTokens) and sees_only_tokens(backbone):
        seqs = _embedded_by_kernels(backbone, batch, table, tokens)
    else:
        seqs = _embedded(backbone, batch["x"], table, positions)
    seqs = tokens.dropped(backbone.emb_dropout, seqs, positions)
    if is_stu(layers):
        return tokens_through_stu(layers, seqs, tokens, positions, read, batch)
    *first, last = _blocks(layers)
    for block in first:
        seqs = BLOCKS[type(block)](block, seqs, tokens, positions)
    seqs = BLOCKS[type(last)](last, seqs, tokens, read)
    if isinstance(layers, SASRecTransformerLayers):
        seqs = tokens.normed(layers.last_layernorm, seqs)
    return seqs


def _seen_positions(backbone: TransformerBackboneBase, x: torch.Tensor) -> torch.Tensor:
    """Return the flat positions that tokens may see, ascending."""
    if sees_only_tokens(backbone):
        return x.flatten().nonzero().squeeze(1)
    return torch.arange(x.numel(), device=x.device)


def sees_only_tokens(backbone: TransformerBackboneBase) -> bool:
    """Whether no token may see padding."""
    return backbone.use_key_padding_mask or _puts_padding_to_0(backbone)


def _puts_padding_to_0(backbone: TransformerBackboneBase) -> bool:
    return isinstance(backbone.transformer_layers, SASRecTransformerLayers) or _is_hstu(backbone)


def _attention_mask(
    backbone: TransformerBackboneBase, x: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor | None:
    """Return -inf where a position must not see another, shape (batch_size or 1, 1, length or 1, length)."""
    hidden = None
    if backbone.use_causal_attn:
        hidden = torch.ones(1, 1, x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    if backbone.use_key_padding_mask:
        padding = (x == 0)[:, None, None]
        hidden = padding if hidden is None else hidden | padding
    if hidden is None:
        return None
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf)


def _embedded(
    backbone: TransformerBackboneBase, x: torch.Tensor, table: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Return embedded items plus positions, counted from the end, shape (n_positions, n_factors)."""
    encoding = backbone.pos_encoding_layer
    assert isinstance(encoding, LearnableInversePositionalEncoding)
    items = functional.pad(x.flatten(), (0, 1))[positions]  # one more item for the filling of a fixed shape
    # torch sums the gradient of an embedding in a fixed order on a GPU too.
    seqs = functional.embedding(items, table) if x.is_cuda else table.index_select(0, items)
    if encoding.use_scale_factor:
        seqs = seqs * seqs.shape[1] ** 0.5
    if encoding.pos_emb is None:
        return seqs
    embedded: torch.Tensor = seqs + encoding.pos_emb(x.shape[1] - 1 - positions % x.shape[1])
    return embedded


def _embedded_by_kernels(
    backbone: TransformerBackboneBase, batch: Batch, table: torch.Tensor, tokens: FusedTokens
) -> torch.Tensor:
    """Return the same, by kernels that sum gradients in a fixed order without sorting on the GPU."""
    encoding = backbone.pos_encoding_layer
    assert isinstance(encoding, LearnableInversePositionalEncoding)
    x, positions = batch["x"], tokens.positions
    items = functional.pad(x.flatten(), (0, 1))[positions]
    is_sorted = "order" in batch
    return fused.embedded(
        table,
        None if encoding.pos_emb is None else encoding.pos_emb.weight,
        items,
        x.shape[1] - 1 - positions % x.shape[1],
        fused.ByItem(batch["items"], batch["order"]) if is_sorted else fused.ByItem.of(items),
        tokens.cells[:-1],
        n_sessions=x.shape[0],
        scale=table.shape[1] ** 0.5 if encoding.use_scale_factor else 1.0,
    )
