"""Tokens without padding on a GPU: the operations of blocks by `fused`, and attention in the padded shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import torch
from torch.nn import functional

from tuner.training.fast_paths import fused
from tuner.training.fast_paths.blocks import Projected
from tuner.training.fast_paths.packed import PackedTokens

__all__ = ["FusedTokens"]


@dataclass(frozen=True, eq=False)
class FusedTokens(PackedTokens):
    """Tokens of a batch, one session after the other, with the kernels of `fused`.

    Results are those of `PackedTokens`, with other dropout masks.

    Attributes
    ----------
    read : shape (n_read,)
        Flat positions that the last block reads.
    """

    read: torch.Tensor

    def at(self, values: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """Return the values of the tokens at some flat positions, shape (n_read, n_factors)."""
        if read is self.positions:
            return values
        return fused.taken(values, self.cells[read], self.cells_of_read[self.positions])

    def linear(
        self, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``values @ weight.T + bias``."""
        return fused.linear(values, weight, bias)

    def normed(
        self, norm: torch.nn.LayerNorm, values: torch.Tensor, *, is_factor: bool = False
    ) -> torch.Tensor:
        """Return ``norm(values)``, in float32 or, if it is only a factor of products, in their type."""
        return fused.normed(norm, values, is_factor=is_factor)

    def dropped(
        self,
        dropout: torch.nn.Dropout,
        values: torch.Tensor,
        at: torch.Tensor,  # the protocol `Tokens` has it
        *,
        time_first: bool = False,  # noqa: ARG002  # as above
        plus: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply dropout to values, and add others."""
        if not dropout.training or dropout.p == 0:
            return values if plus is None else plus + values
        if dropout.p >= 1:
            return super().dropped(dropout, values, at, plus=plus)
        return fused.dropped(values, dropout.p, self._seed, next(self._sites), plus)

    def mixed(self, projected: Projected, read: torch.Tensor, dropout: float) -> torch.Tensor:
        """Return the output of attention at the positions that are read, shape (n_read, n_factors)."""
        shape, width = (self.size, self.length), projected.queries.shape[1]
        cells = self.cells if read is self.positions else self.cells_of_read
        cells, heads = cells[:-1], projected.n_heads
        queries = fused.taken(projected.queries, cells, read).view(*shape, heads, -1)
        padding = projected.of_padding if self.sees_padding else None
        keys_values = fused.taken(projected.keys_values, self.cells[:-1], self.positions, padding)
        keys, values = keys_values.view(*shape, 2, heads, -1).unbind(2)
        mixed = functional.scaled_dot_product_attention(
            queries.transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            self._mask(queries.dtype),
            dropout,
            is_causal=self.is_causal and self.sees_padding,
        )
        return fused.taken(mixed.transpose(1, 2).reshape(-1, width), read, cells)

    def _in_cells(self, values: torch.Tensor) -> torch.Tensor:
        """Put the values of all tokens into the padded shape, (size, length, width). Others are 0."""
        return fused.taken(values, self.cells[:-1], self.positions).view(self.size, self.length, -1)

    def _of_cells(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values of all tokens from the padded shape."""
        return fused.taken(values.flatten(0, 1), self.positions, self.cells[:-1])

    @cached_property
    def cells(self) -> torch.Tensor:
        """Row of the token in each cell of the padded shape; -1 for none, and at the end."""
        return self._inverse(self.positions)

    @cached_property
    def cells_of_read(self) -> torch.Tensor:
        """Row of what is read in each cell of the padded shape; -1 for none, and at the end."""
        return self._inverse(self.read)

    def _inverse(self, positions: torch.Tensor) -> torch.Tensor:
        n = self.size * self.length
        cells = positions.new_full((n + 1,), -1)
        cells.index_copy_(0, positions, torch.arange(len(positions), device=positions.device))
        cells[n:] = -1  # the filling
        return cells

    def _mask(self, dtype: torch.dtype) -> torch.Tensor | None:
        """Return the mask of attention, which is that of all blocks."""
        if dtype not in self._masks:
            self._masks[dtype] = super()._mask(dtype)
        return self._masks[dtype]

    @cached_property
    def _masks(self) -> dict[torch.dtype, torch.Tensor | None]:
        return {}

    @cached_property
    def _seed(self) -> torch.Tensor:
        return torch.randint(2**62, (1,), device=self.positions.device)

    @cached_property
    def _sites(self) -> Iterator[int]:
        return count()
