"""The Lightning module of the ready-made spaces: every objective, loss, sampler and similarity works with it.

`ObjectiveLightningModule` adds to `search_spaces.optimisation`:

- **In-batch softmax**, the loss ``in_batch_softmax``: the targets of a batch are each other's negatives.
- **What modules need of the data**: it gives the width of the network to the similarities of
  `search_spaces.similarity`, and the popularity of items to the sampler of `search_spaces.negatives`.

Let a batch have the targets ``t = 1, ..., T`` with sessions ``h_t``, items ``y_t`` and weights ``w_t``. Let
``q(y)`` be the share of an item among the train interactions, which is its probability to be an in-batch
negative. With ``z(t, y) = s(h_t, y) / logits_t - log q(y)`` the loss of a target is

    l_t = -log( exp z(t, y_t) / (exp z(t, y_t) + sum of exp z(t, y_u) over all u with y_u != y_t) ).

The loss of a batch is ``sum of w_t l_t / (number of t with w_t > 0)``. Without the correction, ``log q`` is
left out: popular items are then negatives more often than they should be.

References
----------
Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", equation 5,
https://research.google/pubs/sampling-bias-corrected-neural-modeling-for-large-corpus-item-recommendations/
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from search_spaces.negatives import MixedNegativeSampler, Popularity
from search_spaces.optimisation import OptimisedLightningModule
from search_spaces.similarity import MLPSimilarityModule, TwoTowerSimilarityModule

__all__ = ["IN_BATCH", "ObjectiveLightningModule"]

#: Name of the loss.
IN_BATCH = "in_batch_softmax"


class ObjectiveLightningModule(OptimisedLightningModule):
    """Lightning module with in-batch softmax, for all modules of `search_spaces`; see the module.

    Parameters
    ----------
    correct_log_q : default True
        Whether in-batch softmax is corrected for the popularity of its negatives.
    **kwargs
        Arguments of `OptimisedLightningModule`.

    Raises
    ------
    ValueError
        If the loss is unknown.
    """

    #: The losses that this class has, for a check before a fit.
    losses: ClassVar[tuple[str, ...]] = ("softmax", "BCE", "gBCE", "sampled_softmax", IN_BATCH)
    #: Methods here that do the same as RecTools' for RecTools' own losses.
    extends: ClassVar[frozenset[str]] = frozenset({"__init__", "requires_negatives", "_calc_custom_loss"})

    def __init__(self, *, correct_log_q: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.loss not in self.losses:
            msg = f"`loss` must be one of {', '.join(self.losses)}, but got {self.loss!r}"
            raise ValueError(msg)
        self.correct_log_q = correct_log_q
        self.popularity = Popularity(self.data_preparator)
        similarity = self.torch_model.similarity_module
        if isinstance(similarity, TwoTowerSimilarityModule | MLPSimilarityModule):
            similarity.build(self.torch_model.item_model.out_dim)
        sampler = self.data_preparator.negative_sampler
        if isinstance(sampler, MixedNegativeSampler):
            sampler.popularity = self.popularity

    @staticmethod
    def requires_negatives(loss: str) -> bool | None:
        """Return whether a loss needs negatives of a sampler; None if it is unknown."""
        return False if loss == IN_BATCH else OptimisedLightningModule.requires_negatives(loss)

    def _calc_custom_loss(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:  # noqa: ARG002  # RecTools' signature
        """Return in-batch softmax.

        Parameters
        ----------
        batch
            "x" of shape (batch_size, session_max_len); "y" and "yw" of shape (batch_size, n_targets).
        batch_idx
            Not used.
        """
        x, y, weights = batch["x"], batch["y"], batch["yw"]
        item_embs = self.torch_model.item_model.get_all_embeddings()
        sessions = self.torch_model.encode_sessions(batch, item_embs)
        if y.shape[1] < x.shape[1]:
            sessions = sessions[:, -1:].expand(-1, y.shape[1], -1)
        targets = y.flatten().nonzero().squeeze(1)
        hidden = sessions.flatten(0, 1).index_select(0, targets)
        losses = self._in_batch_losses(hidden, y.flatten()[targets], item_embs)
        weights = weights.flatten()[targets]
        loss: torch.Tensor = (losses * weights).sum() / (weights > 0).sum().clamp_min(1)
        return loss

    def _in_batch_losses(
        self, hidden: torch.Tensor, items: torch.Tensor, item_embs: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of each target, shape (n_targets,). Equal negatives are scored once."""
        negatives, column, counts = torch.unique(items, return_inverse=True, return_counts=True)
        logits = self.torch_model.similarity_module(hidden[None], item_embs[negatives])[0] / self.logits_t
        if self.correct_log_q:
            logits = logits - self.popularity.shares().to(logits)[negatives].log()
        own = logits.gather(1, column[:, None])
        of_all = (logits + counts.to(logits).log()).scatter(1, column[:, None], own)
        losses: torch.Tensor = of_all.logsumexp(dim=1) - own.squeeze(1)
        return losses

    def _calc_custom_loss_outputs(
        self, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> dict[str, torch.Tensor]:
        """Return the loss of a batch for validation."""
        return {"loss": self._calc_custom_loss(batch, batch_idx)}
