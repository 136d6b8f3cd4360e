"""Scores of each target for its own few candidates, without gathering the candidates' embeddings.

Gathered embeddings would be ``n_factors`` times as large as the scores. On a GPU, our kernels read the
embeddings in place, through its cache. On a CPU, torch's embedding bag does the same: the scores are the
gradient of a bag with respect to its weights. The gradient of the scores with respect to the sessions is a
bag.

The gradient of an item's embedding is a sum over the targets that have the item as a candidate. This module
computes it in one of three ways:

- On a GPU with few candidates, row by row.
- On a GPU with more candidates, as one product ``G.T @ hidden``. ``G`` is the matrix of the scores'
  gradients, with targets as rows and items as columns. It must not have too many zeros.
- In all other cases, and on a CPU, as bags of targets sorted by item.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, pad

from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.kernels import combined_rows, scores_of_rows, weighted_rows
from tuner.training.fast_paths.linear import product

__all__ = ["candidate_scores"]

_SUM = 0  # torch's number for the mode "sum" of a bag
#: Largest number of candidates for which each gets its own row in memory.
_FEW = 8
#: Largest number of items per candidate for which one product is faster than sorting.
_ITEMS_PER_CANDIDATE = 1024
#: Number of elements of the matrix of targets and items that exist at one time.
_ELEMENTS = 2**26


def candidate_scores(
    hidden: torch.Tensor,
    table: torch.Tensor,
    candidates: torch.Tensor,
    products: torch.dtype | None = None,
) -> torch.Tensor:
    """Return ``scores[i, j] = hidden[i] @ table[candidates[i, j]]``.

    Parameters
    ----------
    hidden : shape (n_targets, n_factors)
        Encoded sessions at the target positions.
    table : shape (n_items, n_factors)
        Item embeddings.
    candidates : shape (n_targets, n_candidates)
        Rows of `table`.
    products
        Type to which the factors of products are rounded. The default is the type of `hidden`.

    Returns
    -------
    torch.Tensor, shape (n_targets, n_candidates)
        Differentiable once, with respect to `hidden` and `table`.
    """
    cls = _ByKernels if serves(hidden) else _ByBags
    scores: torch.Tensor = cls.apply(hidden, table, candidates, products or hidden.dtype)  # type: ignore[no-untyped-call]  # torch does not type it
    return scores


class _ByBags(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  # torch gives it no type
        hidden: torch.Tensor,
        table: torch.Tensor,
        candidates: torch.Tensor,
        products: torch.dtype,
    ) -> torch.Tensor:
        hidden, table = hidden.to(products).to(hidden.dtype), table.to(products).to(table.dtype)
        ctx.save_for_backward(hidden, table, candidates)
        n_targets, n_candidates = candidates.shape
        scores: torch.Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(  # noqa: SLF001  # the gradient of `embedding_bag`
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
        return by_hidden, _by_sorted_items(hidden, len(table), candidates, grad), None, None


class _ByKernels(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  # torch gives it no type
        hidden: torch.Tensor,
        table: torch.Tensor,
        candidates: torch.Tensor,
        products: torch.dtype,
    ) -> torch.Tensor:
        factors, items, candidates = hidden.to(products), table.to(products), candidates.contiguous()
        ctx.save_for_backward(factors.contiguous(), items.contiguous(), candidates)
        return scores_of_rows(*ctx.to_save)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401  # as above
        hidden, table, candidates = ctx.saved_tensors
        grad = grad.contiguous()
        n_candidates, n_items = candidates.shape[1], len(table)
        if n_candidates > _FEW and n_items <= _ITEMS_PER_CANDIDATE * n_candidates:
            return *_by_products(hidden, table, candidates, grad), None, None
        if n_candidates <= _FEW:
            by_table = _by_rows(hidden, n_items, candidates, grad)
        else:
            by_table = _by_sorted_items(hidden.float(), n_items, candidates, grad)
        return weighted_rows(grad, table, candidates), by_table, None, None


def _by_rows(
    hidden: torch.Tensor, n_items: int, candidates: torch.Tensor, grad: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of the table from one row for each candidate, as for an embedding."""
    rows = grad[:, :, None] * hidden[:, None].float()
    by_table: torch.Tensor = torch.ops.aten.embedding_dense_backward(
        rows.flatten(0, 1), candidates.flatten(), n_items, -1, False
    )
    return by_table


def _by_products(
    hidden: torch.Tensor, table: torch.Tensor, candidates: torch.Tensor, grad: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of `hidden` and of the table as products, computed for some targets at a time.

    If factors have half precision, both are products with the same matrix. In float32 a product with the
    whole table would take longer than its rows in place.
    """
    is_half = table.dtype is not torch.float32
    n_items = len(table)
    width = n_items + -n_items % 8  # the matrix units of a GPU read such a width faster
    items = pad(table, (0, 0, 0, width - n_items)) if is_half else table
    n_chunks = -(-len(hidden) * width // _ELEMENTS)
    by_table = torch.zeros(n_items, hidden.shape[1], dtype=torch.float32, device=hidden.device)
    by_hidden = []
    for some, few, weights in zip(
        *(values.tensor_split(n_chunks) for values in (hidden, candidates, grad)), strict=True
    ):
        by_item = torch.zeros(len(some), width, dtype=hidden.dtype, device=hidden.device)
        combined_rows(weights, few, by_item)
        by_table += product(by_item.T, some)[:n_items]
        by_hidden.append(product(by_item, items) if is_half else weighted_rows(weights, table, few))
    return torch.cat(by_hidden), by_table


def _by_sorted_items(
    hidden: torch.Tensor, n_items: int, candidates: torch.Tensor, grad: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of the table as one bag for each item, with the targets of that candidate."""
    items, order = candidates.flatten().sort()
    return embedding_bag(
        _targets_of(candidates)[order],
        hidden,
        torch.searchsorted(items, torch.arange(n_items, device=items.device)),
        per_sample_weights=grad.flatten()[order],
        mode="sum",
    )


def _targets_of(candidates: torch.Tensor) -> torch.Tensor:
    """Return the target (row) of each element, shape (n_targets * n_candidates,)."""
    n_targets, n_candidates = candidates.shape
    return torch.arange(n_targets, device=candidates.device).repeat_interleave(
        n_candidates, output_size=candidates.numel()
    )
