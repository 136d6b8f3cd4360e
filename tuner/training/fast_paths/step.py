"""RecTools' training step, with scores and losses only at target positions.

RecTools scores every position of the padded batch and then masks positions without a target. In BERT4Rec and
in short sessions most positions have none. If the encoder allows it, this step also encodes only the
positions that matter. The random stream is RecTools' own in both cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.rank import Distance
from torch.nn.functional import cross_entropy

from tuner.training.fast_paths.eligible import scored_as, scores_last_only
from tuner.training.fast_paths.encoder import (
    encode_at,
    encode_unpadded,
    encodes_at_targets,
    encodes_unpadded,
)
from tuner.training.fast_paths.linear import linear_cross_entropy
from tuner.training.fast_paths.sampled import candidate_scores
from tuner.training.fast_paths.table import all_embeddings, encode_sessions

__all__ = [
    "Batch",
    "TargetsAhead",
    "last_positions",
    "logged",
    "loss_at_targets",
    "step_loss",
    "target_only_step",
    "unpadded_step",
]

Batch = dict[str, torch.Tensor]
Step = Callable[[TransformerLightningModule, Batch, int], torch.Tensor]
Positions = TypeVar("Positions", torch.Tensor, npt.NDArray[Any])

#: Key of a batch for the flat positions of the targets in "y", shape (n_targets,), if they are known. A
#: step with it does not wait until the GPU has counted the targets.
TARGETS = "targets"


class TargetsAhead:
    """Finds the targets of each batch before it goes to a GPU, so that no step waits for their number.

    The targets are stored outside the batch. So a user's code and Lightning see only the keys of RecTools.

    Parameters
    ----------
    module
        A module for which `allows_target_only_step` is true.
    take
        The step to run: `target_only_step` or `unpadded_step`.
    """

    def __init__(self, module: TransformerLightningModule, take: Step | None = None) -> None:
        self._module = module
        self._take = take or target_only_step
        self._targets: torch.Tensor

    def find(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002  # Lightning's `on_before_batch_transfer`
        """Send the positions of the targets before the batch. The batch itself is not changed."""
        targets = _target_positions(batch["y"])
        if batch["y"].is_pinned():
            targets = targets.pin_memory()
        self._targets = targets.to(self._module.device, non_blocking=True)
        return batch

    def step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Run a step with the latest batch; see `target_only_step`."""
        return self._take(self._module, {**batch, TARGETS: self._targets}, batch_idx)


def _target_positions(y: torch.Tensor) -> torch.Tensor:
    return y.flatten().nonzero().squeeze(1)


def target_only_step(module: TransformerLightningModule, batch: Batch, batch_idx: int) -> torch.Tensor:  # noqa: ARG001  # a training step's signature
    """Log and return the same loss as the module's own `training_step`.

    Parameters
    ----------
    module
        A module for which `allows_target_only_step` is true.
    batch
        "x", "y", "yw" and, for losses with negatives, "negatives".
    batch_idx
        Not used, as in RecTools.
    """
    return logged(module, batch, step_loss(module, batch))


def unpadded_step(module: TransformerLightningModule, batch: Batch, batch_idx: int) -> torch.Tensor:  # noqa: ARG001  # as above
    """Log and return the same loss, with dropout masks only for real tokens; see `packed`.

    "negatives" may contain only those of the targets, shape (n_targets, n_negatives).
    """
    return logged(module, batch, step_loss(module, batch, unpadded=True))


def logged(module: TransformerLightningModule, batch: Batch, loss: torch.Tensor) -> torch.Tensor:
    """Log a loss as RecTools does, and return it."""
    module.log(
        module.train_loss_name,
        loss,
        on_step=False,
        on_epoch=True,
        prog_bar=module.verbose > 0,
        batch_size=len(batch["x"]),  # otherwise Lightning would search for it
    )
    return loss


def step_loss(module: TransformerLightningModule, batch: Batch, *, unpadded: bool = False) -> torch.Tensor:
    """Return the loss of a batch; see `target_only_step` and `unpadded_step`."""
    known = batch.get(TARGETS)
    batch = {key: values for key, values in batch.items() if key != TARGETS}
    y, w = batch["y"], batch["yw"]
    table = all_embeddings(module.torch_model.item_model)  # (n_items, n_factors)
    targets = _target_positions(y) if known is None else known
    hidden = _encoded_at_targets(module, batch, table, targets, unpadded=unpadded)
    if hidden is None:
        sessions = encode_sessions(module.torch_model, batch, table)
        if scores_last_only(module, batch):
            sessions = sessions[:, -1:].expand(-1, y.shape[1], -1)
        if sessions.shape[:2] != y.shape or not len(targets):
            # The same as RecTools: it broadcasts targets of another shape, and returns nan without targets.
            return _loss_at_all_positions(module, batch, sessions, table)
        hidden = sessions.flatten(0, 1).index_select(0, targets)
    negatives = None if module.loss == "softmax" else _of_targets(batch["negatives"], targets)
    return loss_at_targets(module, hidden, table, y.flatten()[targets], w.flatten()[targets], negatives)


def _of_targets(negatives: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return negatives if negatives.ndim == 2 else negatives.flatten(0, 1)[targets]  # noqa: PLR2004  # a matrix


def loss_at_targets(  # noqa: PLR0917  # all are needed alike
    module: TransformerLightningModule,
    hidden: torch.Tensor,
    table: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    negatives: torch.Tensor | None,
) -> torch.Tensor:
    """Return the loss of some targets. Under autocast only products with the table are rounded.

    Parameters
    ----------
    module
        A module for which `allows_target_only_step` is true.
    hidden : shape (n_targets, n_factors)
        Encoded sessions.
    table : shape (n_items, n_factors)
        Item embeddings.
    y, w : shape (n_targets,)
        Items and weights of the targets.
    negatives : shape (n_targets, n_negatives), optional
        Negatives, for losses that need them.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        products = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return _scored(module, hidden.float(), table.float(), y, w, negatives, products)
    return _scored(module, hidden, table, y, w, negatives, None)


def _scored(  # noqa: PLR0917  # as above
    module: TransformerLightningModule,
    hidden: torch.Tensor,
    table: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    negatives: torch.Tensor | None,
    products: torch.dtype | None,
) -> torch.Tensor:
    similarity = module.torch_model.similarity_module
    candidates = None if negatives is None else torch.cat([y[:, None], negatives], dim=1)
    kind = scored_as(similarity)
    if kind == "pairs":
        rows = None if candidates is None else candidates[None]
        logits = similarity(hidden[None], table, rows) / module.logits_t
        return _calculated(module, logits, y[None], w[None])
    if kind == "towers":
        hidden, table = similarity.session_tower_forward(hidden), similarity.item_tower_forward(table)
    if _is_cosine(similarity):
        hidden, table = _normalised(similarity, hidden), _normalised(similarity, table)
    if candidates is None:
        return linear_cross_entropy(
            hidden, table, y, weights=w, temperature=module.logits_t, products=products
        )
    logits = candidate_scores(hidden, table, candidates, products) / module.logits_t
    if module.loss == "sampled_softmax" and logits.is_cuda:
        return _sampled_softmax(logits, y, w)
    return _calculated(module, logits[None], y[None], w[None])


def _sampled_softmax(logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return RecTools' loss. RecTools itself swaps two columns of logits, and waits for the GPU to do so."""
    losses = cross_entropy(logits, torch.zeros_like(y), reduction="none") * w * (y != 0)
    return losses.sum() / (losses > 0).sum()


def _encoded_at_targets(
    module: TransformerLightningModule,
    batch: Batch,
    table: torch.Tensor,
    targets: torch.Tensor,
    *,
    unpadded: bool,
) -> torch.Tensor | None:
    """Return the sessions at the targets, shape (n_targets, n_factors); None if all must be encoded."""
    x, y = batch["x"], batch["y"]
    last = scores_last_only(module, batch)
    allowed = encodes_unpadded if unpadded else encodes_at_targets
    if len(y) != len(x) or not (last or y.shape == x.shape) or not len(targets):
        return None
    if not allowed(module.torch_model):
        return None
    read = last_positions(targets, y.shape[1], x.shape[1]) if last else targets
    if not x.flatten()[read].all():  # a target at padding
        return None
    encode = encode_unpadded if unpadded else encode_at
    if not last or y.shape[1] == 1:
        return encode(module.torch_model, batch, table, read)
    read, of_target = torch.unique_consecutive(read, return_inverse=True)
    return encode(module.torch_model, batch, table, read).index_select(0, of_target)


def last_positions(targets: Positions, n_columns: int, length: int) -> Positions:
    """Return the flat position in "x" of the last item of each target's session, shape (n_targets,).

    Parameters
    ----------
    targets : shape (n_targets,)
        Flat positions in "y".
    n_columns, length
        Columns of "y", and of "x".
    """
    return (targets // n_columns + 1) * length - 1


def _loss_at_all_positions(
    module: TransformerLightningModule, batch: Batch, sessions: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    y, candidates = batch["y"], None
    if module.loss != "softmax":
        negatives = batch["negatives"]
        if negatives.ndim == 2:  # noqa: PLR2004  # negatives of targets only: there are no targets
            negatives = y.new_zeros(*y.shape, negatives.shape[1])
        candidates = torch.cat([y.unsqueeze(-1), negatives], dim=-1)
    logits = module.torch_model.similarity_module(sessions, table, candidates) / module.logits_t
    return _calculated(module, logits, y, batch["yw"])


def _calculated(
    module: TransformerLightningModule, logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor
) -> torch.Tensor:
    assert module.loss_calculator is not None, "RecTools must have a calculator for the loss"
    return module.loss_calculator(logits, y, w)


def _is_cosine(similarity: torch.nn.Module) -> bool:
    return isinstance(similarity, DistanceSimilarityModule) and similarity.distance == Distance.COSINE


def _normalised(similarity: torch.nn.Module, embeddings: torch.Tensor) -> torch.Tensor:
    assert isinstance(similarity, DistanceSimilarityModule)
    if embeddings.is_cuda:  # the same result; RecTools would make the CPU wait to send its epsilon
        epsilon = float(similarity.epsilon_cosine_dist)
        norms: torch.Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
        return embeddings / norms.clamp_min(epsilon)
    return similarity._get_embeddings_norm(embeddings)  # noqa: SLF001  # RecTools' own norm for the cosine
