"""Layers by kernels, in Triton's interpreter or on a GPU, against torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from tuner.training.fast_paths import fused, kernels, layer_kernels
from tuner.training.fast_paths.fused import ByItem
from tuner.training.fast_paths.kernel_check import serves

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("one_thread")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
#: Rows and factors: one row, odd ones, and more rows than all programs take at one time.
SIZES = [(1, 3), (7, 12), (100, 6), (9, 300)]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        monkeypatch.setattr(kernels, "INTERPRETED", True)
        assert serves(torch.zeros(1))
    monkeypatch.setattr(layer_kernels, "_PROGRAMS", 8)


@pytest.fixture(params=DEVICES)
def draw(request: pytest.FixtureRequest) -> Callable[..., torch.Tensor]:
    """Draw normal numbers, of which gradients are wanted."""
    if request.param == "cpu" and torch.cuda.is_available():
        pytest.skip("a GPU runs the kernels itself")
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randn(*shape, generator=generator).to(request.param).requires_grad_()


def assert_same(
    ours: Callable[..., torch.Tensor], theirs: Callable[..., torch.Tensor], *inputs: torch.Tensor
) -> None:
    """Compare values, and gradients of a sum with weights."""
    made = []
    for function in (ours, theirs):
        result = function(*inputs)
        weights = torch.linspace(-1, 1, result.numel(), device=result.device).view(result.shape)
        gradients = torch.autograd.grad((result * weights).sum(), inputs)
        made.append((result.detach(), *gradients))
    torch.testing.assert_close(*made, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_a_linear_layer(size: tuple[int, int], draw: Callable[..., torch.Tensor]) -> None:
    values, weight, bias = draw(*size), draw(5, size[1]), draw(5)
    assert_same(fused.linear, functional.linear, values, weight, bias)
    assert_same(lambda x, w: fused.linear(x, w, None), functional.linear, values, weight)


def test_a_linear_layer_of_part_of_other_values(draw: Callable[..., torch.Tensor]) -> None:
    values, weight = draw(9, 8), draw(5, 4)
    assert_same(lambda x, w: fused.linear(x[:, 2:6], w, None), lambda x, w: x[:, 2:6] @ w.T, values, weight)


@pytest.mark.parametrize("size", SIZES)
def test_a_layer_norm(size: tuple[int, int], draw: Callable[..., torch.Tensor]) -> None:
    norm = torch.nn.LayerNorm(size[1], eps=1e-3)
    weight, bias = draw(size[1]), draw(size[1])

    def ours(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        del norm.weight, norm.bias
        norm.weight, norm.bias = weight, bias  # type: ignore[assignment]  # as parameters would be
        return fused.normed(norm, values, is_factor=False)

    assert_same(
        ours, lambda x, w, b: functional.layer_norm(x, (size[1],), w, b, 1e-3), draw(*size), weight, bias
    )


def test_under_autocast_products_are_rounded_and_gradients_of_parameters_are_not(
    draw: Callable[..., torch.Tensor],
) -> None:
    values, weight, bias = draw(40, 16), draw(8, 16), draw(8)
    norm = torch.nn.LayerNorm(16).to(values.device)
    with torch.autocast(values.device.type, torch.bfloat16):
        normed = fused.normed(norm, values, is_factor=True)
        kept = fused.normed(norm, values, is_factor=False)
        result = fused.linear(normed, weight, bias)
    assert (normed.dtype, kept.dtype, result.dtype) == (torch.bfloat16, torch.float32, torch.bfloat16)
    expected = functional.linear(norm(values), weight, bias)
    torch.testing.assert_close(result.float(), expected, rtol=0.02, atol=0.1)
    inputs = [values, weight, bias, norm.weight, norm.bias]
    ours = torch.autograd.grad(result.float().square().sum(), inputs)
    theirs = torch.autograd.grad(expected.square().sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype is torch.float32
        torch.testing.assert_close(mine, other, rtol=0, atol=0.03 * other.abs().max().item())


@pytest.mark.parametrize("with_others", [False, True])
def test_dropout_leaves_a_share_out_and_keeps_the_mean(
    with_others: bool, draw: Callable[..., torch.Tensor]
) -> None:
    values = (draw(500, 24).detach() ** 2 + 1).requires_grad_()
    others = draw(500, 24) if with_others else None
    seed = torch.tensor([2**61 + 3], device=values.device)

    def dropped(site: int, seed: torch.Tensor = seed) -> torch.Tensor:
        result = fused.dropped(values, 0.3, seed, site, others)
        return result if others is None else result - others

    first = dropped(1)
    is_kept = first.detach().abs() > 1e-3
    torch.testing.assert_close(
        first, torch.where(is_kept, values / 0.7, torch.zeros(())).to(first), rtol=1e-4, atol=1e-4
    )
    assert is_kept.float().mean().item() == pytest.approx(0.7, abs=0.02)
    assert is_kept.float().mean(dim=0).std() < 0.05  # in each column alike
    (by_values,) = torch.autograd.grad(first.sum(), values, retain_graph=True)
    torch.testing.assert_close(by_values, is_kept.float() / 0.7)
    if others is not None:
        whole = fused.dropped(values, 0.3, seed, 1, others)
        (by_others,) = torch.autograd.grad(whole.sum(), others)
        assert by_others.eq(1).all()
    assert torch.equal(dropped(1), first)
    for other in (dropped(2), dropped(1, seed + 1_000_000)):
        both = is_kept & (other.detach().abs() > 1e-3)
        assert both.float().mean().item() == pytest.approx(0.49, abs=0.03)  # drawn apart from each other


@pytest.mark.parametrize("width", [3, 40])
def test_rows_are_taken_once_or_not_at_all(width: int, draw: Callable[..., torch.Tensor]) -> None:
    source, padding = draw(6, 2 * width), draw(width)
    index = torch.tensor([4, -1, 0, 6, 2, 99, 1], device=source.device)
    inverse = torch.tensor([2, 6, 4, -1, 0, 7], device=source.device)
    is_known = ((index >= 0) & (index < 6))[:, None]

    def theirs(source: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        return torch.where(is_known, source[:, width:][index.clamp(0, 5)], padding)

    assert_same(lambda s, p: fused.taken(s[:, width:], index, inverse, p), theirs, source, padding)
    assert_same(
        lambda s: fused.taken(s[:, width:], index, inverse),
        lambda s: theirs(s, torch.zeros_like(padding)),
        source,
    )


@pytest.mark.parametrize("n_items", [1, 4, 500])
@pytest.mark.parametrize("with_places", [False, True])
def test_items_and_places_are_looked_up(
    n_items: int, with_places: bool, draw: Callable[..., torch.Tensor]
) -> None:
    """With an item that many rows have, and a last row that is no token."""
    n_sessions, length, n_factors = 20, 9, 6
    table, of_places = draw(n_items, n_factors), draw(length + 2, n_factors)
    generator = torch.Generator().manual_seed(1)
    is_token = torch.rand(n_sessions * length, generator=generator) < 0.7
    positions = functional.pad(is_token.nonzero().squeeze(1), (0, 1), value=len(is_token)).to(table.device)
    items = torch.randint(n_items, (len(positions),), generator=generator).to(table.device)
    cells = torch.full((len(is_token) + 1,), -1, device=table.device)
    cells[positions] = torch.arange(len(positions), device=table.device)
    places = length - 1 - positions % length
    is_row = (positions < len(is_token))[:, None]

    def ours(table: torch.Tensor, of_places: torch.Tensor) -> torch.Tensor:
        found = fused.embedded(
            table,
            of_places if with_places else None,
            items,
            places,
            ByItem.of(items),
            cells[:-1],
            n_sessions=n_sessions,
            scale=1.5,
        )
        return found * is_row + (0 if with_places else 0 * of_places.sum())

    def theirs(table: torch.Tensor, of_places: torch.Tensor) -> torch.Tensor:
        of_items = functional.embedding(items, table, padding_idx=0)
        return (of_items * 1.5 + of_places[places] * with_places) * is_row

    assert_same(ours, theirs, table, of_places)


def test_what_is_looked_up_for_padding_has_a_gradient_too(draw: Callable[..., torch.Tensor]) -> None:
    """A table of projected embeddings needs it, where padding is not masked."""
    table = draw(5, 6)
    x = torch.tensor([0, 0, 3, 1, 0, 3, 4, 0], device=table.device)
    order = torch.tensor([3, 2, 5, 6], device=table.device)
    by_item = ByItem(x[order], order)
    assert_same(lambda t: fused.looked_up(t, x, by_item), lambda t: functional.embedding(x, t), table)
