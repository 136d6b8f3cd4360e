"""Checks the kernels before their first use on a GPU: there they must run, and give what torch gives.

Triton needs a C compiler to start kernels, and each version of it compiles in its own way. So a fit never
depends on it. If a kernel fails or differs, torch is used instead, and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import torch
from torch.nn import functional

from tuner.training.fast_paths import kernels, layer_kernels
from tuner.training.precision import products_in

__all__ = ["serves"]

_LOG = logging.getLogger(__name__)
#: Sizes of the values that are compared, none of which is a power of 2.
_ROWS, _WIDTH, _ITEMS = 37, 24, 75


def serves(tensor: torch.Tensor) -> bool:
    """Whether the kernels can be used for a tensor."""
    if tensor.dtype not in {torch.float32, torch.bfloat16, torch.float16} or not _is_installed():
        return False
    return kernels.INTERPRETED or (tensor.is_cuda and _work_on(tensor.device))


@cache
def _is_installed() -> bool:
    return find_spec("triton") is not None


@cache
def _work_on(device: torch.device) -> bool:
    try:
        with torch.no_grad(), torch.autocast("cuda", enabled=False), products_in("float32"):
            for name, ours, theirs in compared(device):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3, msg=f"{name} differs")
    except Exception as error:  # noqa: BLE001  # Triton has no class of its own for all that may fail
        first = str(error).strip().partition("\n")[0]
        _LOG.warning(
            "training steps take longer, because Triton's kernels cannot be used here: %s: %s",
            type(error).__name__,
            first,
        )
        return False
    return True


def compared(device: torch.device) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield the name of each kernel, a result of it, and what torch gives for the same values."""
    yield from _losses(device)
    yield from _layers(device)


def _losses(device: torch.device) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    hidden, table = _values(_ROWS, _WIDTH, device), _values(_ITEMS, _WIDTH, device)
    candidates = (torch.arange(_ROWS * 10, device=device) * 7 % _ITEMS).view(_ROWS, 10)
    logits, targets = hidden @ table.T, candidates[:, 0].contiguous()
    gradient = torch.empty_like(logits)
    losses = kernels.cross_entropy_rows(logits, targets, 0.5, gradient, _ITEMS)
    yield "cross_entropy_at_once", losses, functional.cross_entropy(logits / 0.5, targets, reduction="none")
    yield "its gradient", gradient, (logits / 0.5).softmax(1) - functional.one_hot(targets, _ITEMS)
    wide = _values(3, 40_000, device)
    losses = kernels.cross_entropy_rows(wide, targets[:3], 1.0, torch.empty_like(wide), 40_000)
    yield "cross_entropy", losses, functional.cross_entropy(wide, targets[:3], reduction="none")
    scores = kernels.scores_of_rows(hidden, table, candidates)
    yield "scores", scores, logits.gather(1, candidates)
    weights = _values(_ROWS, 10, device)
    by_item = torch.zeros_like(logits).scatter_add_(1, candidates, weights)
    yield "weighted", kernels.weighted_rows(weights, table, candidates), by_item @ table
    combined = torch.zeros_like(logits)
    kernels.combined_rows(weights, candidates, combined)
    yield "combined", combined, by_item


def _layers(device: torch.device) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    values, grad = _values(_ROWS, _WIDTH, device), _values(_ROWS, _WIDTH, device).flip(0)
    weight, bias = _values(2, _WIDTH, device)
    normed, means, scales = layer_kernels.normed_rows(values, weight, bias, 1e-5, torch.float32)
    scaled, mean, scale = torch.native_layer_norm(values, [_WIDTH], weight, bias, 1e-5)
    yield "norm", normed, scaled
    by_norm = torch.ops.aten.native_layer_norm_backward(
        grad, values, [_WIDTH], mean, scale, weight, bias, [True, True, True]
    )
    for mine, theirs in zip(
        layer_kernels.gradients_of_norm(grad, values, weight, means, scales), by_norm, strict=True
    ):
        yield "norm_gradient", mine, theirs
    seed = torch.full((1,), 3, device=device)
    dropped = layer_kernels.dropped_values(values, 0.25, seed, 1, plus=grad) - grad
    is_kept = dropped.abs() > 1e-3 * values.abs()
    yield "drop", dropped, torch.where(is_kept, values / 0.75, 0.0)
    yield "its share", is_kept.float().mean().round(decimals=0), torch.ones((), device=device)
    index = torch.arange(-2, _ROWS + 3, device=device)
    padded = functional.pad(values, (0, 0, 2, 3))
    others = (index < 0) | (index >= _ROWS)
    yield "taken", layer_kernels.taken_rows(values, index, bias), torch.where(others[:, None], bias, padded)
    rows = _values(len(index), _WIDTH, device)
    yield "column_sums", layer_kernels.summed_rows(rows, index, _ROWS), rows[others].sum(0)
    items = torch.arange(_ROWS, device=device) // 5
    places, table = items % 3, _values(_ITEMS, _WIDTH, device)
    embedded = layer_kernels.embedded_rows(table, values, items, places, 2.0)
    yield "embedded", embedded, table[items] * 2 + values[places]
    by_item = torch.zeros_like(table).index_add_(0, items, values)
    by_item[0] = 0
    order = torch.arange(_ROWS, device=device)
    yield "summed_by_item", layer_kernels.summed_by_item(values, items, order, _ITEMS, 1.0), by_item
    cells = torch.where(order % 4 == 0, -1, order)[: _ROWS - _ROWS % 6]
    by_place = torch.where((cells < 0)[:, None], 0.0, values[: len(cells)]).view(-1, 6, _WIDTH).sum(0).flip(0)
    yield "summed_by_place", layer_kernels.summed_by_place(values, cells, len(cells) // 6, 6), by_place


def _values(n_rows: int, width: int, device: torch.device) -> torch.Tensor:
    """Return values between -1 and 1 that look like random ones. No random generator is used."""
    return (torch.arange(1, n_rows * width + 1, device=device).float() ** 1.5).sin().view(n_rows, width)
