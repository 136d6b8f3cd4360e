"""Softmax cross-entropy over all items, without a tensor of all logits.

The forward pass computes the logits of some targets at a time, uses them for the loss and its gradient, and
deletes them. See Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM Training", section 3.2,
https://arxiv.org/abs/2410.10989.

Under autocast to bfloat16 the factors of products are rounded to bfloat16. Sums, softmax and loss stay in
float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.kernels import cross_entropy_rows

__all__ = ["linear_cross_entropy", "product"]

#: Number of logits that exist at one time on a CPU: 32 MB of float32.
_STORED = 2**23
#: Number of logits that a core of a CPU computes and uses at one time, since its own cache should hold them.
#: A GPU is faster with large products.
_BLOCK = 2**19
#: Number of targets that a product has at least.
_FEWEST = 240
#: The number of logits between two rows is an odd multiple of this. So rows begin at a cache line, and
#: those of a block do not compete for the same ones.
_LINE = 16
#: Number of logits that exist at one time on a GPU: 256 MB of float32.
_LOGITS = 2**26
#: The number of items is filled up to a multiple of this, because the matrix units of a GPU then read faster.
_ALIGNED = 64
#: What turns natural logarithms into those to the base 2.
_BITS = math.log2(math.e)


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
    chunk = _chunk(len(hidden), len(table), _STORED if hidden.device.type == "cpu" else _LOGITS)
    stored = hidden.new_empty(len(table), chunk)
    losses = hidden.new_empty(len(hidden))
    factors, items = _rounded(hidden, products), _rounded(table, products)
    for start in range(0, len(hidden), chunk):
        rows = slice(start, start + chunk)
        some = factors[rows]
        # Logits to the base 2, since `exp2` takes less than half of the time of `exp`.
        blocks = _powers(some * (_BITS / temperature), items, targets[rows], stored[:, : len(some)])
        highest = torch.stack([block.highest for block in blocks])
        top = highest.amax(dim=0)
        shares = (highest - top).exp2_()
        total = (shares * torch.stack([block.total for block in blocks])).sum(dim=0)
        losses[rows] = total.log() + (top - sum(block.wanted for block in blocks)) / _BITS
        if gradients is None:
            continue
        by_hidden, by_table = gradients
        by_hidden[rows] = 0
        weighted = some * weights[rows, None]
        for block, share in zip(blocks, shares.div_(total), strict=True):
            # The gradient of the logits is the probability minus the one-hot target, times the weight.
            p = block.powers.mul_(share)
            p[block.at_targets] -= block.hot
            p = _rounded(p, products)
            by_hidden[rows].addmm_(p.T, items[block.items])
            by_table[block.items].addmm_(p, weighted)
    return losses


class _Block(NamedTuple):
    """What is known of the logits of some targets for some items."""

    items: slice
    powers: torch.Tensor  # shape (n_items, n_targets): 2 to the power of a logit minus its target's highest
    highest: torch.Tensor  # shape (n_targets,): the highest logit of each target
    total: torch.Tensor  # shape (n_targets,): the sum of each target's powers
    wanted: torch.Tensor  # shape (n_targets,): the logit of the target's own item, or 0 if it is elsewhere
    at_targets: tuple[torch.Tensor, torch.Tensor]  # where in `powers` the targets' own items are
    hot: torch.Tensor  # shape (n_targets,): whether they are in this block, as 1 or 0


def _powers(
    factors: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, stored: torch.Tensor
) -> list[_Block]:
    """Return the powers of a chunk's logits, in blocks of items, in memory of shape (n_items, n_targets)."""
    n_items = len(items)
    if factors.device.type == "cpu":
        n_items = max(1, _BLOCK * torch.get_num_threads() // len(factors))
    columns, blocks = torch.arange(len(factors), device=factors.device), []
    for first in range(0, len(items), n_items):
        of_block = slice(first, first + n_items)
        scores = torch.mm(items[of_block], factors.T, out=stored[of_block])
        places = (targets - first).clamp(0, len(scores) - 1)
        hot = (places + first == targets).to(scores.dtype)
        wanted = scores[places, columns] * hot
        highest = scores.amax(dim=0)
        powers = scores.sub_(highest).exp2_()  # in place: a second array would not fit the cache
        total = powers.sum(dim=0)
        blocks.append(_Block(of_block, powers, highest, total, wanted, (places, columns), hot))
    return blocks


def _chunk(n_targets: int, n_items: int, stored: int) -> int:
    """Return how many targets to take at one time: chunks of about the same size, an odd number of lines."""
    most = max(stored // n_items, _FEWEST)
    even = math.ceil(n_targets / max(1, math.ceil(n_targets / most)))
    return (math.ceil(even / _LINE) | 1) * _LINE


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
