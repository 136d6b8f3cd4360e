"""Attention and dropout computed only for real tokens. Sessions follow each other without padding.

Without dropout, results equal RecTools' except for rounding. With dropout, masks have the same distribution
but other values, because none is drawn for padding. So a study enables this path by ``training.fast:
unpadded``.

If RecTools' attention sees padding, all padding has the same key and value, the biases. On a CPU one more
column of scores represents it. This column has the weight of ``n`` equal columns, of which dropout keeps a
binomial number. On a GPU attention keeps the padded shape, in one kernel of torch (see also `fused_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from tuner.training.fast_paths.blocks import PlainLayers, Projected
from tuner.training.fast_paths.groups import Group, Groups

__all__ = ["PackedTokens"]

#: Dropout on a CPU compares numbers of 16 bits. A random word contains four of them.
_STEPS = 2**16


@dataclass(frozen=True, eq=False)
class PackedTokens(PlainLayers):
    """Tokens of a batch, one session after the other.

    Attributes
    ----------
    size, length
        Number of sessions in the batch, and of positions in each in the padded shape.
    positions : shape (n_tokens,)
        Flat positions in the padded shape, ascending. On a GPU the value ``size * length`` may follow several
        times, to fill up a fixed shape. `read` may then contain it too.
    is_causal
        Whether a position sees only itself and earlier positions.
    sees_padding
        Whether attention sees padding.
    """

    size: int
    length: int
    positions: torch.Tensor
    is_causal: bool
    sees_padding: bool

    @property
    def in_one_kernel(self) -> bool:
        """Whether attention keeps the padded shape."""
        return self.positions.is_cuda

    def at(self, values: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """Return the values of the tokens at some flat positions, shape (n_read, n_factors)."""
        return values.index_select(0, self._rows(read))

    def _rows(self, read: torch.Tensor) -> torch.Tensor:
        return torch.searchsorted(self.positions, read)

    def dropped(
        self,
        dropout: torch.nn.Dropout,
        values: torch.Tensor,
        at: torch.Tensor,  # noqa: ARG002  # the protocol `Tokens` has it
        *,
        time_first: bool = False,  # noqa: ARG002  # as above
        plus: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply dropout to values, and add others."""
        if not dropout.training or not 0 < dropout.p < 1 or values.is_cuda:
            values = functional.dropout(values, dropout.p, dropout.training)
        else:
            values = values * self._kept(values, dropout.p)
        return values if plus is None else plus + values

    def mixed(self, projected: Projected, read: torch.Tensor, dropout: float) -> torch.Tensor:
        """Return the output of attention at the positions that are read, shape (n_read, n_factors)."""
        if self.in_one_kernel:
            return self._mixed_padded(projected, read, dropout)
        rows, queries = self._rows(read), projected.queries
        keys, values = projected.keys_values.chunk(2, dim=1)
        if len(read) < len(self.positions):
            queries = queries.new_zeros(keys.shape).index_copy(0, rows, queries)
        mixed = [
            self._mixed_in(group, of_group, projected, dropout)
            for group, of_group in self._groups.split(queries, keys, values)
        ]
        return self._groups.joined(mixed, rows)

    def _mixed_in(
        self, group: Group, of_group: Sequence[torch.Tensor], projected: Projected, dropout: float
    ) -> torch.Tensor:
        """Return the output of attention for the queries, keys and values of some sessions."""
        heads, shape = projected.n_heads, group.cells.shape
        q, k, v = (values.view(*shape, heads, -1).transpose(1, 2) for values in of_group)
        q = q * q.shape[-1] ** -0.5
        scores = (q @ k.transpose(2, 3)).masked_fill(group.hidden, -torch.inf)
        if not self.sees_padding:
            mixed = self._weighted(scores.softmax(dim=3), dropout) @ v
            return mixed.transpose(1, 2).flatten(2).flatten(0, 1)
        key, value = (values.view(heads, 1, -1) for values in projected.of_padding.chunk(2))
        of_padding = (q * key).sum(dim=3, keepdim=True) + group.n_padding.to(q.dtype).log()
        weights = torch.cat([scores, of_padding], dim=3).softmax(dim=3)
        mixed = self._weighted(weights[..., :-1], dropout) @ v
        mixed = mixed + self._of_many(weights[..., -1:], group.n_padding, dropout) * value
        return mixed.transpose(1, 2).flatten(2).flatten(0, 1)

    def _weighted(self, weights: torch.Tensor, dropout: float) -> torch.Tensor:
        return weights * self._kept(weights, dropout) if dropout > 0 else weights

    def _of_many(self, weights: torch.Tensor, n: torch.Tensor, dropout: float) -> torch.Tensor:
        """Apply dropout to `n` equal weights, and return their sum."""
        if dropout == 0:
            return weights
        kept = torch.from_numpy(self._numbers.binomial(n.numpy(), 1 - dropout, weights.shape))
        return weights * (kept.to(weights.dtype) / (n.clamp_min(1) * (1 - dropout)))

    def _kept(self, values: torch.Tensor, p: float) -> torch.Tensor:
        """Draw a dropout mask for some values: 0, or the factor that keeps the mean."""
        n, threshold = values.numel(), round((1 - p) * _STEPS)
        words = self._numbers.integers(0, 2**64, size=-(-n // 4), dtype=np.uint64)
        drawn = torch.from_numpy(words.view(np.int16)[:n]).view(values.shape)
        return (drawn < threshold - _STEPS // 2).to(values.dtype).mul_(_STEPS / threshold)

    @cached_property
    def _numbers(self) -> np.random.Generator:
        """A fast generator, seeded by torch's generator."""
        return np.random.Generator(np.random.SFC64(int(torch.randint(2**62, ()))))

    @cached_property
    def _groups(self) -> Groups:
        return Groups(self.size, self.length, self.positions, self.is_causal)

    def _mixed_padded(self, projected: Projected, read: torch.Tensor, dropout: float) -> torch.Tensor:
        queries, heads = projected.queries, projected.n_heads
        q = self._padded(queries, read, queries.new_zeros(queries.shape[1]), heads)
        k, v = (
            self._padded(values, self.positions, padding, heads)
            for values, padding in zip(
                projected.keys_values.chunk(2, dim=1), projected.of_padding.chunk(2), strict=True
            )
        )
        mixed = functional.scaled_dot_product_attention(
            q, k, v, self._mask(q.dtype), dropout, is_causal=self.is_causal and self.sees_padding
        )
        everywhere = mixed.transpose(1, 2).reshape(-1, queries.shape[1])
        return functional.pad(everywhere, (0, 0, 0, 1)).index_select(0, read)

    def _padded(
        self, values: torch.Tensor, at: torch.Tensor, padding: torch.Tensor, n_heads: int
    ) -> torch.Tensor:
        n = self.size * self.length
        everywhere = padding.to(values.dtype).expand(n + 1, -1).index_copy(0, at, values)[:n]
        return everywhere.view(self.size, self.length, n_heads, -1).transpose(1, 2)

    def _mask(self, dtype: torch.dtype) -> torch.Tensor | None:
        """Return -inf where a position must not see another; None if at most later positions are hidden."""
        if self.sees_padding:
            return None
        device = self.positions.device
        allowed = self.is_token[:, None, None]
        if self.is_causal:
            allowed = (allowed & self._earlier) | torch.eye(self.length, dtype=torch.bool, device=device)
        return torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill(~allowed, -torch.inf)
