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
def cross_entropy_at_once(logits, gradient, targets, losses, n_items, stride, scale, COLUMNS: tl.constexpr):
    """Do the same for rows that a program can hold, so that each logit is read once."""
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + row)
    at = tl.arange(0, COLUMNS)
    x = tl.load(logits + row * stride + at, mask=at < n_items, other=-float("inf")).to(tl.float32) * scale
    most = tl.max(x, 0)
    of_target = tl.sum(tl.where(at == target, x, 0.0), 0)
    p = tl.exp(x - most)
    total = tl.sum(p, 0)
    tl.store(losses + row, tl.log(total) - (of_target - most))
    p = p / total
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


@triton.jit
def norm(
    values,
    weight,
    bias,
    out,
    means,
    scales,
    n_rows,
    n_factors,
    epsilon,
    ROWS: tl.constexpr,
    FACTORS: tl.constexpr,
):
    """Normalise rows; see `layer_kernels.normed_rows`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    factor = tl.arange(0, FACTORS)
    is_row, is_factor = row < n_rows, factor < n_factors
    is_in = is_row[:, None] & is_factor[None, :]
    at = row.to(tl.int64)[:, None] * n_factors + factor[None, :]
    x = tl.load(values + at, mask=is_in, other=0.0).to(tl.float32)
    mean = tl.sum(x, 1) / n_factors
    from_mean = tl.where(is_factor[None, :], x - mean[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(from_mean * from_mean, 1) / n_factors + epsilon)
    w = tl.load(weight + factor, mask=is_factor, other=0.0).to(tl.float32)
    b = tl.load(bias + factor, mask=is_factor, other=0.0).to(tl.float32)
    y = from_mean * scale[:, None] * w[None, :] + b[None, :]
    tl.store(out + at, y.to(out.dtype.element_ty), mask=is_in)
    tl.store(means + row, mean, mask=is_row)
    tl.store(scales + row, scale, mask=is_row)


@triton.jit
def norm_gradient(
    grad,
    values,
    weight,
    means,
    scales,
    by_values,
    by_parameters,
    n_rows,
    n_factors,
    n_programs,
    ROWS: tl.constexpr,
    FACTORS: tl.constexpr,
):
    """Compute the gradients of `norm`; see `layer_kernels.gradients_of_norm`."""
    program = tl.program_id(0)
    factor = tl.arange(0, FACTORS)
    is_factor = factor < n_factors
    w = tl.load(weight + factor, mask=is_factor, other=0.0).to(tl.float32)
    by_weight = tl.zeros((FACTORS,), dtype=tl.float32)
    by_bias = tl.zeros((FACTORS,), dtype=tl.float32)
    for start in range(program * ROWS, n_rows, n_programs * ROWS):
        row = start + tl.arange(0, ROWS)
        is_row = row < n_rows
        is_in = is_row[:, None] & is_factor[None, :]
        at = row.to(tl.int64)[:, None] * n_factors + factor[None, :]
        g = tl.load(grad + at, mask=is_in, other=0.0).to(tl.float32)
        x = tl.load(values + at, mask=is_in, other=0.0).to(tl.float32)
        mean = tl.load(means + row, mask=is_row, other=0.0)
        scale = tl.load(scales + row, mask=is_row, other=0.0)
        normed = tl.where(is_in, (x - mean[:, None]) * scale[:, None], 0.0)
        by_weight += tl.sum(g * normed, 0)
        by_bias += tl.sum(g, 0)
        weighted_g = g * w[None, :]
        mean_g = tl.sum(weighted_g, 1) / n_factors
        mean_product = tl.sum(weighted_g * normed, 1) / n_factors
        by_x = (weighted_g - mean_g[:, None] - normed * mean_product[:, None]) * scale[:, None]
        tl.store(by_values + at, by_x.to(by_values.dtype.element_ty), mask=is_in)
    tl.store(by_parameters + program * 2 * n_factors + factor, by_weight, mask=is_factor)
    tl.store(by_parameters + (program * 2 + 1) * n_factors + factor, by_bias, mask=is_factor)


@triton.jit(do_not_specialize=["site", "n"])
def drop(values, seed, site, plus, out, n, share, factor, HAS_PLUS: tl.constexpr, ELEMENTS: tl.constexpr):
    """Apply dropout to values, and add others; see `layer_kernels.dropped_values`."""
    at = tl.program_id(0) * ELEMENTS + tl.arange(0, ELEMENTS)
    is_in = at < n
    x = tl.load(values + at, mask=is_in, other=0.0).to(tl.float32)
    is_kept = tl.rand(tl.load(seed) + site, at) >= share
    y = tl.where(is_kept, x * factor, 0.0)
    if HAS_PLUS:
        y += tl.load(plus + at, mask=is_in, other=0.0).to(tl.float32)
    tl.store(out + at, y.to(out.dtype.element_ty), mask=is_in)


@triton.jit
def taken(
    source,
    index,
    otherwise,
    out,
    stride,
    n_source,
    n_rows,
    width,
    HAS_OTHERWISE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Take rows by an index; see `layer_kernels.taken_rows`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    is_row, is_column = row < n_rows, column < width
    from_row = tl.load(index + row, mask=is_row, other=-1)
    is_known = (from_row >= 0) & (from_row < n_source)
    at = from_row.to(tl.int64)[:, None] * stride + column[None, :]
    x = tl.load(source + at, mask=is_known[:, None] & is_column[None, :], other=0.0)
    if HAS_OTHERWISE:
        of_others = tl.load(otherwise + column, mask=is_column, other=0.0).to(x.dtype)
        x = tl.where(is_known[:, None], x, of_others[None, :])
    to = row.to(tl.int64)[:, None] * width + column[None, :]
    tl.store(out + to, x.to(out.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])


@triton.jit
def column_sums(
    values,
    index,
    partial,
    n_rows,
    width,
    n_index,
    n_programs,
    ONLY_OTHERS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Sum rows, as one partial sum for each program; see `layer_kernels.summed_rows`."""
    program = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < width
    total = tl.zeros((COLUMNS,), dtype=tl.float32)
    for start in range(program * ROWS, n_rows, n_programs * ROWS):
        row = start + tl.arange(0, ROWS)
        is_row = row < n_rows
        if ONLY_OTHERS:
            from_row = tl.load(index + row, mask=is_row, other=0)
            is_row = is_row & ((from_row < 0) | (from_row >= n_index))
        at = row.to(tl.int64)[:, None] * width + column[None, :]
        x = tl.load(values + at, mask=is_row[:, None] & is_column[None, :], other=0.0).to(tl.float32)
        total += tl.sum(x, 0)
    tl.store(partial + program * width + column, total, mask=is_column)


@triton.jit
def embedded(
    table,
    of_places,
    items,
    places,
    out,
    n_rows,
    n_factors,
    scale,
    HAS_PLACES: tl.constexpr,
    ROWS: tl.constexpr,
    FACTORS: tl.constexpr,
):
    """Look up items and places, and add them; see `layer_kernels.embedded_rows`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    factor = tl.arange(0, FACTORS)
    is_row = row < n_rows
    is_in = is_row[:, None] & (factor < n_factors)[None, :]
    item = tl.load(items + row, mask=is_row, other=0)
    x = tl.load(table + item[:, None] * n_factors + factor[None, :], mask=is_in, other=0.0) * scale
    if HAS_PLACES:
        place = tl.load(places + row, mask=is_row, other=0)
        x += tl.load(of_places + place[:, None] * n_factors + factor[None, :], mask=is_in, other=0.0)
    tl.store(out + row.to(tl.int64)[:, None] * n_factors + factor[None, :], x, mask=is_in)


@triton.jit
def summed_by_item(
    values, items, order, out, n_rows, n_factors, scale, ROWS: tl.constexpr, FACTORS: tl.constexpr
):
    """Sum the rows of each item, given in ascending order; see `layer_kernels.summed_by_item`."""
    at = tl.program_id(0)
    item = tl.load(items + at)
    is_first = (at == 0) | (tl.load(items + at - 1, mask=at > 0, other=-1) != item)
    if is_first & (item > 0):
        factor = tl.arange(0, FACTORS)
        is_factor = factor < n_factors
        total = tl.zeros((FACTORS,), dtype=tl.float32)
        goes_on = item > 0
        while goes_on:
            place = at + tl.arange(0, ROWS)
            is_same = tl.load(items + place, mask=place < n_rows, other=-1) == item
            row = tl.load(order + place, mask=is_same, other=0)
            mask = is_same[:, None] & is_factor[None, :]
            x = tl.load(values + row[:, None] * n_factors + factor[None, :], mask=mask, other=0.0)
            total += tl.sum(x.to(tl.float32), 0)
            at += ROWS
            goes_on = tl.sum(is_same.to(tl.int32), 0) == ROWS
        tl.store(out + item * n_factors + factor, total * scale, mask=is_factor)


@triton.jit
def summed_by_place(
    values, cells, out, n_sessions, length, n_values, n_factors, ROWS: tl.constexpr, FACTORS: tl.constexpr
):
    """Sum the rows of each place in the sessions; see `layer_kernels.summed_by_place`."""
    place = tl.program_id(0)
    factor = tl.arange(0, FACTORS)
    is_factor = factor < n_factors
    total = tl.zeros((FACTORS,), dtype=tl.float32)
    for start in range(0, n_sessions, ROWS):
        session = start + tl.arange(0, ROWS)
        is_cell = (session < n_sessions) & (place < length)
        row = tl.load(cells + session * length + length - 1 - place, mask=is_cell, other=-1)
        mask = ((row >= 0) & (row < n_values))[:, None] & is_factor[None, :]
        x = tl.load(values + row.to(tl.int64)[:, None] * n_factors + factor[None, :], mask=mask, other=0.0)
        total += tl.sum(x.to(tl.float32), 0)
    tl.store(out + place * n_factors + factor, total, mask=is_factor)
