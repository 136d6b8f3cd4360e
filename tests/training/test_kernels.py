"""The two kernels of `tuner.training.fast_paths` against plain formulas, by torch's own differentiation."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from tuner.training.fast_paths import linear
from tuner.training.fast_paths.linear import linear_cross_entropy
from tuner.training.fast_paths.sampled import candidate_scores

pytestmark = pytest.mark.usefixtures("one_thread")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
#: Targets of one chunk and of several if `in_parts`, and one alone.
SIZES = [1, 15, 48, 49, 481]


@pytest.fixture(params=[False, True], ids=["at once", "in parts"])
def in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few logits exist at one time, so that there are several chunks of targets and blocks of items."""
    if request.param:
        for name, value in {"_STORED": 800, "_LOGITS": 800, "_FEWEST": 16, "_BLOCK": 700}.items():
            monkeypatch.setattr(linear, name, value)


def drawn(n_targets: int, n_items: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(n_targets)
    hidden = torch.randn(n_targets, 12, generator=generator, dtype=dtype).to(device).requires_grad_()
    table = torch.randn(n_items, 12, generator=generator, dtype=dtype).to(device).requires_grad_()
    targets = torch.randint(1, n_items, (n_targets,), generator=generator).to(device)
    weights = torch.randint(0, 4, (n_targets,), generator=generator).float().to(device)
    weights[0] = 1
    return hidden, table, targets, weights


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n_targets", "temperature"), [(n, t) for n in SIZES for t in (1, 0.5)] + [(1, 0.05)]
)
def test_linear_cross_entropy_is_the_formula(
    n_targets: int, temperature: float, dtype: torch.dtype, device: str
) -> None:
    """At the lowest temperature rounding would decide which losses are 0, and these do not count."""
    hidden, table, targets, weights = drawn(n_targets, 50, dtype, device)
    loss = linear_cross_entropy(hidden, table, targets, weights=weights, temperature=temperature)
    losses = cross_entropy(hidden @ table.T / temperature, targets, reduction="none") * weights
    expected = losses.sum() / (losses > 0).sum()
    inputs = [hidden, table]
    # A loss made of other losses sends back a gradient that is not 1.
    ours, plain = torch.autograd.grad(loss * 3, inputs), torch.autograd.grad(expected * 3, inputs)
    rtol = 1e-5 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(loss, expected, rtol=rtol, atol=rtol)
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=rtol * theirs.abs().max().item())


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("device", DEVICES)
def test_rounded_products_are_close(device: str) -> None:
    """In bfloat16, with 8 bits: losses within 1 %, gradients within 3 % of their largest element."""
    hidden, table, targets, weights = drawn(200, 50, torch.float32, device)
    candidates = torch.randint(1, 50, (200, 9), generator=torch.Generator().manual_seed(1)).to(device)

    def losses(products: torch.dtype | None) -> tuple[torch.Tensor, torch.Tensor]:
        softmax = linear_cross_entropy(hidden, table, targets, weights=weights, products=products)
        return softmax, candidate_scores(hidden, table, candidates, products).logsumexp(dim=1).mean()

    for ours, exact in zip(losses(torch.bfloat16), losses(None), strict=True):
        assert ours != exact
        torch.testing.assert_close(ours, exact, rtol=0.01, atol=0)
        gradients = (torch.autograd.grad(loss, [hidden, table]) for loss in (ours, exact))
        for mine, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0.03 * theirs.abs().max().item())


def test_a_loss_of_0_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in RecTools: a target so sure that its loss is rounded to 0 leaves the mean."""
    hidden, table = torch.tensor([[100.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    targets, weights = torch.tensor([1, 1]), torch.ones(2)
    for n_logits in (4, 2):  # of all items, and of one at a time
        monkeypatch.setattr(linear, "_BLOCK", n_logits)
        loss = linear_cross_entropy(hidden.requires_grad_(), table, targets, weights=weights)
        torch.testing.assert_close(loss.detach(), torch.tensor(2.0).log())


def test_a_hopeless_target_has_a_finite_loss() -> None:
    hidden, table = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[0.0], [1.0]])
    loss = linear_cross_entropy(hidden, table, torch.tensor([0]), weights=torch.ones(1))
    torch.testing.assert_close(loss.detach(), torch.tensor(1000.0), rtol=1e-6, atol=0)


def test_no_target_gives_no_loss() -> None:
    """As in RecTools, where the mean of nothing is not a number."""
    hidden, table, targets, weights = drawn(2, 50, torch.float32, "cpu")
    loss = linear_cross_entropy(hidden[:0], table, targets[:0], weights=weights[:0])
    assert loss.isnan()
    assert torch.autograd.grad(loss, table)[0].shape == table.shape


def test_without_gradients_the_loss_is_the_same() -> None:
    hidden, table, targets, weights = drawn(100, 30, torch.float32, "cpu")
    loss = linear_cross_entropy(hidden, table, targets, weights=weights)
    with torch.no_grad():
        alone = linear_cross_entropy(hidden, table, targets, weights=weights)
    assert not alone.requires_grad
    assert torch.equal(alone, loss.detach())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_candidates", [1, 2, 40])
def test_candidate_scores_are_the_products(n_candidates: int, dtype: torch.dtype, device: str) -> None:
    hidden, table, _, _ = drawn(9, 30, dtype, device)
    generator = torch.Generator().manual_seed(n_candidates)
    # Not contiguous, with repeats, and with items that are nobody's candidates: the first and the last.
    candidates = torch.randint(1, 29, (n_candidates, 9), generator=generator).to(device).T
    upstream = torch.randn(9, n_candidates, generator=generator, dtype=dtype).to(device)
    scores = candidate_scores(hidden, table, candidates)
    expected = (table[candidates] @ hidden.unsqueeze(-1)).squeeze(-1)
    rtol = 1e-5 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(scores, expected, rtol=rtol, atol=rtol)
    ours = torch.autograd.grad(scores, [hidden, table], upstream)
    plain = torch.autograd.grad(expected, [hidden, table], upstream)
    torch.testing.assert_close(ours, plain, rtol=rtol, atol=rtol)
    assert not ours[1][[0, -1]].any()
