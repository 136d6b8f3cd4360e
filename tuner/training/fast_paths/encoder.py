"""RecTools' session encoder, for the positions that a step reads: the targets.

RecTools encodes padded batches, of which 15 to 50 % are tokens, and of the last block's output a step reads
the targets alone. Here the last block runs over targets (see `blocks`), and what comes before it over tokens
where these do not see padding:

- the key padding mask gives padding a weight of 0 in attention; or
- `SASRecTransformerLayers` set padding to 0 before each block, so that its keys and values are biases.

Where tokens see padding, as in pre-LN layers without that mask, it is encoded like tokens.

Results differ from RecTools' by the rounding of smaller matrix products. To cut off the padding that all
sessions of a batch share would gain little: the longest session of 128 is mostly as long as allowed.
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

from tuner.training.fast_paths.blocks import BLOCKS, PaddedTokens, Tokens, draws_as_it_lies
from tuner.training.fast_paths.packed import PackedTokens
from tuner.training.fast_paths.stu import is_stu
from tuner.training.fast_paths.table import takes_ids_of_any_device

__all__ = [
    "encode_at",
    "encode_unpadded",
    "encodes_at_targets",
    "encodes_unpadded",
    "same_at_each_step",
    "seen_positions",
]

#: What `encode_at` stands in for.
_METHODS = ("encode_sessions", "_merge_masks", "_convert_mask_to_float")


def encodes_at_targets(backbone: TransformerBackboneBase) -> bool:
    """Whether `encode_at` gives what the backbone's `encode_sessions` does.

    On a GPU it is left to RecTools: masks are drawn in another way there.
    """
    return (
        next(backbone.parameters()).device.type == "cpu" and encodes_unpadded(backbone) and draws_as_it_lies()
    )


def encodes_unpadded(backbone: TransformerBackboneBase) -> bool:
    """Whether `encode_unpadded` gives what the backbone's `encode_sessions` does, with masks of its own.

    Its methods, positional encoding and blocks are RecTools' own, and nobody listens in by a hook.
    """
    return _is_plain(backbone) and len(_blocks(backbone.transformer_layers)) > 0


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
    """Whether a backbone does the same at each step, and waits for nothing: its parts are RecTools' own."""
    net = backbone.item_model
    layers = backbone.transformer_layers
    hstu = is_stu(layers) and backbone.use_causal_attn and not backbone.use_key_padding_mask
    return (
        _is_plain(backbone)
        and (hstu or len(_blocks(layers)) > 0)
        and takes_ids_of_any_device(net)
        and all(type(block) is IdEmbeddingsItemNet for block in net.item_net_blocks)
    )


def _blocks(layers: TransformerLayersBase) -> list[Any]:
    """Return the blocks that sessions pass, in order; none where the layers may do something else too.

    A class whose `forward` passes sessions through `transformer_blocks` in the order of its `layer_order`,
    and does nothing else, says so by ``passes_blocks = "layer_order"`` in its body. The word does not pass to
    subclasses: they may override anything.
    """
    own, blocks = vars(type(layers)), getattr(layers, "transformer_blocks", None)
    if not isinstance(blocks, torch.nn.ModuleList):
        return []
    if own.get("passes_blocks") == "layer_order" and "forward" in own:
        passed = [blocks[index] for index in layers.layer_order]  # type: ignore[union-attr]  # as its class declares
    elif type(layers) in {PreLNTransformerLayers, LiGRLayers, SASRecTransformerLayers}:
        passed = list(blocks)
    else:
        return []
    return passed if all(map(_is_known, passed)) else []


def _is_known(block: Any) -> bool:  # noqa: ANN401  # torch knows no attributes of modules
    """Whether a block is exactly one of RecTools', with the parts that RecTools gives it."""
    return (
        type(block) in BLOCKS
        and type(block.multi_head_attn) is torch.nn.MultiheadAttention
        and type(block.feed_forward) in {PointWiseFeedForward, SwigluFeedForward}
    )


def _does_more(part: torch.nn.Module) -> bool:
    """Whether a call of the module may run more than its class says."""
    hooks = (part._forward_pre_hooks, part._forward_hooks, part._backward_pre_hooks, part._backward_hooks)  # noqa: SLF001  # torch has no public way to see them
    return any(hooks) or "forward" in vars(part)


def encode_at(
    backbone: TransformerBackboneBase, x: torch.Tensor, table: torch.Tensor, read: torch.Tensor
) -> torch.Tensor:
    """Return ``backbone.encode_sessions({"x": x}, table).flatten(0, 1)[read]``.

    Parameters
    ----------
    backbone
        One that `encodes_at_targets`.
    x : shape (batch_size, session_max_len)
        Sessions of items, 0 for padding.
    table : shape (n_items, n_factors)
        Item embeddings.
    read : shape (n_read,)
        Flat positions of `x` that are no padding, ascending.

    Returns
    -------
    torch.Tensor, shape (n_read, n_factors)
        Encoded sessions.
    """
    positions = seen_positions(backbone, x)
    tokens = PaddedTokens(x.shape[0], x.shape[1], positions, _attention_mask(backbone, x, table.dtype))
    return _encoded(backbone, x, table, tokens, positions, read)


def encode_unpadded(
    backbone: TransformerBackboneBase,
    x: torch.Tensor,
    table: torch.Tensor,
    read: torch.Tensor,
    positions: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the same for real tokens alone, with other masks of dropout; see `packed`.

    Parameters
    ----------
    backbone
        One that `encodes_unpadded`.
    x, table, read
        As of `encode_at`.
    positions : shape (n_tokens,), optional
        Where the tokens are, where it is known; see `PackedTokens`.
    """
    if positions is None:
        positions = seen_positions(backbone, x)
    sees_padding = _puts_padding_to_0(backbone) and not backbone.use_key_padding_mask
    tokens = PackedTokens(x.shape[0], x.shape[1], positions, backbone.use_causal_attn, sees_padding)
    return _encoded(backbone, x, table, tokens, positions, read)


def _encoded(  # noqa: PLR0917  # all of one size
    backbone: TransformerBackboneBase,
    x: torch.Tensor,
    table: torch.Tensor,
    tokens: Tokens,
    positions: torch.Tensor,
    read: torch.Tensor,
) -> torch.Tensor:
    seqs = _embedded(backbone, x, table, positions)
    seqs = tokens.dropped(backbone.emb_dropout, seqs, positions)
    *first, last = _blocks(backbone.transformer_layers)
    for block in first:
        seqs = BLOCKS[type(block)](block, seqs, tokens, positions)
    seqs = BLOCKS[type(last)](last, seqs, tokens, read)
    if isinstance(backbone.transformer_layers, SASRecTransformerLayers):
        seqs = backbone.transformer_layers.last_layernorm(seqs)
    return seqs


def seen_positions(backbone: TransformerBackboneBase, x: torch.Tensor) -> torch.Tensor:
    """Return the flat positions that tokens may see, ascending."""
    if backbone.use_key_padding_mask or _puts_padding_to_0(backbone):
        return x.flatten().nonzero().squeeze(1)
    return torch.arange(x.numel(), device=x.device)


def _puts_padding_to_0(backbone: TransformerBackboneBase) -> bool:
    return isinstance(backbone.transformer_layers, SASRecTransformerLayers)


def _attention_mask(
    backbone: TransformerBackboneBase, x: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor | None:
    """Return -inf where a position must not look, shape (batch_size or 1, 1, length or 1, length)."""
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
    """Return items with their positions, which count from the end, shape (n_positions, n_factors)."""
    encoding = backbone.pos_encoding_layer
    assert isinstance(encoding, LearnableInversePositionalEncoding)
    items = functional.pad(x.flatten(), (0, 1))[positions]  # one more for what fills up a shape
    # The gradient of an embedding is summed in a fixed order on a GPU too.
    seqs = functional.embedding(items, table) if x.is_cuda else table.index_select(0, items)
    if encoding.use_scale_factor:
        seqs = seqs * seqs.shape[1] ** 0.5
    if encoding.pos_emb is None:
        return seqs
    embedded: torch.Tensor = seqs + encoding.pos_emb(x.shape[1] - 1 - positions % x.shape[1])
    return embedded
