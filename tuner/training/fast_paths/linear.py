"""Softmax cross-entropy over all items, without a tensor of all logits.

The forward pass computes the logits of a few targets at a time, uses them for the loss and its gradient, and
deletes them. See Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM Training", section 3.2,
https://arxiv.org/abs/2410.10989.

Under autocast to bfloat16 the factors of products are rounded to bfloat16. Sums, softmax and loss stay in
float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.kernels import cross_entropy_rows

__all__ = ["linear_cross_entropy", "product"]

#: Number of targets whose logits exist at one time. A CPU's cache should hold them. A GPU is faster with
#: large products.
_CHUNK = {"cpu": 128}
_LARGE_CHUNK = 2048
#: Number of logits that exist at one time if a kernel computes their gradients: 256 MB of float32.
_LOGITS = 2**26
#: The number of items is filled up to a multiple of this, because the matrix units of a GPU then read faster.
_ALIGNED = 64


def linear_cross_entropy(
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    *,
    weights: torch.Tensor,
    temperature: float = 1.0,
    products: torch.dtype | None = None,
) -> torch.Tensor:
    """Return RecTools' softmax loss of target positions, scored against all items.

    With ``p = softmax(hidden @ table.T / temperature)`` the loss is ``sum(l) / count(l > 0)`` for
    ``l = -weights * log(p[targets])``, as in `TransformerLightningModule`.

    Parameters
    ----------
    hidden : shape (n_targets, n_factors)
        Encoded sessions at the target positions.
    table : shape (n_items, n_factors)
        Item embeddings, including extra tokens, which are classes too.
    targets : shape (n_targets,)
        Rows of `table`.
    weights : shape (n_targets,)
        Weight of each target's loss.
    temperature
        Divides the logits.
    products
        Type to which the factors of products are rounded. The default is the type of `hidden`.

    Returns
    -------
    torch.Tensor, shape ()
        Differentiable once, with respect to `hidden` and `table`.
    """
    products = products or hidden.dtype
    if torch.is_grad_enabled() and (hidden.requires_grad or table.requires_grad):
        loss: torch.Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]  # torch does not type it
            hidden, table, targets, weights, temperature, products
        )
        return loss
    return _losses(hidden, table, targets, weights, temperature, products, gradients=None)


class _LinearCrossEntropy(torch.autograd.Function):
    """Keeps the gradients of `_losses` until the backward pass."""

    @staticmethod
    def forward(  # noqa: PLR0917  # torch passes arguments by position
        ctx: Any,  # noqa: ANN401  # torch gives it no type
        hidden: torch.Tensor,
        table: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        temperature: float,
        products: torch.dtype,
    ) -> torch.Tensor:
        gradients = torch.empty_like(hidden), torch.zeros_like(table)
        loss = _losses(hidden, table, targets, weights, temperature, products, gradients=gradients)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401  # as above
        by_hidden, by_table = ctx.saved_tensors
        return by_hidden * grad, by_table * grad, None, None, None, None


def _losses(  # noqa: PLR0917  # as above
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    temperature: float,
    products: torch.dtype,
    *,
    gradients: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """Return the loss, and write its gradients with respect to `hidden` and `table` into `gradients`."""
    weights = weights.to(hidden.dtype)
    of_rows = _by_kernel if gradients is not None and serves(hidden) else _by_torch
    losses = of_rows(hidden, table, targets, weights, temperature, products, gradients)
    losses *= weights
    n = (losses > 0).sum(dtype=losses.dtype)
    if gradients is not None:
        by_hidden, by_table = gradients
        by_hidden *= weights[:, None] / (n * temperature)
        by_table /= n * temperature
    return losses.sum() / n


def _by_torch(  # noqa: PLR0917  # as above
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    temperature: float,
    products: torch.dtype,
    gradients: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """Return the unweighted losses, and write gradients: unweighted for `hidden`, weighted for the table."""
    n_targets, n_items = len(hidden), len(table)
    chunk = min(_CHUNK.get(hidden.device.type, _LARGE_CHUNK), n_targets)
    logits = hidden.new_empty(chunk, n_items)
    losses = hidden.new_empty(n_targets)
    positions = torch.arange(chunk, device=hidden.device)
    factors, items = _rounded(hidden, products), _rounded(table, products)
    for start in range(0, n_targets, chunk):
        rows = slice(start, start + chunk)
        some = factors[rows]
        at_target = positions[: len(some)], targets[rows]
        scores = torch.mm(some, items.T, out=logits[: len(some)])
        if temperature != 1:
            scores.div_(temperature)
        highest, wanted = scores.amax(dim=1, keepdim=True), scores[at_target]
        p = scores.sub_(highest).exp_()  # in place, and `exp` once: a second array would not fit the cache
        total = p.sum(dim=1, keepdim=True)
        losses[rows] = total[:, 0].log() + (highest[:, 0] - wanted)
        if gradients is None:
            continue
        by_hidden, by_table = gradients
        # The gradient of the logits is p minus the one-hot target, times the weight.
        p.div_(total)[at_target] -= 1
        p = _rounded(p, products)
        torch.mm(p, items, out=by_hidden[rows])
        by_table.addmm_(p.T, some * weights[rows, None])
    return losses


def _by_kernel(  # noqa: PLR0917  # as above
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    temperature: float,
    products: torch.dtype,
    gradients: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """Do the same on a GPU with large, aligned products, and one kernel for all operations between them."""
    assert gradients is not None
    by_hidden, by_table = gradients
    n_targets, n_items = len(hidden), len(table)
    items = functional.pad(table.to(products), (0, 0, 0, -n_items % _ALIGNED))
    factors = hidden.to(products)
    weighted = (hidden * weights[:, None]).to(products)
    n_chunks = -(-n_targets * len(items) // _LOGITS)
    losses = []
    for some, weighted_some, of_some, by_some in zip(
        *(values.tensor_split(n_chunks) for values in (factors, weighted, targets, by_hidden)), strict=True
    ):
        logits = product(some, items.T)
        gradient = logits if products is logits.dtype else torch.empty_like(logits, dtype=products)
        losses.append(cross_entropy_rows(logits, of_some, temperature, gradient, n_items))
        by_some.copy_(product(gradient, items))
        by_table += product(gradient.T, weighted_some)[:n_items]
    return torch.cat(losses)


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``left @ right`` in the factors' type, or in float32 if they are bfloat16 or float16."""
    if left.dtype not in {torch.bfloat16, torch.float16}:
        return torch.mm(left, right)
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32)
    return torch.mm(left.float(), right.float())


def _rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Round values to another type, and return them in their own type."""
    return values if dtype is values.dtype else values.to(dtype).to(values.dtype)
