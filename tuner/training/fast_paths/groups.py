"""Sessions of a batch in groups of similar length, so that attention on a CPU computes little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

__all__ = ["Group", "Groups"]

#: Number of sessions in one group.
_SESSIONS = 16


@dataclass(frozen=True)
class Group:
    """Sessions of similar length.

    Attributes
    ----------
    cells, is_token : shape (size, longest)
        Row of the token in each cell, and whether the cell has one. Other cells have an arbitrary row.
    hidden : shape (size or 1, 1, longest or 1, longest)
        Whether a position must not see another.
    n_padding : shape (size, 1, longest, 1)
        Number of positions of padding that a position sees.
    """

    cells: torch.Tensor
    is_token: torch.Tensor
    hidden: torch.Tensor
    n_padding: torch.Tensor


@dataclass(frozen=True, eq=False)
class Groups:
    """All sessions of a batch that have a token, in groups.

    Attributes
    ----------
    size, length
        Number of sessions in the batch, and of positions in each in the padded shape.
    positions : shape (n_tokens,)
        Flat positions of the tokens in the padded shape, ascending.
    is_causal
        Whether a position sees only itself and earlier positions.
    """

    size: int
    length: int
    positions: torch.Tensor
    is_causal: bool

    def split(self, *values: torch.Tensor) -> Iterator[tuple[Group, Sequence[torch.Tensor]]]:
        """Give each group with the values of its cells, shape (size * longest, n_factors) each."""
        # One operation splits off all groups, because the gradient of each split is as large as all tokens.
        sizes = [group.cells.numel() for group in self.all]
        parts = [torch.split(of_tokens.index_select(0, self._cells), sizes) for of_tokens in values]
        return zip(self.all, zip(*parts, strict=True), strict=True)

    def joined(self, parts: Sequence[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """Return the values of the tokens at some rows from the values of each group's cells."""
        return torch.cat(list(parts)).index_select(0, self._cell_of_row[rows])

    @cached_property
    def all(self) -> list[Group]:
        """The groups, from the shortest sessions to the longest."""
        lengths = torch.bincount(self.positions // self.length, minlength=self.size)
        order = lengths.argsort(stable=True)
        starts = lengths.cumsum(0) - lengths
        groups = []
        for sessions in torch.split(order[lengths[order] > 0], _SESSIONS):
            of_sessions = lengths[sessions, None]
            place = torch.arange(int(of_sessions.max()))
            is_token = place < of_sessions
            hidden = ~is_token[:, None, None]
            if self.is_causal:
                hidden = torch.ones(len(place), len(place), dtype=torch.bool).triu(1)[None, None]
            cells = torch.where(is_token, starts[sessions, None] + place, starts[sessions[-1]])
            n_padding = (self.length - of_sessions).expand(cells.shape)
            if self.is_causal:
                n_padding = (self.positions[cells] % self.length - place).clamp_min(0)
            groups.append(Group(cells, is_token, hidden, n_padding[:, None, :, None]))
        return groups

    @cached_property
    def _cells(self) -> torch.Tensor:
        """Rows of the tokens in all groups, one after the other."""
        return torch.cat([group.cells.flatten() for group in self.all])

    @cached_property
    def _cell_of_row(self) -> torch.Tensor:
        """Index of each token's cell among the cells of all groups, shape (n_tokens,)."""
        places = torch.cat([group.is_token.flatten() for group in self.all]).nonzero().squeeze(1)
        return torch.empty_like(self.positions).index_copy(0, self._cells[places], places)
