"""Similarities with parameters: two towers, and a multilayer perceptron over pairs.

RecTools scores an item ``e`` for a session ``h`` by a distance ``d(h, e)``: their product, or their cosine.

- Two towers: ``s(h, e) = d(f(h), g(e))`` with ``f(h) = h + A2 GELU(A1 h + a1) + a2``, and ``g`` alike with
  parameters of its own.
- Perceptron: ``s(h, e) = d(h, e) + v . GELU(V h + W e + b)``. The perceptron learns what the distance misses.

Both need the width of the network. `search_spaces.objectives.ObjectiveLightningModule` gives it to them.

References
----------
Covington et al., "Deep Neural Networks for YouTube Recommendations" (towers),
https://research.google/pubs/deep-neural-networks-for-youtube-recommendations/
He et al., "Neural Collaborative Filtering", https://arxiv.org/abs/1708.05031 (a product and a perceptron).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from rectools.models.base import InternalRecoTriplet
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from scipy import sparse
from torch import nn
from torch.nn.functional import gelu
from torch.utils.checkpoint import checkpoint

__all__ = ["MLPSimilarityModule", "TwoTowerSimilarityModule"]

#: Number of hidden units that exist at one time.
_ELEMENTS = 2**22


class TwoTowerSimilarityModule(DistanceSimilarityModule):
    """Distance between a tower over sessions and a tower over items; see the module.

    Unknown keyword arguments raise `TypeError`, so that no search varies a misspelt name.

    Parameters
    ----------
    distance : default "dot"
        ``dot`` or ``cosine``.
    tower_factors : default 64
        Width of the hidden layer of each tower, at least 1.
    """

    #: Lets the paths of `tuner.training.fast_paths` run. A subclass with its own `forward` declares it anew.
    scored_as: ClassVar[str] = "towers"

    def __init__(self, distance: str = "dot", *, tower_factors: int = 64) -> None:
        super().__init__(distance)
        self.tower_factors = tower_factors
        self.session_tower: nn.Module | None = None
        self.item_tower: nn.Module | None = None

    def build(self, n_factors: int) -> None:
        """Make the towers for a network of this width."""
        self.session_tower, self.item_tower = (
            nn.Sequential(
                nn.Linear(n_factors, self.tower_factors), nn.GELU(), nn.Linear(self.tower_factors, n_factors)
            )
            for _ in range(2)
        )

    def session_tower_forward(self, session_embs: torch.Tensor) -> torch.Tensor:
        """Pass encoded sessions through their tower, shape (..., n_factors)."""
        passed: torch.Tensor = session_embs + _built(self.session_tower)(session_embs)
        return passed

    def item_tower_forward(self, item_embs: torch.Tensor) -> torch.Tensor:
        """Pass item embeddings through their tower, shape (n_items, n_factors)."""
        passed: torch.Tensor = item_embs + _built(self.item_tower)(item_embs)
        return passed

    def forward(
        self,
        session_embs: torch.Tensor,
        item_embs: torch.Tensor,
        candidate_item_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Score items for sessions.

        Parameters
        ----------
        session_embs : shape (batch_size, length, n_factors)
            Encoded sessions.
        item_embs : shape (n_items, n_factors)
            Item embeddings.
        candidate_item_ids : shape (batch_size, length, n_candidates), optional
            The items to score; by default all.

        Returns
        -------
        torch.Tensor, shape (batch_size, length, n_candidates or n_items)
        """
        scores: torch.Tensor = super().forward(
            self.session_tower_forward(session_embs), self.item_tower_forward(item_embs), candidate_item_ids
        )
        return scores


class MLPSimilarityModule(DistanceSimilarityModule):
    """A distance plus a perceptron with one hidden layer; see the module.

    The hidden layer exists for each pair of a session and an item. So losses with few negatives suit it;
    softmax over a large catalog takes `mlp_factors` times as long as with a distance. Memory is bounded: the
    pairs are scored in parts, and each part again for its gradient.

    Unknown keyword arguments raise `TypeError`, so that no search varies a misspelt name.

    Parameters
    ----------
    distance : default "dot"
        ``dot`` or ``cosine``.
    mlp_factors : default 16
        Width of the hidden layer, at least 1.
    """

    #: As in `TwoTowerSimilarityModule`.
    scored_as: ClassVar[str] = "pairs"

    def __init__(self, distance: str = "dot", *, mlp_factors: int = 16) -> None:
        super().__init__(distance)
        self.mlp_factors = mlp_factors
        self.of_session: nn.Module | None = None
        self.of_item: nn.Module | None = None
        self.output: nn.Module | None = None

    def build(self, n_factors: int) -> None:
        """Make the layers for a network of this width."""
        self.of_session = nn.Linear(n_factors, self.mlp_factors)
        self.of_item = nn.Linear(n_factors, self.mlp_factors, bias=False)
        self.output = nn.Linear(self.mlp_factors, 1, bias=False)

    def forward(
        self,
        session_embs: torch.Tensor,
        item_embs: torch.Tensor,
        candidate_item_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Score items for sessions; see `TwoTowerSimilarityModule.forward`."""
        distances: torch.Tensor = super().forward(session_embs, item_embs, candidate_item_ids)
        sessions = _built(self.of_session)(session_embs).flatten(0, -2)  # (n, mlp_factors)
        items = _built(self.of_item)(item_embs)  # (n_items, mlp_factors)
        rows = None if candidate_item_ids is None else candidate_item_ids.flatten(0, -2)
        return distances + self._pairs(sessions, items, rows).view(distances.shape)

    def _pairs(self, sessions: torch.Tensor, items: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        """Return the perceptron's part of the scores, shape (n, n_items or n_candidates)."""
        width = len(items) if rows is None else rows.shape[1]
        n_parts = max(1, -(-len(sessions) * width * self.mlp_factors // _ELEMENTS))
        parts = sessions.tensor_split(n_parts)
        of_parts = [None] * n_parts if rows is None else rows.tensor_split(n_parts)
        scored = [_again(self._part, part, items, its) for part, its in zip(parts, of_parts, strict=True)]
        return torch.cat(scored)

    def _part(self, sessions: torch.Tensor, items: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        of_pairs = sessions[:, None] + (items[None] if rows is None else items[rows])
        scores: torch.Tensor = _built(self.output)(gelu(of_pairs)).squeeze(-1)
        return scores

    def _recommend_u2i(
        self,
        user_embs: torch.Tensor,
        item_embs: torch.Tensor,
        user_ids: NDArray[Any],
        k: int,
        sorted_item_ids_to_recommend: NDArray[Any],
        ui_csr_for_filter: sparse.csr_matrix | None,
    ) -> InternalRecoTriplet:
        """Recommend the `k` items with the largest scores to each user, without the viewed ones.

        Parameters
        ----------
        user_embs : shape (n_users, n_factors)
            Encoded sessions by internal user id.
        item_embs : shape (n_items, n_factors)
            Item embeddings.
        user_ids : shape (n,)
            Users to recommend to.
        k
            Length of the lists.
        sorted_item_ids_to_recommend
            Items that may be recommended.
        ui_csr_for_filter : shape (n, n_items), optional
            Viewed items, in the order of `user_ids`.

        Returns
        -------
        (users, items, scores)
            Three arrays of shape (n_recommendations,).
        """
        items = np.asarray(sorted_item_ids_to_recommend)
        table = item_embs[torch.as_tensor(items, device=item_embs.device)]
        size = max(1, _ELEMENTS // max(1, len(items) * self.mlp_factors))
        users, chosen, scores = [], [], []
        with torch.no_grad():
            for begin in range(0, len(user_ids), size):
                these = user_ids[begin : begin + size]
                found = self.forward(user_embs[these][None].to(table.device), table)[0].cpu()
                if ui_csr_for_filter is not None:
                    seen = ui_csr_for_filter[begin : begin + size][:, items].toarray() != 0
                    found = found.masked_fill(torch.from_numpy(seen), -torch.inf)
                best, order = found.topk(min(k, len(items)), dim=1)
                kept = best.isfinite().numpy()
                users.append(np.repeat(these, kept.sum(axis=1)))
                chosen.append(items[order.numpy()][kept])
                scores.append(best.numpy()[kept])
        return np.concatenate(users), np.concatenate(chosen), np.concatenate(scores)


def _built(layer: nn.Module | None) -> nn.Module:
    if layer is None:
        msg = (
            "the similarity needs the width of the network: set lightning_module_type to "
            "search_spaces.objectives.ObjectiveLightningModule"
        )
        raise RuntimeError(msg)
    return layer


def _again(function: Callable[..., torch.Tensor], *arguments: torch.Tensor | None) -> torch.Tensor:
    """Call a function, and call it again for its gradient, so that no intermediate value stays in memory."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    result: torch.Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result
