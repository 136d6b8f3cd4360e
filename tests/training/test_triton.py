"""The kernels of a GPU in Triton's interpreter, against plain formulas of torch."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from tuner.training.fast_paths import kernels, linear, sampled
from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.kernels import (
    combined_rows,
    cross_entropy_rows,
    scores_of_rows,
    weighted_rows,
)
from tuner.training.fast_paths.linear import linear_cross_entropy
from tuner.training.fast_paths.sampled import candidate_scores

pytest.importorskip("triton")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU runs them itself"),
]

#: Targets, factors, candidates and items: odd ones, and more items than a program holds at one time.
SIZES = [(1, 3, 1, 2), (7, 12, 5, 50), (3, 64, 129, 9000)]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "INTERPRETED", True)
    assert serves(torch.zeros(1))


def drawn(size: tuple[int, int, int, int]) -> tuple[torch.Tensor, ...]:
    n, factors, n_candidates, n_items = size
    generator = torch.Generator().manual_seed(n)
    hidden = torch.randn(n, factors, generator=generator)
    table = torch.randn(n_items, factors, generator=generator)
    candidates = torch.randint(0, max(1, n_items // 3), (n, n_candidates), generator=generator)
    return hidden, table, candidates, torch.randn(n, n_candidates, generator=generator)


@pytest.mark.parametrize("size", SIZES)
def test_candidates_are_scored_and_summed(size: tuple[int, int, int, int]) -> None:
    hidden, table, candidates, weights = drawn(size)
    scores = (table[candidates] @ hidden[:, :, None]).squeeze(2)
    torch.testing.assert_close(scores_of_rows(hidden, table, candidates), scores, rtol=1e-5, atol=1e-5)
    sums = (weights[:, None] @ table[candidates]).squeeze(1)
    torch.testing.assert_close(weighted_rows(weights, table, candidates), sums, rtol=1e-5, atol=1e-5)
    added = torch.zeros(len(hidden), len(table))
    combined_rows(weights, candidates, added)
    expected = torch.zeros_like(added).scatter_add_(1, candidates, weights)
    torch.testing.assert_close(added, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("temperature", [1, 0.3])
@pytest.mark.parametrize("size", SIZES)
def test_the_loss_of_rows_is_the_cross_entropy(
    size: tuple[int, int, int, int], temperature: float, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr(kernels, "_LONGEST", 0)
    hidden, table, candidates, _ = drawn(size)
    targets, n_items = candidates[:, 0], len(table)
    logits = torch.nn.functional.pad(hidden @ table.T, (0, 3), value=7.0)  # columns that are no items
    scaled = (logits[:, :n_items] / temperature).requires_grad_()
    expected = cross_entropy(scaled, targets, reduction="none")
    (by_logits,) = torch.autograd.grad(expected.sum(), scaled)
    losses = cross_entropy_rows(logits, targets, temperature, logits, n_items)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits[:, :n_items], by_logits, rtol=1e-5, atol=1e-6)
    assert not logits[:, n_items:].any()


@pytest.mark.parametrize("products", [None, torch.bfloat16])
@pytest.mark.parametrize("n_items", [30, 20_000])
@pytest.mark.parametrize("n_candidates", [2, 20])
def test_losses_by_kernels_are_those_without(
    n_items: int, n_candidates: int, products: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole losses and gradients, in several chunks, by each way of summing the table's gradient."""
    monkeypatch.setattr(linear, "_LOGITS", 3 * n_items)
    monkeypatch.setattr(sampled, "_ELEMENTS", 3 * n_items)
    monkeypatch.setattr(sampled, "_ITEMS_PER_CANDIDATE", 100)
    hidden, table, candidates, weights = drawn((8, 6, n_candidates, n_items))
    hidden.requires_grad_()
    table.requires_grad_()
    made = []
    for interpreted in (True, False):
        monkeypatch.setattr(kernels, "INTERPRETED", interpreted)
        loss = linear_cross_entropy(
            hidden, table, candidates[:, 0], weights=weights[:, 0].abs(), products=products
        )
        loss = loss + (candidate_scores(hidden, table, candidates, products) * weights).sum()
        made.append((loss.detach(), *torch.autograd.grad(loss, [hidden, table])))
    rtol, atol = (1e-4, 1e-5) if products is None else (0.02, 0.05)
    torch.testing.assert_close(*made, rtol=rtol, atol=atol)
