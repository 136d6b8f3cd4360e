"""Scores of each target against its own few candidates, without gathering the candidates' embeddings.

Gathered, they are ``n_factors`` times as large as the scores. The kernels of an embedding bag read them
where they lie: the scores are the gradient of a bag by its weights, and the gradient of the scores by the
sessions is a bag.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

__all__ = ["candidate_scores"]

_SUM = 0  # torch's number for the mode of a bag


def candidate_scores(hidden: torch.Tensor, table: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Return ``scores[i, j] = hidden[i] @ table[candidates[i, j]]``.

    Parameters
    ----------
    hidden : shape (n_targets, n_factors)
        Encoded sessions at the target positions.
    table : shape (n_items, n_factors)
        Item embeddings.
    candidates : shape (n_targets, n_candidates)
        Rows of `table`.

    Returns
    -------
    torch.Tensor, shape (n_targets, n_candidates)
        Differentiable once, with respect to `hidden` and `table`.
    """
    scores: torch.Tensor = _CandidateScores.apply(hidden, table, candidates)  # type: ignore[no-untyped-call]  # torch's own
    return scores


class _CandidateScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  # torch gives it no type
        hidden: torch.Tensor,
        table: torch.Tensor,
        candidates: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden, table, candidates)
        n_targets, n_candidates = candidates.shape
        scores: torch.Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(  # noqa: SLF001  # what `embedding_bag` itself differentiates by
            hidden.contiguous(),
            table.contiguous(),
            candidates.flatten(),
            torch.arange(0, candidates.numel(), n_candidates, device=candidates.device),
            _targets_of(candidates),
            _SUM,
        )
        return scores.view(n_targets, n_candidates)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401  # as above
        hidden, table, candidates = ctx.saved_tensors
        by_hidden = embedding_bag(candidates, table, per_sample_weights=grad.contiguous(), mode="sum")
        # One bag per item: the targets that it was a candidate of.
        items, order = candidates.flatten().sort()
        by_table = embedding_bag(
            _targets_of(candidates)[order],
            hidden,
            torch.searchsorted(items, torch.arange(len(table), device=items.device)),
            per_sample_weights=grad.flatten()[order],
            mode="sum",
        )
        return by_hidden, by_table, None


def _targets_of(candidates: torch.Tensor) -> torch.Tensor:
    """Return the row of each element, shape (n_targets * n_candidates,)."""
    n_targets, n_candidates = candidates.shape
    return torch.arange(n_targets, device=candidates.device).repeat_interleave(
        n_candidates, output_size=candidates.numel()
    )
