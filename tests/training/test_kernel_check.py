"""What is compared before kernels are used on a GPU, and what happens if that fails."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
import torch

from tuner.training.fast_paths import kernel_check, kernels, layer_kernels
from tuner.training.fast_paths.kernel_check import compared

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compare in Triton's interpreter, and forget what was found."""
    monkeypatch.setattr(kernels, "INTERPRETED", True)
    kernel_check._work_on.cache_clear()
    yield
    kernel_check._work_on.cache_clear()


needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU runs the kernels itself")


@needs_no_gpu
@pytest.mark.usefixtures("check")
def test_each_kernel_is_compared() -> None:
    from tuner.training.fast_paths import triton_kernels

    written = {
        name for name, value in vars(triton_kernels).items() if inspect.isfunction(getattr(value, "fn", None))
    }
    assert len(written) > 10
    assert written <= {name for name, *_ in compared(CPU)}
    assert kernel_check._work_on(CPU)


@needs_no_gpu
@pytest.mark.usefixtures("check")
def test_a_kernel_that_fails_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_args: object) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(kernels, "weighted_rows", failing)
    assert not kernel_check._work_on(CPU)
    assert "cannot be used here: RuntimeError: Failed to find C compiler" in caplog.text


@needs_no_gpu
@pytest.mark.usefixtures("check")
def test_a_kernel_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(layer_kernels, "summed_rows", lambda rows, *_: rows.sum(0) * 0)
    assert not kernel_check._work_on(CPU)
    assert "AssertionError: column_sums differs" in caplog.text


@pytest.mark.gpu
def test_the_kernels_work_on_this_gpu() -> None:
    device = torch.device("cuda", 0)
    for name, ours, theirs in compared(device):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3, msg=name)
    assert kernel_check._work_on(device)
