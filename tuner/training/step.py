"""RecTools' training step with scores and losses at target positions only.

RecTools scores every position of the padded batch and then masks those without a target, most of them in
BERT4Rec and on short sessions. The sessions are encoded as ever, so the random stream is RecTools' own.
"""

from __future__ import annotations

import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.rank import Distance

from tuner.training.eligible import scores_last_only
from tuner.training.linear import linear_cross_entropy
from tuner.training.sampled import candidate_scores

__all__ = ["TARGETS", "target_only_step"]

Batch = dict[str, torch.Tensor]

#: Key of a batch that holds the flat positions of the targets in "y", shape (n_targets,), if the collate
#: function sends them. On a GPU it spares the wait for their number.
TARGETS = "targets"


def target_only_step(module: TransformerLightningModule, batch: Batch, batch_idx: int) -> torch.Tensor:  # noqa: ARG001  # a training step's signature
    """Return and log the loss that the module's own `training_step` would.

    Parameters
    ----------
    module
        One that `allows_target_only_step`.
    batch
        "x", "y", "yw" and, for losses with negatives, "negatives".
    batch_idx
        Not used, as in RecTools.
    """
    loss = _loss(module, batch)
    module.log(module.train_loss_name, loss, on_step=False, on_epoch=True, prog_bar=module.verbose > 0)
    return loss


def _loss(module: TransformerLightningModule, batch: Batch) -> torch.Tensor:
    y, w = batch["y"], batch["yw"]
    table = module.torch_model.item_model.get_all_embeddings()  # (n_items, n_factors)
    sessions = module.torch_model.encode_sessions(batch, table)
    if scores_last_only(module):
        sessions = sessions[:, -1:]
    targets = batch[TARGETS] if TARGETS in batch else y.flatten().nonzero().squeeze(1)
    if sessions.shape[:2] != y.shape or not len(targets):
        # What RecTools makes of it: targets of another shape are broadcast, no target at all gives nan.
        return _loss_at_all_positions(module, batch, sessions, table)
    hidden = sessions.flatten(0, 1).index_select(0, targets)
    y, w = y.flatten()[targets], w.flatten()[targets]
    similarity = module.torch_model.similarity_module
    if _is_cosine(similarity):
        hidden, table = _normalised(similarity, hidden), _normalised(similarity, table)
    if module.loss == "softmax":
        return linear_cross_entropy(hidden, table, y, weights=w, temperature=module.logits_t)
    candidates = torch.cat([y[:, None], batch["negatives"].flatten(0, 1)[targets]], dim=1)
    logits = candidate_scores(hidden, table, candidates) / module.logits_t
    return _calculated(module, logits[None], y[None], w[None])


def _loss_at_all_positions(
    module: TransformerLightningModule, batch: Batch, sessions: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    y, candidates = batch["y"], None
    if module.loss != "softmax":
        candidates = torch.cat([y.unsqueeze(-1), batch["negatives"]], dim=-1)
    logits = module.torch_model.similarity_module(sessions, table, candidates) / module.logits_t
    return _calculated(module, logits, y, batch["yw"])


def _calculated(
    module: TransformerLightningModule, logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor
) -> torch.Tensor:
    assert module.loss_calculator is not None, "the loss is one that RecTools calculates"
    return module.loss_calculator(logits, y, w)


def _is_cosine(similarity: torch.nn.Module) -> bool:
    return isinstance(similarity, DistanceSimilarityModule) and similarity.distance == Distance.COSINE


def _normalised(similarity: torch.nn.Module, embeddings: torch.Tensor) -> torch.Tensor:
    assert isinstance(similarity, DistanceSimilarityModule)
    return similarity._get_embeddings_norm(embeddings)  # noqa: SLF001  # the cosine that RecTools itself takes
