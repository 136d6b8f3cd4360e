"""Negatives that mix three sources by a ratio: uniform, popular and in-batch.

Each negative of a target is drawn by itself. With ``N`` items, ``p(i)`` the share of item ``i`` among the
train interactions, and ``b(i)`` its share among the targets of the batch, item ``i`` is drawn with

    q(i) = (1 - popular_share - in_batch_share) / N + popular_share * p(i) + in_batch_share * b(i).

RecTools' own sampler is the case without both shares. As there, a negative may be the target itself.

References
----------
Yang et al., "Mixed Negative Sampling for Learning Two-tower Neural Networks in Recommendations",
https://research.google/pubs/mixed-negative-sampling-for-learning-two-tower-neural-networks-in-recommendations/
(uniform and in-batch).
"""

from __future__ import annotations

from typing import Any

import torch
from rectools import Columns
from rectools.models.nn.transformers.data_preparator import TransformerDataPreparatorBase
from rectools.models.nn.transformers.negative_sampler import TransformerNegativeSamplerBase

__all__ = ["MixedNegativeSampler", "Popularity"]


class Popularity:
    """How often each item occurs in the train data of a data preparator. It counts when it is first asked.

    Parameters
    ----------
    preparator
        The data preparator. It may process its train data later, and process other data again.
    """

    def __init__(self, preparator: TransformerDataPreparatorBase) -> None:
        self._preparator = preparator
        self._counted: tuple[object, torch.Tensor] | None = None

    def shares(self) -> torch.Tensor:
        """Return the share of each item among the train interactions, shape (n_items,), float64.

        Extra tokens have a share of 0.
        """
        dataset = self._preparator.train_dataset
        if self._counted is None or self._counted[0] is not dataset:
            items = torch.as_tensor(dataset.interactions.df[Columns.Item].to_numpy(), dtype=torch.long)
            counts = torch.bincount(items, minlength=self._preparator.item_id_map.size).double()
            self._counted = dataset, counts / counts.sum()
        return self._counted[1]


class MixedNegativeSampler(TransformerNegativeSamplerBase):
    """Sampler of uniform, popular and in-batch negatives; see the module.

    Popular negatives need the train data. `search_spaces.objectives.ObjectiveLightningModule` makes them
    known to the sampler.

    Unknown keyword arguments raise `TypeError`, so that no search varies a misspelt name.

    Parameters
    ----------
    n_negatives
        Number of negatives of each target.
    popular_share : default 0
        Probability of a negative to be drawn by popularity in the train data.
    in_batch_share : default 0
        Probability of a negative to be drawn from the targets of the batch.

    Raises
    ------
    ValueError
        If a share is below 0, or both together are above 1.
    """

    def __init__(self, n_negatives: int, *, popular_share: float = 0.0, in_batch_share: float = 0.0) -> None:
        super().__init__(n_negatives)
        if min(popular_share, in_batch_share) < 0 or popular_share + in_batch_share > 1:
            msg = (
                "`popular_share >= 0`, `in_batch_share >= 0` and `popular_share + in_batch_share <= 1` must "
                f"hold, but got {popular_share} and {in_batch_share}"
            )
            raise ValueError(msg)
        self.popular_share, self.in_batch_share = popular_share, in_batch_share
        self.popularity: Popularity | None = None

    def get_negatives(
        self,
        batch_dict: dict[str, Any],
        lowest_id: int,
        highest_id: int,
        session_len_limit: int | None = None,
        **kwargs: Any,  # noqa: ARG002  # RecTools' signature
    ) -> torch.Tensor:
        """Draw negatives.

        Parameters
        ----------
        batch_dict
            "x" of shape (batch_size, session_max_len), and "y" with the targets, 0 for none.
        lowest_id, highest_id
            The items are ``lowest_id, ..., highest_id - 1``.
        session_len_limit
            Number of targets of each session, if it is not ``session_max_len``.

        Returns
        -------
        torch.Tensor, shape (batch_size, session_max_len or session_len_limit, n_negatives)

        Raises
        ------
        RuntimeError
            If popular negatives are asked for, and the train data are not known.
        """
        n_sessions, length = batch_dict["x"].shape
        shape = (n_sessions, length if session_len_limit is None else session_len_limit, self.n_negatives)
        negatives = torch.randint(lowest_id, highest_id, shape)
        if not self.popular_share and not self.in_batch_share:
            return negatives
        source = torch.rand(shape)
        popular = source < self.popular_share
        in_batch = ~popular & (source < self.popular_share + self.in_batch_share)
        negatives[popular] = self._popular(int(popular.sum()))
        targets = batch_dict["y"][batch_dict["y"] != 0]
        if len(targets):
            negatives[in_batch] = targets[torch.randint(len(targets), (int(in_batch.sum()),))]
        return negatives

    def _popular(self, n: int) -> torch.Tensor:
        if n == 0:
            return torch.empty(0, dtype=torch.long)
        if self.popularity is None:
            msg = (
                "popular negatives need the train data: set lightning_module_type to "
                "search_spaces.objectives.ObjectiveLightningModule"
            )
            raise RuntimeError(msg)
        up_to = self.popularity.shares().cumsum(0)
        last = int(
            torch.searchsorted(up_to, up_to[-1:])
        )  # the last item with a share: rounding must not go past it
        return torch.searchsorted(up_to, torch.rand(n, dtype=torch.float64), right=True).clamp_max(last)
