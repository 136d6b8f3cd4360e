"""Softmax cross-entropy over all items, without a tensor of all logits.

The logits of a few targets at a time are made, used for the loss and for its gradient, and forgotten: the
gradient is made in the forward pass, as in Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM
Training", section 3.2, https://arxiv.org/abs/2410.10989.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

__all__ = ["linear_cross_entropy"]

#: Targets whose logits exist at one time. On a CPU they should stay in its cache; a GPU wants large products.
_CHUNK = {"cpu": 64}
_LARGE_CHUNK = 2048


def linear_cross_entropy(
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    *,
    weights: torch.Tensor,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Return RecTools' softmax loss of target positions, scored against all items.

    With ``p = softmax(hidden @ table.T / temperature)`` the loss is ``sum(l) / count(l > 0)`` for
    ``l = -weights * log(p[targets])``, as in `TransformerLightningModule`.

    Parameters
    ----------
    hidden : shape (n_targets, n_factors)
        Encoded sessions at the target positions.
    table : shape (n_items, n_factors)
        Item embeddings, extra tokens included: they are classes too.
    targets : shape (n_targets,)
        Rows of `table`.
    weights : shape (n_targets,)
        Of the losses.
    temperature
        Divides the logits.

    Returns
    -------
    torch.Tensor, shape ()
        Differentiable once, with respect to `hidden` and `table`.
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or table.requires_grad):
        loss: torch.Tensor = _LinearCrossEntropy.apply(hidden, table, targets, weights, temperature)  # type: ignore[no-untyped-call]  # torch's own
        return loss
    return _losses(hidden, table, targets, weights, temperature, gradients=None)


class _LinearCrossEntropy(torch.autograd.Function):
    """Keeps the gradients that `_losses` makes until they are asked for."""

    @staticmethod
    def forward(  # noqa: PLR0917  # torch passes them by place
        ctx: Any,  # noqa: ANN401  # torch gives it no type
        hidden: torch.Tensor,
        table: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        gradients = torch.empty_like(hidden), torch.zeros_like(table)
        loss = _losses(hidden, table, targets, weights, temperature, gradients=gradients)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401  # as above
        by_hidden, by_table = ctx.saved_tensors
        return by_hidden * grad, by_table * grad, None, None, None


def _losses(
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    temperature: float,
    *,
    gradients: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """Return the loss; write its gradients with respect to `hidden` and `table` into `gradients`."""
    n_targets, n_items = len(hidden), len(table)
    weights = weights.to(hidden.dtype)
    chunk = min(_CHUNK.get(hidden.device.type, _LARGE_CHUNK), n_targets)
    logits = hidden.new_empty(chunk, n_items)
    log_p = torch.empty_like(logits)
    losses = hidden.new_empty(n_targets)
    positions = torch.arange(chunk, device=hidden.device)
    for start in range(0, n_targets, chunk):
        rows = slice(start, start + chunk)
        some = hidden[rows]
        at_target = positions[: len(some)], targets[rows]
        scores = torch.mm(some, table.T, out=logits[: len(some)])
        if temperature != 1:
            scores.div_(temperature)
        p = torch.log_softmax(scores, dim=1, out=log_p[: len(some)])
        losses[rows] = -p[at_target]
        if gradients is None:
            continue
        by_hidden, by_table = gradients
        # By the logits the gradient is p less 1 at the target, times the weight.
        p.exp_()[at_target] -= 1
        torch.mm(p, table, out=by_hidden[rows])
        by_table.addmm_(p.T, some * weights[rows, None])
    losses *= weights
    n = (losses > 0).sum(dtype=losses.dtype)
    if gradients is not None:
        by_hidden, by_table = gradients
        by_hidden *= weights[:, None] / (n * temperature)
        by_table /= n * temperature
    return losses.sum() / n
