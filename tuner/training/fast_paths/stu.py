"""The blocks of HSTU on a GPU. They avoid RecTools' waits and compute the gradient of time biases faster.

RecTools creates a tensor of zeros on the CPU in each block. It also sums the gradient of 129 weights from
millions of positions one after another. This module sums each row of positions separately first. Otherwise
it works as RecTools' `STULayers`, and results differ only by the rounding of that sum.
"""

from __future__ import annotations

from typing import Any

import torch
from rectools.models.nn.transformers.hstu import RelativeAttentionBias, STULayer, STULayers
from torch.autograd.function import once_differentiable
from typing_extensions import TypeIs

__all__ = ["is_stu", "through_stu"]

Batch = dict[str, torch.Tensor]


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
    for block in layers.stu_blocks:
        seqs = _through(block, seqs * is_token, is_token, seen, batch)
    return seqs * is_token


def _through(
    block: Any,  # noqa: ANN401  # torch does not type attributes of modules
    seqs: torch.Tensor,
    is_token: torch.Tensor,
    seen: torch.Tensor,
    batch: Batch,
) -> torch.Tensor:
    """Return ``x + MLP(drop(u LN(A v)))``.

    ``u, v, q, k`` are ``silu(W LN(x))``, and ``A`` is ``silu(q k + bias) / length``.
    """
    size, length, _ = seqs.shape
    heads, wide, narrow = block.n_heads, block.linear_hidden_dim, block.attention_dim
    mixed = block.silu(torch.matmul(block.norm_input(seqs) * is_token, block.uvqk_proj))
    u, v, q, k = torch.split(mixed, [wide * heads, wide * heads, narrow * heads, narrow * heads], dim=-1)
    q, k, v = (values.view(size, length, heads, -1).transpose(1, 2) for values in (q, k, v.contiguous()))
    scores = q @ k.transpose(2, 3) + _bias(block.rel_attn, length, batch).unsqueeze(1)
    weights = block.silu(scores) / length * seen
    attended = (weights @ v.to(weights.dtype)).transpose(1, 2).reshape(size, length, -1)
    attended = block.norm_attn_output(block.dropout_attn(attended))
    output: torch.Tensor = block.output_mlp(block.dropout_mlp(u * attended * is_token)) + seqs
    return output


def _bias(rel_attn: RelativeAttentionBias, length: int, batch: Batch) -> torch.Tensor:
    """Return ``rel_attn(batch)``, in float32 as in RecTools, shape (batch_size or 1, length, length)."""
    bias = None
    if rel_attn.relative_time_attention:
        times = batch["unix_ts"]
        later = torch.cat([times, times[:, length:]], dim=1)[:, 1 : length + 1]
        buckets = rel_attn._quantization_func(later[:, :, None] - times[:, None, :length])  # noqa: SLF001  # RecTools' own
        buckets = buckets.clamp(0, rel_attn.num_buckets)
        bias = _Looked.apply(rel_attn.time_weights, buckets).float()  # type: ignore[no-untyped-call]  # torch does not type it
    if rel_attn.relative_pos_attention:
        of_positions = rel_attn.forward_pos_attention().float()
        bias = of_positions if bias is None else bias + of_positions
    if bias is None:
        return torch.zeros(1, length, length, device=batch["x"].device)
    found: torch.Tensor = bias
    return found


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
        if torch.are_deterministic_algorithms_enabled():
            return grad.new_zeros(ctx.n_weights).index_put_((index,), grad, accumulate=True), None
        by_row = grad.new_zeros(index.shape[:-1].numel(), ctx.n_weights)
        return by_row.scatter_add_(1, index.flatten(0, -2), grad.reshape(len(by_row), -1)).sum(dim=0), None
