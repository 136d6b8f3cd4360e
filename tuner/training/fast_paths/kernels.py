"""Kernels of a GPU's training step, in Triton, which comes with torch on Linux. No path depends on them.

Each does what a line of torch would, in one pass over memory. Products of large matrices are left to torch.
With ``TRITON_INTERPRET=1`` they run on a CPU, for tests.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

__all__ = ["combined_rows", "cross_entropy_rows", "scores_of_rows", "serves", "weighted_rows"]

#: Columns that a program holds at one time.
_COLUMNS = 8192


@cache
def _is_installed() -> bool:
    return find_spec("triton") is not None


@cache
def _triton() -> Any:  # noqa: ANN401  # Triton has no types
    """Import the kernels, which takes a while, where they are run."""
    return import_module("tuner.training.fast_paths.triton_kernels")


def serves(tensor: torch.Tensor) -> bool:
    """Whether the kernels can work where a tensor lies, in its type."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return (
        _is_installed()
        and (tensor.is_cuda or interpreted)
        and tensor.dtype in {torch.float32, torch.bfloat16, torch.float16}
    )


def cross_entropy_rows(
    logits: torch.Tensor, targets: torch.Tensor, temperature: float, gradient: torch.Tensor, n_items: int
) -> torch.Tensor:
    """Return the losses of rows of logits, and write what they change by into `gradient`.

    Parameters
    ----------
    logits : shape (n_targets, at least n_items)
        Not yet divided by the temperature. Columns from `n_items` on are no items.
    targets : shape (n_targets,)
        Columns.
    temperature
        Divides the logits.
    gradient : shape as `logits`
        For ``softmax(logits / temperature) - one_hot(targets)``, in a type of its own; 0 where no item is. It
        may be `logits`.
    n_items
        Number of classes.

    Returns
    -------
    torch.Tensor, shape (n_targets,)
        ``-log(softmax(logits / temperature)[targets])``, float32.
    """
    losses = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    columns = min(_COLUMNS, _power_of_2(logits.shape[1]))
    _triton().cross_entropy[(len(logits),)](
        logits,
        gradient,
        targets,
        losses,
        n_items,
        logits.shape[1],
        1 / temperature,
        COLUMNS=columns,
        num_warps=8,
    )
    return losses


def scores_of_rows(hidden: torch.Tensor, table: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Return ``scores[i, j] = hidden[i] @ table[candidates[i, j]]`` in float32, shape of `candidates`."""
    n_targets, n_candidates = candidates.shape
    scores = torch.empty(n_targets, n_candidates, dtype=torch.float32, device=hidden.device)
    rows, factors = _tile(n_candidates, hidden.shape[1])
    grid = (n_targets, -(-n_candidates // rows))
    _triton().scores[grid](
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
    _triton().weighted[(n_targets,)](
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

    Without atomic additions, so that the sum of repeats is the same each time.

    Parameters
    ----------
    weights, candidates : shape (n_targets, n_candidates)
        Contiguous.
    out : shape (n_targets, n_items)
        Zeros.
    """
    n_targets, n_candidates = candidates.shape
    width = _power_of_2(n_candidates)
    _triton().combined[(n_targets, -(-n_candidates // 16))](
        weights, candidates, out, n_candidates, out.stride(0), WIDTH=width, ROWS=min(16, width), num_warps=4
    )


def _power_of_2(n: int) -> int:
    """Return the smallest that is not less."""
    return 1 << (n - 1).bit_length()


def _tile(n_candidates: int, n_factors: int) -> tuple[int, int]:
    """Return how many candidates, and factors of each, a program holds: 8,192 elements at most."""
    factors = _power_of_2(n_factors)
    return min(_power_of_2(n_candidates), max(1, 8192 // factors), 64), factors
