"""HSTU's attention by kernels, in Triton's interpreter or on a GPU, against that in the padded shape."""

from __future__ import annotations

import pytest
import torch

from tuner.training.fast_paths import kernels
from tuner.training.fast_paths.blocks import silu_attended
from tuner.training.fast_paths.kernel_check import serves
from tuner.training.fast_paths.silu_attention import fits, silu_attention

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("one_thread")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
N_SESSIONS = 3


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        monkeypatch.setattr(kernels, "INTERPRETED", True)
        assert serves(torch.zeros(1))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n_biases", [0, 1, N_SESSIONS])
@pytest.mark.parametrize(("n_heads", "q_width", "v_width"), [(1, 3, 20), (2, 16, 5)])
@pytest.mark.parametrize("length", [1, 33, 70])
def test_outputs_and_gradients_are_those_of_the_formula(  # each is varied
    length: int, n_heads: int, q_width: int, v_width: int, n_biases: int, device: str
) -> None:
    """With padding before and within sessions, one session of padding alone, and rows that are no tokens."""
    if device == "cpu" and torch.cuda.is_available():
        pytest.skip("a GPU runs the kernels itself")
    generator = torch.Generator().manual_seed(length)
    is_token = torch.rand(N_SESSIONS, length, generator=generator) < 0.7
    is_token[0, : length // 2] = False
    is_token[1] = False
    is_token[:, -1] = torch.tensor([True, False, True])
    n_tokens = int(is_token.sum())
    cells = torch.full((N_SESSIONS * length,), -1)
    cells[is_token.flatten()] = torch.arange(n_tokens)
    cells = cells.to(device)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device).requires_grad_()

    mixed = drawn(n_tokens + 4, n_heads * (2 * q_width + v_width))
    bias = drawn(n_biases, length, length) if n_biases else None
    widths = [n_heads * q_width, n_heads * v_width, n_heads * q_width]
    q, v, k = mixed.split(widths, dim=1)  # parts of other rows, as HSTU's are
    ours = silu_attention(q, k, v, bias, cells, length=length, n_heads=n_heads)

    is_token = is_token.to(device)[..., None]
    seen = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    seen = (seen & is_token & is_token.transpose(1, 2)).unsqueeze(1)
    padded = [values[cells].view(N_SESSIONS, length, -1) for values in (q, k, v)]
    theirs = silu_attended(*padded, seen, bias, n_heads=n_heads, divisor=length)[is_token[..., 0]]

    torch.testing.assert_close(ours[:n_tokens], theirs, rtol=1e-5, atol=1e-5)
    assert not ours[n_tokens:].any()
    inputs = [mixed] if bias is None else [mixed, bias]
    weights = torch.randn(theirs.shape, generator=generator).to(device)
    gradients = torch.autograd.grad((ours[:n_tokens] * weights).sum(), inputs)
    expected = torch.autograd.grad((theirs * weights).sum(), inputs)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("n_factors", [64, 256, 512])
def test_half_precision_is_close(n_factors: int) -> None:
    """Within 1 % of the largest value, also for heads as wide as fit."""
    assert fits(torch.zeros(1, n_factors, device="cuda"), 2) or n_factors > 256
    cells = torch.arange(2 * 50, device="cuda")
    q, k, v = (torch.randn(100, n_factors, device="cuda") for _ in range(3))
    exact, rounded = (
        silu_attention(*(one.to(dtype) for one in (q, k, v)), None, cells, length=50, n_heads=2)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rounded.dtype is torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=0.01 * exact.abs().max().item())
