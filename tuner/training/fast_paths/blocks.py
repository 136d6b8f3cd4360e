"""RecTools' transformer blocks, computed only at some positions of a padded batch.

Norms, projections, gates and feed-forward layers work on one position at a time, so this module computes them
only where they are needed. Attention itself keeps the padded shape. Dropout masks are also drawn in the
padded shape, and then read at these positions. So the masks and the random stream are RecTools' own.
(`packed` does not use the padded shape on a CPU, and draws different masks.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import torch
from rectools.models.nn.transformers.ligr import LiGRLayer
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayer, SwigluFeedForward
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayer
from torch.nn import functional

__all__ = [
    "BLOCKS",
    "PaddedTokens",
    "PlainLayers",
    "Projected",
    "Tokens",
    "draws_as_it_lies",
    "silu_attended",
]


class Tokens(Protocol):
    """The positions at which blocks work, with the operations of blocks."""

    def at(self, values: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """Return the values of the tokens at some flat positions, shape (n_read, n_factors)."""

    def linear(
        self, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``values @ weight.T + bias``."""

    def normed(
        self, norm: torch.nn.LayerNorm, values: torch.Tensor, *, is_factor: bool = False
    ) -> torch.Tensor:
        """Return ``norm(values)``. With `is_factor` it is only a factor of products, so it may be rounded."""

    def dropped(
        self,
        dropout: torch.nn.Dropout,
        values: torch.Tensor,
        at: torch.Tensor,
        *,
        time_first: bool = False,
        plus: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply dropout to values at the flat positions `at`, shape (n, n_factors), and add others.

        Masks are drawn in the order of a tensor's memory. With `time_first` that order is position by
        position, as in attention's output, and not session by session.
        """

    def mixed(self, projected: Projected, read: torch.Tensor, dropout: float) -> torch.Tensor:
        """Return the output of attention at the positions that are read, shape (n_read, n_factors)."""

    def silu_mixed(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, n_heads: int
    ) -> torch.Tensor:
        """Return the output of HSTU's attention at all tokens, shape of `v`.

        Parameters
        ----------
        q, k, v : shape (n_tokens, n_heads * width)
            Queries, keys and values. The values may have another width.
        bias : shape (size or 1, length, length), optional
            Added to the scores.
        n_heads
            Number of attention heads.
        """


@dataclass(frozen=True)
class Projected:
    """The input of attention.

    Attributes
    ----------
    queries : shape (n_read, n_factors)
        Queries at the positions that are read.
    keys_values : shape (n_tokens, 2 * n_factors)
        Keys and values at all tokens.
    of_padding : shape (2 * n_factors,)
        Key and value of padding.
    n_heads
        Number of attention heads.
    """

    queries: torch.Tensor
    keys_values: torch.Tensor
    of_padding: torch.Tensor
    n_heads: int


class PlainLayers:
    """Operations of `Tokens` by torch's own functions."""

    size: int
    length: int
    positions: torch.Tensor

    def linear(
        self, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``values @ weight.T + bias``."""
        return functional.linear(values, weight, bias)

    def normed(
        self,
        norm: torch.nn.LayerNorm,
        values: torch.Tensor,
        *,
        is_factor: bool = False,  # noqa: ARG002  # the protocol `Tokens` has it
    ) -> torch.Tensor:
        """Return ``norm(values)``."""
        result: torch.Tensor = norm(values)
        return result

    def silu_mixed(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, n_heads: int
    ) -> torch.Tensor:
        """Return the output of HSTU's attention at all tokens, by way of the padded shape."""
        q, k, v = (self._in_cells(values) for values in (q, k, v))
        attended = silu_attended(q, k, v, self._seen, bias, n_heads=n_heads, divisor=self.length)
        return self._of_cells(attended)

    @cached_property
    def is_token(self) -> torch.Tensor:
        """Whether a place of the padded shape is a token, shape (size, length)."""
        n = self.size * self.length
        places = torch.zeros(n + 1, dtype=torch.bool, device=self.positions.device)
        return places.index_fill(0, self.positions, True)[:n].view(self.size, self.length)

    @cached_property
    def _seen(self) -> torch.Tensor:
        """Whether a place sees another: tokens see themselves and earlier ones. All blocks share it."""
        is_token = self.is_token[:, None]
        return self._earlier & is_token[..., None] & is_token[:, :, None]

    @property
    def _earlier(self) -> torch.Tensor:
        ones = torch.ones(self.length, self.length, dtype=torch.bool, device=self.positions.device)
        return ones.tril()

    def _in_cells(self, values: torch.Tensor) -> torch.Tensor:
        """Put the values of all tokens into the padded shape, (size, length, width). Others are 0."""
        cells = values.new_zeros(self.size * self.length + 1, values.shape[1])
        return cells.index_copy(0, self.positions, values)[:-1].view(self.size, self.length, -1)

    def _of_cells(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values of all tokens from the padded shape."""
        return functional.pad(values.flatten(0, 1), (0, 0, 0, 1)).index_select(0, self.positions)


@dataclass(frozen=True)
class PaddedTokens(PlainLayers):
    """Tokens of a padded batch. Attention and dropout masks keep the padded shape.

    Attributes
    ----------
    size, length
        Number of sessions in the batch, and of positions in each.
    positions : torch.Tensor, shape (n_tokens,)
        Flat positions, ascending. All other positions count as 0 or are hidden by the mask.
    mask : torch.Tensor, shape (size or 1, 1, length or 1, length), optional
        Added to the scores of attention: -inf for a hidden position.
    """

    size: int
    length: int
    positions: torch.Tensor
    mask: torch.Tensor | None

    def at(self, values: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """Return the values of the tokens at some flat positions, shape (n_read, n_factors)."""
        return values.index_select(0, torch.searchsorted(self.positions, read))

    def dropped(
        self,
        dropout: torch.nn.Dropout,
        values: torch.Tensor,
        at: torch.Tensor,
        *,
        time_first: bool = False,
        plus: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply dropout to a padded tensor, given and returned as its values at the flat positions `at`."""
        values = self._dropped(dropout, values, at, time_first=time_first)
        return values if plus is None else plus + values

    def _dropped(
        self, dropout: torch.nn.Dropout, values: torch.Tensor, at: torch.Tensor, *, time_first: bool
    ) -> torch.Tensor:
        if not dropout.training or not 0 < dropout.p < 1:  # torch draws no mask then
            return functional.dropout(values, dropout.p, dropout.training)
        # Integers: torch draws them, and converts them for other types.
        drawn = torch.empty(self.size * self.length, values.shape[1], dtype=torch.int32)
        if time_first:
            at = at % self.length * self.size + at // self.length
        kept = drawn.bernoulli_(1 - dropout.p).index_select(0, at).to(values.dtype)
        return values * kept.div_(1 - dropout.p)

    def mixed(self, projected: Projected, read: torch.Tensor, dropout: float) -> torch.Tensor:
        """Return the output of attention at the positions that are read, shape (n_read, n_factors)."""
        queries, heads = projected.queries, projected.n_heads
        width = queries.shape[1]
        keys, values = projected.keys_values.chunk(2, dim=1)
        of_keys, of_values = projected.of_padding.chunk(2)
        q = self._padded(queries, read, queries.new_zeros(width), heads)
        k = self._padded(keys, self.positions, of_keys, heads)
        v = self._padded(values, self.positions, of_values, heads)
        mask = None if self.mask is None else self.mask.to(q.dtype)
        mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        return mixed.transpose(1, 2).reshape(-1, width).index_select(0, read)

    def _padded(
        self, values: torch.Tensor, at: torch.Tensor, padding: torch.Tensor, n_heads: int
    ) -> torch.Tensor:
        """Put values of shape (n, n_factors) at the flat positions `at`, one row of `padding` at all others.

        Returns
        -------
        torch.Tensor, shape (size, n_heads, length, n_factors / n_heads)
        """
        everywhere = padding.to(values.dtype).expand(self.size * self.length, -1).index_copy(0, at, values)
        return everywhere.view(self.size, self.length, n_heads, -1).transpose(1, 2)


def silu_attended(  # all are needed alike
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    seen: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    n_heads: int,
    divisor: int,
) -> torch.Tensor:
    """Return ``silu(q k + bias) / divisor v`` over the positions that are seen.

    Parameters
    ----------
    q, k, v : shape (size, length, n_heads * width)
        Queries, keys and values. The values may have another width.
    seen : shape (size or 1, 1, length, length)
        Whether a position sees another.
    bias : shape (size or 1, length, length), optional
        Added to the scores.
    n_heads
        Number of attention heads.
    divisor
        RecTools divides by the length of the padded shape.
    """
    q, k, v = (values.reshape(*values.shape[:2], n_heads, -1).transpose(1, 2) for values in (q, k, v))
    scores = q @ k.transpose(2, 3)
    if bias is not None:
        scores = scores + bias.unsqueeze(1)
    weights = functional.silu(scores) / divisor * seen
    attended: torch.Tensor = weights @ v.to(weights.dtype)
    return attended.transpose(1, 2).flatten(2)


@cache
def draws_as_it_lies() -> bool:
    """Whether dropout of this version of torch draws a mask in the order of the tensor's memory."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        kept = functional.dropout(torch.ones(16, 8, 4).transpose(0, 1), 0.5) != 0
        torch.default_generator.manual_seed(0)
        drawn = torch.empty(16 * 8, 4, dtype=torch.int32).bernoulli_(0.5) != 0
    return torch.equal(kept.transpose(0, 1), drawn.view(16, 8, 4))


def _attended(
    attention: torch.nn.MultiheadAttention,
    query: torch.Tensor,
    context: torch.Tensor,
    tokens: Tokens,
    read: torch.Tensor,
) -> torch.Tensor:
    """Return ``attention(query, context, context)`` at the positions that are read, (n_read, n_factors).

    Parameters
    ----------
    query : shape (n_read, n_factors)
        Queries at the positions that are read.
    context : shape (n_tokens, n_factors)
        Context at all tokens. At padding it counts as 0, so keys and values there are the biases.
    """
    width = attention.embed_dim
    parts = [width, 2 * width]
    for_queries, for_others = attention.in_proj_bias.split_with_sizes(parts)
    if query is context:
        all_at_once = tokens.linear(query, attention.in_proj_weight, attention.in_proj_bias)
        queries, keys_values = all_at_once.split_with_sizes(parts, dim=1)
    else:
        of_queries, of_others = attention.in_proj_weight.split_with_sizes(parts)
        queries = tokens.linear(query, of_queries, for_queries)
        keys_values = tokens.linear(context, of_others, for_others)
    projected = Projected(queries, keys_values, for_others, attention.num_heads)
    mixed = tokens.mixed(projected, read, attention.dropout if attention.training else 0.0)
    return tokens.linear(mixed, attention.out_proj.weight, attention.out_proj.bias)


def _pre_ln(block: Any, seqs: torch.Tensor, tokens: Tokens, read: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # torch does not type attributes of modules
    """`PreLNTransformerLayer`: ``x += drop(MHA(LN(x))); x = drop(x + drop(FF(LN(x))))``."""
    normed = tokens.normed(block.layer_norm_1, seqs, is_factor=True)
    attended = _attended(block.multi_head_attn, tokens.at(normed, read), normed, tokens, read)
    seqs = tokens.dropped(block.dropout_1, attended, read, time_first=True, plus=tokens.at(seqs, read))
    fed = _fed_forward(block, tokens.normed(block.layer_norm_2, seqs, is_factor=True), tokens, read)
    seqs = tokens.dropped(block.dropout_2, fed, read, plus=seqs)
    return tokens.dropped(block.dropout_3, seqs, read)


def _ligr(block: Any, seqs: torch.Tensor, tokens: Tokens, read: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # as above
    """`LiGRLayer`: ``x += s(G1 x) * drop(MHA(LN(x))); x += s(G2 x) * drop(FF(LN(x)))``, s the sigmoid."""
    normed = tokens.normed(block.layer_norm_1, seqs, is_factor=True)
    attended = _attended(block.multi_head_attn, tokens.at(normed, read), normed, tokens, read)
    attended = tokens.dropped(block.dropout_1, attended, read, time_first=True)
    seqs = tokens.at(seqs, read)
    seqs = seqs + _gate(block.gating_linear_1, seqs, tokens) * attended
    fed = _fed_forward(block, tokens.normed(block.layer_norm_2, seqs, is_factor=True), tokens, read)
    gate = _gate(block.gating_linear_2, seqs, tokens)
    return seqs + gate * tokens.dropped(block.dropout_2, fed, read)


def _gate(layer: torch.nn.Linear, seqs: torch.Tensor, tokens: Tokens) -> torch.Tensor:
    return tokens.linear(seqs, layer.weight, layer.bias).sigmoid()


def _sasrec(block: Any, seqs: torch.Tensor, tokens: Tokens, read: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # as above
    """`SASRecTransformerLayer`, 0 at padding: ``q = LN(x); y = LN(q + MHA(q, x, x)); y + drop(FF(y))``."""
    query = tokens.normed(block.q_layer_norm, tokens.at(seqs, read))
    attended = _attended(block.multi_head_attn, query, seqs, tokens, read)
    seqs = tokens.normed(block.ff_layer_norm, query + attended)
    fed = _fed_forward(block, seqs, tokens, read)
    return tokens.dropped(block.dropout, fed, read, plus=seqs)


def _fed_forward(block: Any, seqs: torch.Tensor, tokens: Tokens, read: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  # as above
    """`PointWiseFeedForward` or, with a gate, `SwigluFeedForward`."""
    layer = block.feed_forward
    inner = layer.ff_activation(tokens.linear(seqs, layer.ff_linear_1.weight, layer.ff_linear_1.bias))
    if isinstance(layer, SwigluFeedForward):
        inner = inner * tokens.linear(seqs, layer.ff_linear_3.weight, layer.ff_linear_3.bias)
    inner = tokens.dropped(layer.ff_dropout_1, inner, read)
    return tokens.linear(inner, layer.ff_linear_2.weight, layer.ff_linear_2.bias)


#: For each exact type of block, the function that passes tokens, shape (n_tokens, n_factors), through it. The
#: function returns the positions that are read, shape (n_read, n_factors).
BLOCKS: dict[type[torch.nn.Module], Callable[[Any, torch.Tensor, Tokens, torch.Tensor], torch.Tensor]] = {
    PreLNTransformerLayer: _pre_ln,
    LiGRLayer: _ligr,
    SASRecTransformerLayer: _sasrec,
}
