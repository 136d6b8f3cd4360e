"""Softmax cross-entropy over all items, without a tensor of all logits.

The logits of a few targets at a time are made, used for the loss and for its gradient, and forgotten: the
gradient is made in the forward pass, as in Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM
Training", section 3.2, https://arxiv.org/abs/2410.10989.

Under autocast to bfloat16 the factors of products are rounded to it. Sums, softmax and loss are of
float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tuner.training.fast_paths.kernels import cross_entropy_rows, serves

__all__ = ["linear_cross_entropy", "product"]

#: Targets whose logits exist at one time. On a CPU they should stay in its cache; a GPU wants large products.
_CHUNK = {"cpu": 64}
_LARGE_CHUNK = 2048
#: Logits that exist at one time where a kernel makes their gradients: 256 MB of float32.
_LOGITS = 2**26
#: Items are filled up to a multiple of it, by which the matrix units of a GPU read without detours.
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
        Item embeddings, extra tokens included: they are classes too.
    targets : shape (n_targets,)
        Rows of `table`.
    weights : shape (n_targets,)
        Of the losses.
    temperature
        Divides the logits.
    products
        Type to which the factors of products are rounded; by default that of `hidden`.

    Returns
    -------
    torch.Tensor, shape ()
        Differentiable once, with respect to `hidden` and `table`.
    """
    products = products or hidden.dtype
    if torch.is_grad_enabled() and (hidden.requires_grad or table.requires_grad):
        loss: torch.Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]  # torch's own
            hidden, table, targets, weights, temperature, products
        )
        return loss
    return _losses(hidden, table, targets, weights, temperature, products, gradients=None)


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
    """Return the loss; write its gradients with respect to `hidden` and `table` into `gradients`."""
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
    """Return the losses, not yet weighted; write their gradients, of the table's the sum by weight."""
    n_targets, n_items = len(hidden), len(table)
    chunk = min(_CHUNK.get(hidden.device.type, _LARGE_CHUNK), n_targets)
    logits = hidden.new_empty(chunk, n_items)
    log_p = torch.empty_like(logits)
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
        p = torch.log_softmax(scores, dim=1, out=log_p[: len(some)])
        losses[rows] = -p[at_target]
        if gradients is None:
            continue
        by_hidden, by_table = gradients
        # By the logits the gradient is p less 1 at the target, times the weight.
        p.exp_()[at_target] -= 1
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
    """Do the same on a GPU: in large, aligned products, with one kernel for all between them."""
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
    """Return ``left @ right`` in float32, or in float64 if the factors are; bfloat16 is summed in float32."""
    if left.dtype not in {torch.bfloat16, torch.float16}:
        return torch.mm(left, right)
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32)
    return torch.mm(left.float(), right.float())


def _rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return values with the digits of a type, in their own type."""
    return values if dtype is values.dtype else values.to(dtype).to(values.dtype)
