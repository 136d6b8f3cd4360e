"""Next-action training: one target per user, the last item of the session.

The MASK token replaces the last item, and the model predicts this item from all items before it. Attention
may be causal or bidirectional, because the target is hidden in both. Pass both classes to `BERT4RecModel`:

    BERT4RecModel(
        data_preparator_type=NextActionDataPreparator,
        lightning_module_type=NextActionLightningModule,
    )

On SASRec's base there is no MASK token: the model predicts the last item from the position before it. Use
this with `SASRecModel`, and with `HSTUModel`, whose attention is always causal:

    SASRecModel(
        data_preparator_type=ShiftedNextActionDataPreparator,
        lightning_module_type=NextActionLightningModule,
    )

References
----------
Pancha et al., "PinnerFormer: Sequence Modeling for User Representation at Pinterest", the "next action
prediction" objective, https://arxiv.org/abs/2205.04507
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.constants import MASKING_VALUE
from rectools.models.nn.transformers.data_preparator import BatchElement
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

__all__ = ["NextActionDataPreparator", "NextActionLightningModule", "ShiftedNextActionDataPreparator"]


class NextActionDataPreparator(BERT4RecDataPreparator):
    """Data preparator that makes the last item of each session the only target.

    Validation and recommendation are BERT4Rec's: they too end each session with the MASK token. The
    parameters are BERT4Rec's as well, but `mask_prob` has no effect, because nothing is masked at random.
    """

    def _collate_fn_train(self, batch: list[BatchElement]) -> dict[str, torch.Tensor]:
        """Split sessions into inputs and targets.

        Parameters
        ----------
        batch : (items, weights, extras) of each session
            Sessions in order of time, of at least one and at most `session_max_len` items.

        Returns
        -------
        dict of str to torch.Tensor
            - "x", shape (batch_size, session_max_len): the session, its last item replaced by MASK, padded
              on the left;
            - "y", shape (batch_size, 1): the last item;
            - "yw", shape (batch_size, 1): the weight of the last interaction;
            - "negatives", shape (batch_size, 1, n_negatives): only for losses that need them.
        """
        x = np.zeros((len(batch), self.session_max_len), dtype=np.int64)
        x[:, -1] = self.extra_token_ids[MASKING_VALUE]
        for row, (items, _, _) in zip(x, batch, strict=True):
            row[-len(items) : -1] = items[:-1]
        batch_dict = {
            "x": torch.from_numpy(x),
            "y": torch.tensor([items[-1:] for items, _, _ in batch], dtype=torch.long),
            "yw": torch.tensor([weights[-1:] for _, weights, _ in batch], dtype=torch.float),
        }
        if self.negative_sampler is not None:
            batch_dict["negatives"] = self.negative_sampler.get_negatives(
                batch_dict,
                lowest_id=self.n_item_extra_tokens,
                highest_id=self.item_id_map.size,
                session_len_limit=1,
            )
        return batch_dict


class ShiftedNextActionDataPreparator(SASRecDataPreparator):
    """Data preparator that keeps only the last of SASRec's targets, the last item of each session.

    Inputs, validation, recommendation and parameters are those of SASRec, with timestamps for HSTU.
    """

    def _collate_fn_train(self, batch: list[BatchElement]) -> dict[str, torch.Tensor]:
        """Split sessions into inputs and targets.

        Parameters
        ----------
        batch : (items, weights, extras) of each session
            Sessions in order of time, of at least two and at most `session_max_len` + 1 items.

        Returns
        -------
        dict of str to torch.Tensor
            - "x", shape (batch_size, session_max_len): the session without its last item, padded on the left;
            - "y", shape (batch_size, 1): the last item;
            - "yw", shape (batch_size, 1): the weight of the last interaction;
            - "negatives", shape (batch_size, 1, n_negatives): only for losses that need them;
            - "unix_ts", shape (batch_size, session_max_len + 1): only if the model asks for it.
        """
        batch_dict = super()._collate_fn_train(batch)
        for key in batch_dict.keys() & {"y", "yw", "negatives"}:
            batch_dict[key] = batch_dict[key][:, -1:]
        return batch_dict


class NextActionLightningModule(TransformerLightningModule):
    """Lightning module that scores only the last position of each session.

    The modules of `search_spaces.optimisation` and `search_spaces.objectives` do so too for these objectives.

    Everything else (losses, optimizer, validation, recommendation) and the parameters are those of
    `TransformerLightningModule`. The results equal those of scoring all positions and keeping the last, but
    the logits take `1 / session_max_len` of the time and memory.
    """

    #: Lets the paths of `tuner.training.fast_paths` run for this class. A subclass must declare it itself.
    scored_positions: ClassVar[str] = "last"

    def get_batch_logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Score candidate items at the last position.

        Parameters
        ----------
        batch
            "x" of shape (batch_size, session_max_len) and, for losses with negatives, "y" of shape
            (batch_size, 1) and "negatives" of shape (batch_size, 1, n_negatives).

        Returns
        -------
        torch.Tensor
            Logits divided by `logits_t`. Shape (batch_size, 1, 1 + n_negatives) for losses with negatives,
            the target first; otherwise (batch_size, 1, n_items), extra tokens included.
        """
        candidates = None
        if self.requires_negatives(self.loss):
            candidates = torch.cat([batch["y"].unsqueeze(-1), batch["negatives"]], dim=-1)
        item_embs = self.torch_model.item_model.get_all_embeddings()  # (n_items, n_factors)
        last = self.torch_model.encode_sessions(batch, item_embs)[:, -1:]  # (batch_size, 1, n_factors)
        logits: torch.Tensor = self.torch_model.similarity_module(last, item_embs, candidates) / self.logits_t
        return logits
