"""RecTools' training step with scores and losses at target positions only.

RecTools scores every position of the padded batch and then masks those without a target, most of them in
BERT4Rec and on short sessions. So are sessions encoded only where it matters, if the encoder allows it; else
they are encoded as ever. The random stream is RecTools' own either way.
"""

from __future__ import annotations

import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.rank import Distance

from tuner.training.fast_paths.eligible import scores_last_only
from tuner.training.fast_paths.encoder import encode_at, encodes_at_targets
from tuner.training.fast_paths.linear import linear_cross_entropy
from tuner.training.fast_paths.sampled import candidate_scores
from tuner.training.fast_paths.table import all_embeddings, encode_sessions

__all__ = ["TargetsAhead", "target_only_step"]

Batch = dict[str, torch.Tensor]

#: Key of a batch that holds the flat positions of the targets in "y", shape (n_targets,), where they are
#: known. On a GPU it spares the wait for their number.
TARGETS = "targets"


class TargetsAhead:
    """Finds the targets of each batch before it goes to a GPU, so that no step waits for their number.

    They are kept beside the batch: neither a user's code nor Lightning finds a key in it that RecTools does
    not put there.

    Parameters
    ----------
    module
        One that `allows_target_only_step`.
    """

    def __init__(self, module: TransformerLightningModule) -> None:
        self._module = module
        self._targets: torch.Tensor

    def find(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002  # Lightning's `on_before_batch_transfer`
        """Send the positions of the targets ahead of a batch, which is left as it is."""
        targets = _target_positions(batch["y"])
        if batch["y"].is_pinned():
            targets = targets.pin_memory()
        self._targets = targets.to(self._module.device, non_blocking=True)
        return batch

    def step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Take a step with the latest batch; see `target_only_step`."""
        return target_only_step(self._module, {**batch, TARGETS: self._targets}, batch_idx)


def _target_positions(y: torch.Tensor) -> torch.Tensor:
    return y.flatten().nonzero().squeeze(1)


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
    known = batch.get(TARGETS)
    batch = {key: values for key, values in batch.items() if key != TARGETS}
    y, w = batch["y"], batch["yw"]
    table = all_embeddings(module.torch_model.item_model)  # (n_items, n_factors)
    targets = _target_positions(y) if known is None else known
    hidden = _encoded_at_targets(module, batch, table, targets)
    if hidden is None:
        sessions = encode_sessions(module.torch_model, batch, table)
        if scores_last_only(module):
            sessions = sessions[:, -1:]
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


def _encoded_at_targets(
    module: TransformerLightningModule, batch: Batch, table: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor | None:
    """Return the sessions at the targets, shape (n_targets, n_factors); None if all must be encoded."""
    x, y = batch["x"], batch["y"]
    length = 1 if scores_last_only(module) else x.shape[1]
    if y.shape != (len(x), length) or not len(targets) or not encodes_at_targets(module.torch_model):
        return None
    read = targets if length > 1 else (targets + 1) * x.shape[1] - 1
    if not x.flatten()[read].all():  # a target at padding
        return None
    return encode_at(module.torch_model, x, table, read)


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
