"""HSTU's attention on a GPU for tokens without padding, in few kernels, see `triton_attention`.

torch has no kernel for attention whose weights are ``silu(scores)``. Its single operations read and write
all pairs of positions a dozen times. Here no pair is stored, except in the gradient of the bias.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from tuner.training.fast_paths.kernels import power_of_2

__all__ = ["fits", "silu_attention"]

# ruff: noqa: ANN401, PLR0917  # torch gives the context of a function no type, and passes arguments by position

#: Places of a session that a program holds.
_PLACES = 32
#: The smallest width of a tile that Triton multiplies.
_NARROWEST = 16
#: Shared memory that a program needs for each byte of a head's row; and what all GPUs of the last years have.
_SHARED, _LEAST_SHARED = 160, 65_536
#: Width of a head above which a program has more threads.
_NARROW = 64


@cache
def _kernels() -> Any:
    """Import the kernels only when they run, because the import takes long."""
    return import_module("tuner.training.fast_paths.triton_attention")


def fits(values: torch.Tensor, n_heads: int) -> bool:
    """Whether the heads of queries, keys or values are narrow enough for the memory of a program."""
    return power_of_2(values.shape[1] // n_heads) * values.element_size() * _SHARED <= _memory(values.device)


@cache
def _memory(device: torch.device) -> int:
    """Return the bytes of shared memory that a program can have. There is no limit in the interpreter."""
    if device.type == "cpu":
        return sys.maxsize
    properties = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", _LEAST_SHARED))


def silu_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    cells: torch.Tensor,
    *,
    length: int,
    n_heads: int,
) -> torch.Tensor:
    """Return ``silu(q k + bias) / length v`` for all tokens, which see themselves and earlier ones.

    Parameters
    ----------
    q, k : shape (n_tokens, n_heads * width)
        Queries and keys, for which `fits` is true. Their last dimension must be contiguous.
    v : shape (n_tokens, n_heads * width of values)
        Values, likewise.
    bias : shape (n_sessions or 1, length, length), optional
        Added to the scores of all heads, float32.
    cells : shape (n_sessions * length,)
        Row of the token in each place of the padded sessions; -1 for none.
    length
        Number of places in a padded session. RecTools divides by it.
    n_heads
        Number of attention heads.

    Returns
    -------
    torch.Tensor
        Shape and type of `v`. Rows without a cell are 0.
    """
    result: torch.Tensor = _SiluAttention.apply(q, k, v, bias, cells, length, n_heads)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


class _SiluAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor | None,
        cells: torch.Tensor,
        length: int,
        n_heads: int,
    ) -> torch.Tensor:
        bias = None if bias is None else bias.contiguous()
        ctx.save_for_backward(q, k, v, bias, cells)
        ctx.length, ctx.n_heads = length, n_heads
        out = torch.zeros(v.shape, dtype=v.dtype, device=v.device)
        call = _Call(q, k, v, bias, cells, length, n_heads)
        _kernels().attended[call.grid](*call.tensors, out, *call.sizes, **call.has_bias, **call.tile)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, bias, cells = ctx.saved_tensors
        grad = grad.contiguous()
        by_q, by_k, by_v = (torch.zeros(one.shape, dtype=one.dtype, device=one.device) for one in (q, k, v))
        call = _Call(q, k, v, bias, cells, ctx.length, ctx.n_heads)
        _kernels().query_gradient[call.grid](
            *call.tensors, grad, by_q, *call.sizes, **call.has_bias, **call.tile
        )
        _kernels().key_value_gradient[call.grid](
            *call.tensors, grad, by_k, by_v, *call.sizes, **call.has_bias, **call.tile
        )
        by_bias = None
        if ctx.needs_input_grad[3]:
            n_sessions, n_tiles, _ = call.grid
            each = torch.empty(n_sessions, ctx.length, ctx.length, dtype=torch.float32, device=q.device)
            _kernels().bias_gradient[n_sessions, n_tiles, n_tiles](
                *call.tensors, grad, each, *call.sizes, **call.tile
            )
            by_bias = each if len(bias) == n_sessions else each.sum(dim=0, keepdim=True)
        return by_q, by_k, by_v, by_bias, None, None, None


class _Call:
    """Arguments that all kernels have in common."""

    def __init__(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor | None,
        cells: torch.Tensor,
        length: int,
        n_heads: int,
    ) -> None:
        n_sessions = len(cells) // length
        q_width, v_width = q.shape[1] // n_heads, v.shape[1] // n_heads
        bias_stride = 0 if bias is None or len(bias) < n_sessions else length * length
        self.grid = (n_sessions, -(-length // _PLACES), n_heads)
        self.tensors = (q, k, v, bias, cells)
        strides = q.stride(0), k.stride(0), v.stride(0), bias_stride
        self.sizes = (*strides, n_heads, q_width, v_width, length, 1 / length)
        self.has_bias = {"HAS_BIAS": bias is not None}
        self.tile = {
            "PRECISION": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee",
            "PLACES": _PLACES,
            "Q_WIDTH": max(_NARROWEST, power_of_2(q_width)),
            "V_WIDTH": max(_NARROWEST, power_of_2(v_width)),
            "num_warps": 4 if max(q_width, v_width) <= _NARROW else 8,
            "num_stages": 1,  # more of them need more shared memory
        }
