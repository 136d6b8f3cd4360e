"""Triton kernels for layers of transformers, and for item embeddings; see `kernels`."""

from __future__ import annotations

import torch

from tuner.training.fast_paths.kernels import power_of_2, triton_kernels

__all__ = [
    "dropped_values",
    "embedded_rows",
    "gradients_of_norm",
    "normed_rows",
    "summed_by_item",
    "summed_by_place",
    "summed_rows",
    "taken_rows",
]

#: Number of programs that sum rows. Each writes a partial sum.
_PROGRAMS = 256
#: Number of elements of rows that a program holds at one time.
_ELEMENTS = 2048


def normed_rows(
    values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float, out: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the layer norm of rows in the type `out`, and the mean and scale of each row, in float32.

    The scale is ``1 / sqrt(variance + epsilon)``. `values` has the shape (n_rows, n_factors).
    """
    values = values.contiguous()
    n_rows, n_factors = values.shape
    normed = torch.empty_like(values, dtype=out)
    means, scales = torch.empty(2, n_rows, dtype=torch.float32, device=values.device)
    rows, factors = _rows_of(n_factors)
    triton_kernels().norm[(-(-n_rows // rows),)](
        values, weight, bias, normed, means, scales, n_rows, n_factors, epsilon, ROWS=rows, FACTORS=factors
    )
    return normed, means, scales


def gradients_of_norm(
    grad: torch.Tensor, values: torch.Tensor, weight: torch.Tensor, means: torch.Tensor, scales: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients with respect to the values, weight and bias of `normed_rows`.

    `grad` is the gradient with respect to the norm, `means` and `scales` are those that `normed_rows` gave.
    """
    grad, values = grad.contiguous(), values.contiguous()
    n_rows, n_factors = values.shape
    rows, factors = _rows_of(n_factors)
    n_programs = min(_PROGRAMS, -(-n_rows // rows))
    by_values = torch.empty_like(values)
    by_parameters = torch.empty(n_programs, 2, n_factors, dtype=torch.float32, device=values.device)
    triton_kernels().norm_gradient[(n_programs,)](
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
        ROWS=rows,
        FACTORS=factors,
    )
    by_weight, by_bias = by_parameters.sum(dim=0)
    return by_values, by_weight, by_bias


def dropped_values(
    values: torch.Tensor,
    share: float,
    seed: torch.Tensor,
    site: int,
    *,
    plus: torch.Tensor | None = None,
    out: torch.dtype | None = None,
) -> torch.Tensor:
    """Set a random share of the values to 0, scale the others by ``1 / (1 - share)``, and add `plus`.

    Parameters
    ----------
    values
        Any shape.
    share
        Share of values that become 0, at least 0 and less than 1.
    seed : shape (1,)
        Seed of the random numbers, an integer on the device. So a CUDA graph can draw it anew.
    site
        Small number. Each site with the same seed has its own random numbers. The same seed and site give the
        same mask.
    plus : shape as `values`, optional
        Added after the dropout.
    out
        Type of the result. The default is that of `plus`, or of `values`.
    """
    values = values.contiguous()
    plus = None if plus is None else plus.contiguous()
    result = torch.empty_like(values if plus is None else plus, dtype=out)
    triton_kernels().drop[(-(-values.numel() // 1024),)](
        values,
        seed,
        site,
        plus,
        result,
        values.numel(),
        share,
        1 / (1 - share),
        HAS_PLUS=plus is not None,
        ELEMENTS=1024,
    )
    return result


def taken_rows(
    source: torch.Tensor, index: torch.Tensor, otherwise: torch.Tensor | None = None
) -> torch.Tensor:
    """Return ``source[index]``, and a default row for each index that is not in the source.

    Parameters
    ----------
    source : shape (n_source, width)
        The elements of a row must lie next to each other.
    index : shape (n_rows,)
        Rows of `source`. Values below 0 and from `n_source` on stand for the default row.
    otherwise : shape (width,), optional
        The default row. Without it, the default row is 0.
    """
    (n_source, width), n_rows = source.shape, len(index)
    out = torch.empty(n_rows, width, dtype=source.dtype, device=source.device)
    rows, columns = _rows_of(width)
    triton_kernels().taken[(-(-n_rows // rows),)](
        source,
        index,
        otherwise,
        out,
        source.stride(0),
        n_source,
        n_rows,
        width,
        HAS_OTHERWISE=otherwise is not None,
        ROWS=rows,
        COLUMNS=columns,
    )
    return out


def summed_rows(values: torch.Tensor, index: torch.Tensor | None = None, n_index: int = 0) -> torch.Tensor:
    """Return the sum of the rows of `values`, float32, shape (width,). The order of the sum is fixed.

    Parameters
    ----------
    values : shape (n_rows, width)
        Contiguous rows.
    index : shape (n_rows,), optional
        If given, only those rows are summed whose index is below 0, or `n_index` or more.
    n_index
        See `index`.
    """
    n_rows, width = values.shape
    columns = min(128, power_of_2(width))
    rows = _ELEMENTS // columns
    n_programs = min(_PROGRAMS // 4, -(-n_rows // rows))
    partial = torch.empty(n_programs, width, dtype=torch.float32, device=values.device)
    triton_kernels().column_sums[(n_programs, -(-width // columns))](
        values,
        index,
        partial,
        n_rows,
        width,
        n_index,
        n_programs,
        ONLY_OTHERS=index is not None,
        ROWS=rows,
        COLUMNS=columns,
    )
    return partial.sum(dim=0)


def embedded_rows(
    table: torch.Tensor,
    of_places: torch.Tensor | None,
    items: torch.Tensor,
    places: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Return ``table[items] * scale + of_places[places]`` in float32, shape (n_rows, n_factors).

    Without `of_places` only the first part is returned.
    """
    n_rows, n_factors = len(items), table.shape[1]
    out = torch.empty(n_rows, n_factors, dtype=torch.float32, device=table.device)
    rows, factors = _rows_of(n_factors)
    triton_kernels().embedded[(-(-n_rows // rows),)](
        table,
        of_places,
        items,
        places,
        out,
        n_rows,
        n_factors,
        scale,
        HAS_PLACES=of_places is not None,
        ROWS=rows,
        FACTORS=factors,
    )
    return out


def summed_by_item(
    values: torch.Tensor, items: torch.Tensor, order: torch.Tensor, n_items: int, scale: float
) -> torch.Tensor:
    """Return the sums of rows by item, times a scale, shape (n_items, n_factors). Their order is fixed.

    Parameters
    ----------
    values : shape (n_rows, n_factors)
        Contiguous rows, in float32.
    items : shape (n_sorted,)
        Items in ascending order. Item 0 is padding. Its sum is 0.
    order : shape (n_sorted,)
        Row of `values` for each of the `items`.
    n_items, scale
        Number of sums, and their factor.
    """
    n_sorted, n_factors = len(items), values.shape[1]
    sums = torch.zeros(n_items, n_factors, dtype=torch.float32, device=values.device)
    rows, factors = _rows_of(n_factors, most=16)
    triton_kernels().summed_by_item[(n_sorted,)](
        values, items, order, sums, n_sorted, n_factors, scale, ROWS=rows, FACTORS=factors
    )
    return sums


def summed_by_place(
    values: torch.Tensor, cells: torch.Tensor, n_sessions: int, n_places: int
) -> torch.Tensor:
    """Return the sums of rows by their place in a session, counted from its end. Their order is fixed.

    Parameters
    ----------
    values : shape (n_rows, n_factors)
        Contiguous rows, in float32.
    cells : shape (n_sessions * length,)
        Row of each cell of the padded sessions. -1 if there is none.
    n_sessions
        Number of sessions.
    n_places
        Number of sums, at least the length. Sums of more places are 0.

    Returns
    -------
    torch.Tensor, shape (n_places, n_factors)
    """
    length, n_factors = len(cells) // n_sessions, values.shape[1]
    sums = torch.empty(n_places, n_factors, dtype=torch.float32, device=values.device)
    rows, factors = _rows_of(n_factors, most=32)
    triton_kernels().summed_by_place[(n_places,)](
        values, cells, sums, n_sessions, length, len(values), n_factors, ROWS=rows, FACTORS=factors
    )
    return sums


def _rows_of(width: int, most: int = 8) -> tuple[int, int]:
    """Return how many rows a program holds at one time, at most `most`, and the width of their tile."""
    columns = power_of_2(width)
    return min(most, max(1, _ELEMENTS // columns)), columns
