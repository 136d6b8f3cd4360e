"""The kernels of `kernels`, in Triton's language, which looks like Python. Import it only to run them."""

import triton
import triton.language as tl

__all__: list[str] = []  # `kernels` looks the kernels up by name, when they are to run


@triton.jit
def cross_entropy(logits, gradient, targets, losses, n_items, stride, scale, COLUMNS: tl.constexpr):
    """Compute the losses of rows and their gradients; see `kernels.cross_entropy_rows`."""
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + row)
    columns = tl.arange(0, COLUMNS)
    most = -float("inf")
    total = 0.0
    for start in range(0, n_items, COLUMNS):
        at = start + columns
        x = tl.load(logits + row * stride + at, mask=at < n_items, other=-float("inf")).to(tl.float32) * scale
        new = tl.maximum(most, tl.max(x, 0))
        total = total * tl.exp(most - new) + tl.sum(tl.exp(x - new), 0)
        most = new
    of_target = tl.load(logits + row * stride + target).to(tl.float32) * scale
    tl.store(losses + row, tl.log(total) - (of_target - most))
    tl.debug_barrier()  # the target's logit must be read before it is overwritten
    for start in range(0, stride, COLUMNS):
        at = start + columns
        x = tl.load(logits + row * stride + at, mask=at < n_items, other=-float("inf")).to(tl.float32) * scale
        p = tl.exp(x - most) / total
        p = tl.where(at == target, p - 1, p)
        tl.store(gradient + row * stride + at, p.to(gradient.dtype.element_ty), mask=at < stride)


@triton.jit
def scores(
    hidden, table, candidates, scores, n_candidates, n_factors, ROWS: tl.constexpr, FACTORS: tl.constexpr
):
    """Compute the scores of a target's candidates; see `kernels.scores_of_rows`."""
    target = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    factor = tl.arange(0, FACTORS)
    is_factor, is_row = factor < n_factors, row < n_candidates
    mine = tl.load(hidden + target * n_factors + factor, mask=is_factor, other=0.0).to(tl.float32)
    item = tl.load(candidates + target * n_candidates + row, mask=is_row, other=0)
    at = item[:, None] * n_factors + factor[None, :]
    theirs = tl.load(table + at, mask=is_row[:, None] & is_factor[None, :], other=0.0).to(tl.float32)
    tl.store(scores + target * n_candidates + row, tl.sum(theirs * mine[None, :], 1), mask=is_row)


@triton.jit
def weighted(
    weights, table, candidates, sums, n_candidates, n_factors, ROWS: tl.constexpr, FACTORS: tl.constexpr
):
    """Compute the weighted sum of a target's candidates; see `kernels.weighted_rows`."""
    target = tl.program_id(0).to(tl.int64)
    factor = tl.arange(0, FACTORS)
    is_factor = factor < n_factors
    total = tl.zeros((FACTORS,), dtype=tl.float32)
    for start in range(0, n_candidates, ROWS):
        row = start + tl.arange(0, ROWS)
        is_row = row < n_candidates
        item = tl.load(candidates + target * n_candidates + row, mask=is_row, other=0)
        weight = tl.load(weights + target * n_candidates + row, mask=is_row, other=0.0).to(tl.float32)
        at = item[:, None] * n_factors + factor[None, :]
        theirs = tl.load(table + at, mask=is_row[:, None] & is_factor[None, :], other=0.0).to(tl.float32)
        total += tl.sum(theirs * weight[:, None], 0)
    tl.store(sums + target * n_factors + factor, total, mask=is_factor)


@triton.jit
def combined(weights, candidates, out, n_candidates, stride, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    """Add weights up by candidate; see `kernels.combined_rows`."""
    target = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    every = tl.arange(0, WIDTH)
    is_row = row < n_candidates
    mine = tl.load(candidates + target * n_candidates + row, mask=is_row, other=-1)
    item = tl.load(candidates + target * n_candidates + every, mask=every < n_candidates, other=-2)
    weight = tl.load(weights + target * n_candidates + every, mask=every < n_candidates, other=0.0).to(
        tl.float32
    )
    total = tl.sum(tl.where(mine[:, None] == item[None, :], weight[None, :], 0.0), 1)
    tl.store(out + target * stride + mine, total.to(out.dtype.element_ty), mask=is_row)
