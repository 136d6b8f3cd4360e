"""The blocks of HSTU, for all positions of a padded batch on a GPU, or for its tokens alone.

On a GPU RecTools creates a tensor of zeros on the CPU in each block. It also sums the gradient of 129 weights
from millions of positions one after another. This module sums each row of positions separately first.

Padding is 0 before each block and hidden in attention, so it can be left out. Attention has no dropout on
its weights, so its shape changes no random numbers. On a CPU it works on groups of sessions (see `groups`),
and on a GPU in the padded shape.

Otherwise this module works as RecTools' `STULayers`, and results differ only by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from rectools.models.nn.transformers.hstu import RelativeAttentionBias, STULayer, STULayers
from torch.autograd.function import once_differentiable
from typing_extensions import TypeIs

from tuner.training.fast_paths.blocks import Tokens, silu_attended
from tuner.training.fast_paths.groups import Groups

__all__ = ["is_stu", "through_stu", "tokens_through_stu"]

Batch = dict[str, torch.Tensor]
#: Returns the output of attention at all tokens, shape (n_tokens, n_heads * linear_hidden_dim), for a block
#: and the queries, keys and values of all tokens.
_Attention = Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def is_stu(layers: torch.nn.Module) -> TypeIs[STULayers]:
    """Whether layers and their parts are exactly RecTools' own."""
    return type(layers) is STULayers and all(
        type(block) is STULayer and type(block.rel_attn) is RelativeAttentionBias
        for block in layers.stu_blocks
    )


def through_stu(
    layers: STULayers, seqs: torch.Tensor, is_token: torch.Tensor, hidden: torch.Tensor, batch: Batch
) -> torch.Tensor:
    """Return ``layers(seqs, is_token, hidden, None, batch=batch)``.

    Parameters
    ----------
    layers
        Layers for which `is_stu` is true.
    seqs : shape (batch_size, length, n_factors)
        Embedded sessions.
    is_token : shape (batch_size, length, 1)
        Whether a position is a token, not padding.
    hidden : shape (length, length)
        Whether a position must not see another.
    batch
        Contains "unix_ts", if the layers use times.
    """
    seen = (~hidden & is_token & is_token.transpose(1, 2)).unsqueeze(1)
    buckets = _buckets_of_all(layers, batch)
    for block in _blocks(layers):
        bias = _bias_of_all(block.rel_attn, batch, buckets)
        seqs = _through(block, seqs * is_token, is_token, seen, bias)
    return seqs * is_token


def tokens_through_stu(  # noqa: PLR0917  # all are needed alike
    layers: STULayers,
    seqs: torch.Tensor,
    tokens: Tokens,
    positions: torch.Tensor,
    read: torch.Tensor,
    batch: Batch,
) -> torch.Tensor:
    """Return the rows of ``layers(...)`` that are read, shape (n_read, n_factors).

    Parameters
    ----------
    layers
        Layers for which `is_stu` is true, in a causal backbone without a key padding mask.
    seqs : shape (n_tokens, n_factors)
        Embedded tokens.
    tokens
        Draws the dropout masks.
    positions : shape (n_tokens,)
        Flat positions of the tokens; see `tuner.training.fast_paths.packed.PackedTokens`.
    read : shape (n_read,)
        Flat positions that are read.
    batch
        Contains "x" and, if the layers use times, "unix_ts".
    """
    in_groups = not positions.is_cuda and _follow_each_other(positions, batch["x"].shape[1])
    attention = _grouped(positions, batch) if in_groups else _ungrouped(layers, tokens, batch)
    *first, last = layers.stu_blocks
    for block in first:
        seqs = _tokens_through(block, seqs, tokens, positions, attention)
    return _tokens_through(last, seqs, tokens, read, attention)


def _tokens_through(
    block: Any,  # noqa: ANN401  # torch does not type attributes of modules
    seqs: torch.Tensor,
    tokens: Tokens,
    read: torch.Tensor,
    attention: _Attention,
) -> torch.Tensor:
    """Return the output of a block at the positions that are read; see `_through`."""
    normed = tokens.normed(block.norm_input, seqs, is_factor=True)
    u, v, q, k = _split(block, block.silu(tokens.linear(normed, block.uvqk_proj.T)))
    attended = tokens.at(attention(block, q, k, v), read)
    attended = tokens.normed(block.norm_attn_output, tokens.dropped(block.dropout_attn, attended, read))
    gated = tokens.dropped(block.dropout_mlp, tokens.at(u, read) * attended, read)
    output = tokens.linear(gated, block.output_mlp.weight, block.output_mlp.bias)
    return output + tokens.at(seqs, read)


def _follow_each_other(positions: torch.Tensor, length: int) -> bool:
    """Whether no padding lies within a session. Otherwise places in a group are not distances."""
    before, after = positions[:-1], positions[1:]
    return bool(((after == before + 1) | (after // length > before // length)).all())


def _grouped(positions: torch.Tensor, batch: Batch) -> _Attention:
    """Return attention in groups of sessions of similar length."""
    size, length = batch["x"].shape
    groups = Groups(size, length, positions, is_causal=True)
    buckets: list[torch.Tensor] = []

    def attention(block: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # as above
        if block.rel_attn.relative_time_attention and not buckets:  # they are those of all blocks
            buckets.extend(
                _buckets(block.rel_attn, *_times(positions[group.cells], batch)) for group in groups.all
            )
        attended, of_positions = [], _of_positions(block.rel_attn)
        for at, (group, of_group) in enumerate(groups.split(q, k, v)):
            of_times = buckets[at] if buckets else None
            bias = _bias(block.rel_attn, group.cells.shape[1], of_positions, of_times)
            q, k, v = (values.view(*group.cells.shape, -1) for values in of_group)
            of_cells = silu_attended(q, k, v, ~group.hidden, bias, n_heads=block.n_heads, divisor=length)
            attended.append(of_cells.flatten(0, 1))
        return groups.joined(attended, torch.arange(len(positions)))

    return attention


def _ungrouped(layers: STULayers, tokens: Tokens, batch: Batch) -> _Attention:
    """Return attention of all sessions at once."""
    buckets = _buckets_of_all(layers, batch)

    def attention(block: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # as above
        return tokens.silu_mixed(q, k, v, _bias_of_all(block.rel_attn, batch, buckets), block.n_heads)

    return attention


def _times(positions: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the times at flat positions, and those of the items that follow them."""
    length, times = batch["x"].shape[1], batch["unix_ts"]
    session, place = positions // length, positions % length
    return times[session, place], times[session, place + 1]


def _through(
    block: Any,  # noqa: ANN401  # as above
    seqs: torch.Tensor,
    is_token: torch.Tensor,
    seen: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Return ``x + MLP(drop(u LN(A v)))``.

    ``u, v, q, k`` are ``silu(W LN(x))``, and ``A`` is ``silu(q k + bias) / length``.
    """
    length = seqs.shape[1]
    mixed = block.silu(torch.matmul(block.norm_input(seqs) * is_token, block.uvqk_proj))
    u, v, q, k = _split(block, mixed)
    attended = silu_attended(q, k, v, seen, bias, n_heads=block.n_heads, divisor=length)
    attended = block.norm_attn_output(block.dropout_attn(attended))
    output: torch.Tensor = block.output_mlp(block.dropout_mlp(u * attended * is_token)) + seqs
    return output


def _split(block: Any, mixed: torch.Tensor) -> Sequence[torch.Tensor]:  # noqa: ANN401  # as above
    wide, narrow = block.linear_hidden_dim * block.n_heads, block.attention_dim * block.n_heads
    return torch.split(mixed, [wide, wide, narrow, narrow], dim=-1)


def _buckets(rel_attn: RelativeAttentionBias, times: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """Return the bucket of each pair of positions, shape (size, length, length).

    Parameters
    ----------
    rel_attn
        RecTools' biases.
    times, later : shape (size, length)
        Times of the items, and of the items that follow them. For a position its target's time is known.
    """
    buckets = rel_attn._quantization_func(later[:, :, None] - times[:, None])  # noqa: SLF001  # RecTools' own
    return buckets.clamp(0, rel_attn.num_buckets)


def _of_positions(rel_attn: RelativeAttentionBias) -> torch.Tensor | None:
    """Return the biases of positions, in float32 as in RecTools, shape (1, length, length)."""
    return rel_attn.forward_pos_attention().float() if rel_attn.relative_pos_attention else None


def _bias(
    rel_attn: RelativeAttentionBias,
    length: int,
    of_positions: torch.Tensor | None,
    buckets: torch.Tensor | None,
) -> torch.Tensor | None:
    """Return the sum of the biases, in float32 as in RecTools, shape (size or 1, length, length).

    The bias of two positions depends on their distance. So a part of the matrix of positions is right for
    shorter sessions.
    """
    if of_positions is not None:
        of_positions = of_positions[:, :length, :length]
    if buckets is None:
        return of_positions
    of_times: torch.Tensor = _Looked.apply(rel_attn.time_weights, buckets).float()  # type: ignore[no-untyped-call]  # torch does not type it
    return of_times if of_positions is None else of_times + of_positions


def _blocks(layers: STULayers) -> Iterable[Any]:
    return cast("Iterable[Any]", layers.stu_blocks)


def _buckets_of_all(layers: STULayers, batch: Batch) -> torch.Tensor | None:
    """Return the buckets of the padded shape, (batch_size, length, length); None if no block uses times.

    They are the same for all blocks.
    """
    for block in _blocks(layers):
        if block.rel_attn.relative_time_attention:
            length, times = batch["x"].shape[1], batch["unix_ts"]
            return _buckets(block.rel_attn, times[:, :length], times[:, 1 : length + 1])
    return None


def _bias_of_all(
    rel_attn: RelativeAttentionBias, batch: Batch, buckets: torch.Tensor | None
) -> torch.Tensor | None:
    """Return ``rel_attn(batch)``, shape (batch_size or 1, length, length); None if it has no bias."""
    return _bias(rel_attn, batch["x"].shape[1], _of_positions(rel_attn), buckets)


class _Looked(torch.autograd.Function):
    """Looks up ``weights[index]``, for few weights and many indices."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, index: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # torch gives it no type
        ctx.save_for_backward(index)
        ctx.n_weights = len(weights)
        return weights[index]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401  # as above
        (index,) = ctx.saved_tensors
        if grad.device.type == "cpu":
            summed = torch.bincount(index.flatten(), grad.flatten(), minlength=ctx.n_weights)
            return summed.to(grad.dtype), None
        if torch.are_deterministic_algorithms_enabled():
            return grad.new_zeros(ctx.n_weights).index_put_((index,), grad, accumulate=True), None
        by_row = grad.new_zeros(index.shape[:-1].numel(), ctx.n_weights)
        return by_row.scatter_add_(1, index.flatten(0, -2), grad.reshape(len(by_row), -1)).sum(dim=0), None
