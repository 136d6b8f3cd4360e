"""Triton kernels for the losses of a GPU's training step. `kernel_check` says whether they can be used.

Each kernel replaces a few operations of torch by one pass over memory. torch still computes products of large
matrices. Tests run the kernels on a CPU, in Triton's interpreter.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch

__all__ = [
    "combined_rows",
    "cross_entropy_rows",
    "power_of_2",
    "scores_of_rows",
    "triton_kernels",
    "weighted_rows",
]

#: Whether Triton interprets the kernels. Only tests set it, with ``TRITON_INTERPRET=1`` in the environment.
INTERPRETED = False
#: Number of columns that a program of Triton reads at one time, if it cannot hold a row.
_COLUMNS = 8192
#: Number of columns of the longest row that a program can hold.
_LONGEST = 32_768


@cache
def triton_kernels() -> Any:  # noqa: ANN401  # Triton has no types
    """Import the kernels only when they run, because the import takes long."""
    return import_module("tuner.training.fast_paths.triton_kernels")


def cross_entropy_rows(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float, gradient: torch.Tensor, n_items: int
) -> torch.Tensor:
    """Return the losses of rows of logits, and write their gradients into `gradient`.

    Parameters
    ----------
    logits : shape (n_targets, at least n_items)
        Logits before the division by the temperature. Columns from `n_items` on are filling.
    targets : shape (n_targets,)
        Column of the target in each row.
    temperature
        Divides the logits.
    gradient : shape as `logits`
        Receives ``softmax(logits / temperature) - one_hot(targets)``, and 0 in the filling. Its type may
        differ from that of `logits`. It may be `logits` itself.
    n_items
        Number of classes.

    Returns
    -------
    torch.Tensor, shape (n_targets,)
        ``-log(softmax(logits / temperature)[targets])``, float32.
    """
    losses = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    columns = power_of_2(logits.shape[1])
    kernel = triton_kernels().cross_entropy_at_once if columns <= _LONGEST else triton_kernels().cross_entropy
    columns = columns if columns <= _LONGEST else _COLUMNS
    kernel[(len(logits),)](
        logits,
        gradient,
        targets.contiguous(),
        losses,
        n_items,
        logits.shape[1],
        1 / temperature,
        COLUMNS=columns,
        num_warps=16 if columns > _COLUMNS else 8,
    )
    return losses


def scores_of_rows(hidden: torch.Tensor, table: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Return ``scores[i, j] = hidden[i] @ table[candidates[i, j]]`` in float32, shape of `candidates`."""
    n_targets, n_candidates = candidates.shape
    scores = torch.empty(n_targets, n_candidates, dtype=torch.float32, device=hidden.device)
    rows, factors = _tile(n_candidates, hidden.shape[1])
    grid = (n_targets, -(-n_candidates // rows))
    triton_kernels().scores[grid](
        hidden,
        table,
        candidates,
        scores,
        n_candidates,
        hidden.shape[1],
        ROWS=rows,
        FACTORS=factors,
        num_warps=4,
    )
    return scores


def weighted_rows(weights: torch.Tensor, table: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Return ``sums[i] = weights[i] @ table[candidates[i]]``, float32, shape (n_targets, n_factors)."""
    n_targets, n_candidates = candidates.shape
    sums = torch.empty(n_targets, table.shape[1], dtype=torch.float32, device=table.device)
    rows, factors = _tile(n_candidates, table.shape[1])
    triton_kernels().weighted[(n_targets,)](
        weights,
        table,
        candidates,
        sums,
        n_candidates,
        table.shape[1],
        ROWS=rows,
        FACTORS=factors,
        num_warps=4,
    )
    return sums


def combined_rows(weights: torch.Tensor, candidates: torch.Tensor, out: torch.Tensor) -> None:
    """Add weights up by candidate: ``out[i, c] = sum of weights[i, j] where candidates[i, j] == c``.

    It uses no atomic additions, so that sums are reproducible if a candidate is repeated.

    Parameters
    ----------
    weights, candidates : shape (n_targets, n_candidates)
        Contiguous tensors.
    out : shape (n_targets, n_items)
        A tensor of zeros, which receives the sums.
    """
    n_targets, n_candidates = candidates.shape
    width = power_of_2(n_candidates)
    triton_kernels().combined[(n_targets, -(-n_candidates // 16))](
        weights, candidates, out, n_candidates, out.stride(0), WIDTH=width, ROWS=min(16, width), num_warps=4
    )


def power_of_2(n: int) -> int:
    """Return the smallest power of 2 that is at least `n`."""
    return 1 << (n - 1).bit_length()


def _tile(n_candidates: int, n_factors: int) -> tuple[int, int]:
    """Return how many candidates, and factors of each, a program holds: at most 8,192 elements."""
    factors = power_of_2(n_factors)
    return min(power_of_2(n_candidates), max(1, 8192 // factors), 64), factors
