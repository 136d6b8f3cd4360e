"""Layers of transformers on a GPU, each in few kernels. A step of small layers takes as long as their number.

Each class is a differentiable function. Under autocast the factors of products are rounded to bfloat16, and
sums, norms and the gradients of parameters are float32. All sums have a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tuner.training.fast_paths.layer_kernels import (
    dropped_values,
    embedded_rows,
    gradients_of_norm,
    normed_rows,
    summed_by_item,
    summed_by_place,
    summed_rows,
    taken_rows,
)
from tuner.training.fast_paths.linear import product

__all__ = ["ByItem", "dropped", "embedded", "linear", "looked_up", "normed", "taken"]

# ruff: noqa: ANN401, PLR0917  # torch gives the context of a function no type, and passes arguments by position


@dataclass(frozen=True)
class ByItem:
    """Rows by item, for the gradient of item embeddings.

    Attributes
    ----------
    items : shape (n_sorted,)
        Items in ascending order. 0 stands for no item.
    order : shape (n_sorted,)
        Row of each of them. Each row with an item other than 0 occurs once.
    """

    items: torch.Tensor
    order: torch.Tensor

    @classmethod
    def of(cls, items: torch.Tensor) -> ByItem:
        """Sort the items of rows, shape (n_rows,)."""
        return cls(*items.sort(stable=True))


def linear(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return ``values @ weight.T + bias``, shape (n_rows, n_out); in bfloat16 under autocast to it."""
    result: torch.Tensor = _Linear.apply(values, weight, bias, _products(values))  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def normed(norm: torch.nn.LayerNorm, values: torch.Tensor, *, is_factor: bool) -> torch.Tensor:
    """Return ``norm(values)``, for values of shape (n_rows, n_factors).

    With `is_factor` it is only a factor of products. So under autocast to bfloat16 it is rounded to that.
    """
    out = _products(values) if is_factor else torch.float32
    result: torch.Tensor = _Normed.apply(values, norm.weight, norm.bias, norm.eps, out)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def dropped(
    values: torch.Tensor, share: float, seed: torch.Tensor, site: int, plus: torch.Tensor | None = None
) -> torch.Tensor:
    """Apply dropout, and add other values of the same shape; see `layer_kernels.dropped_values`."""
    result: torch.Tensor = _Dropped.apply(values, plus, share, seed, site)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def taken(
    source: torch.Tensor,
    index: torch.Tensor,
    inverse: torch.Tensor,
    otherwise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return ``source[index]``, and a default row for each index that is not in the source.

    Parameters
    ----------
    source : shape (n_source, width)
        Rows. Each may be taken at most once.
    index : shape (n_rows,)
        Rows of `source`. Other values stand for the default row.
    inverse : shape (n_source,)
        Row of the result for each row of `source`. Other values stand for none.
    otherwise : shape (width,), optional
        The default row. Without it, the default row is 0.
    """
    result: torch.Tensor = _Taken.apply(source, otherwise, index, inverse)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def looked_up(table: torch.Tensor, items: torch.Tensor, by_item: ByItem) -> torch.Tensor:
    """Return ``table[items]``, shape (n_rows, n_factors), for padded sessions.

    Row 0 of the table gets the gradient of all rows at padding. `by_item` need not contain them.
    """
    result: torch.Tensor = _Embedded.apply(table, None, items, None, by_item, None, 0, 1.0)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def embedded(
    table: torch.Tensor,
    of_places: torch.Tensor | None,
    items: torch.Tensor,
    places: torch.Tensor,
    by_item: ByItem,
    cells: torch.Tensor,
    *,
    n_sessions: int,
    scale: float,
) -> torch.Tensor:
    """Return ``table[items] * scale + of_places[places]``, shape (n_rows, n_factors).

    Parameters
    ----------
    table : shape (n_items, n_factors)
        Item embeddings. Row 0, padding, gets no gradient.
    of_places : shape (at least length, n_factors), optional
        Embeddings of places, counted from the end of a session. Without them only items are looked up.
    items, places : shape (n_rows,)
        Item and place of each row.
    by_item
        The rows in the order of their items.
    cells : shape (n_sessions * length,)
        Row of each cell of the padded sessions; -1 if there is none. The gradients of all other rows must
        be 0.
    n_sessions
        Number of sessions.
    scale
        Factor of the items' embeddings.
    """
    result: torch.Tensor = _Embedded.apply(table, of_places, items, places, by_item, cells, n_sessions, scale)  # type: ignore[no-untyped-call]  # torch does not type it
    return result


def _products(values: torch.Tensor) -> torch.dtype:
    """Return the type to which the factors of products are rounded."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        products: torch.dtype,
    ) -> torch.Tensor:
        ctx.of_values, ctx.has_bias = values.dtype, bias is not None
        with torch.autocast(values.device.type, enabled=False):
            values, weight = values.to(products), weight.to(products)
            ctx.save_for_backward(values, weight)
            return functional.linear(values, weight, None if bias is None else bias.to(products))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        grad = grad.contiguous()
        by_values = None
        if ctx.needs_input_grad[0]:
            is_rounded = ctx.of_values is weight.dtype
            by_values = torch.mm(grad, weight) if is_rounded else product(grad, weight).to(ctx.of_values)
        by_bias = summed_rows(grad) if ctx.has_bias else None
        return by_values, product(grad.T, values), by_bias, None


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        epsilon: float,
        out: torch.dtype,
    ) -> torch.Tensor:
        result, means, scales = normed_rows(values, weight, bias, epsilon, out)
        ctx.save_for_backward(values, weight, means, scales)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return *gradients_of_norm(grad, *ctx.saved_tensors), None, None


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        plus: torch.Tensor | None,
        share: float,
        seed: torch.Tensor,
        site: int,
    ) -> torch.Tensor:
        ctx.share, ctx.site, ctx.of_values, ctx.has_plus = share, site, values.dtype, plus is not None
        ctx.save_for_backward(seed)
        return dropped_values(values, share, seed, site, plus=plus)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (seed,) = ctx.saved_tensors
        by_values = dropped_values(grad, ctx.share, seed, ctx.site, out=ctx.of_values)
        return by_values, grad if ctx.has_plus else None, None, None, None


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        source: torch.Tensor,
        otherwise: torch.Tensor | None,
        index: torch.Tensor,
        inverse: torch.Tensor,
    ) -> torch.Tensor:
        ctx.n_source, ctx.of_otherwise = len(source), None if otherwise is None else otherwise.dtype
        ctx.save_for_backward(index, inverse)
        return taken_rows(source, index, otherwise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        index, inverse = ctx.saved_tensors
        grad = grad.contiguous()
        by_otherwise = None
        if ctx.of_otherwise is not None:
            by_otherwise = summed_rows(grad, index, ctx.n_source).to(ctx.of_otherwise)
        return taken_rows(grad, inverse), by_otherwise, None, None


class _Embedded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: torch.Tensor,
        of_places: torch.Tensor | None,
        items: torch.Tensor,
        places: torch.Tensor | None,
        by_item: ByItem,
        cells: torch.Tensor | None,
        n_sessions: int,
        scale: float,
    ) -> torch.Tensor:
        ctx.n_items, ctx.n_places = len(table), None if of_places is None else len(of_places)
        ctx.n_sessions, ctx.scale = n_sessions, scale
        ctx.by_item, ctx.cells = by_item, cells
        ctx.padded = items if cells is None else None
        return embedded_rows(table, of_places, items, places, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad = grad.contiguous()
        by_table = summed_by_item(grad, ctx.by_item.items, ctx.by_item.order, ctx.n_items, ctx.scale)
        if ctx.padded is not None:
            by_table[0] = summed_rows(grad, ctx.padded - 1, ctx.n_items) * ctx.scale
        by_places = None
        if ctx.n_places is not None:
            by_places = summed_by_place(grad, ctx.cells, ctx.n_sessions, ctx.n_places)
        return by_table, by_places, None, None, None, None, None, None
