"""Peaks are those of what is measured, also in a process that needed more before."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tuner.errors import TrialError
from tuner.evaluation import boundary
from tuner.training.memory import is_out_of_memory

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the high-water mark be set back")
BEFORE_AND_AFTER = """
import torch
from tuner.training.memory import keep_freed_memory, peak_memory, reset_peak, return_freed_memory
keep_freed_memory()
large = torch.ones(100 * 2**20 // 4)
del large
first = peak_memory()
return_freed_memory()
reset_peak()
small = torch.ones(30 * 2**20 // 4)
print((first - peak_memory()) / 2**20)
"""


def numbers(program: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


@LINUX
def test_a_peak_is_forgotten_when_it_is_reset() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_AND_AFTER], capture_output=True, text=True, check=True
    )
    assert 50 < float(done.stdout) < 100


# NumPy's blocks, since torch aligns its own: an aligned block rarely fits into one that was just freed.
KEPT = """
import resource, numpy
from tuner.training.memory import keep_freed_memory, return_freed_memory
keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def block():
    numpy.ones(64 * 2**20, dtype=numpy.uint8)
block()
before = faults()
for _ in range(10):
    block()
kept = faults() - before
return_freed_memory()
before = faults()
block()
print(kept, faults() - before)
"""


@LINUX
def test_freed_memory_is_kept_warm_until_it_is_returned() -> None:
    kept, after = numbers(KEPT)
    assert kept < 100, "ten blocks of 16,384 pages each, without a fresh one"
    assert after > 20 * max(kept, 1), "once returned, pages are fresh again"


def too_large() -> None:
    torch.empty(2**50)


def no_room() -> None:
    raise MemoryError


def no_room_on_the_gpu() -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def no_room_for_cublas() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize("fail", [too_large, no_room, no_room_on_the_gpu, no_room_for_cublas])
def test_want_of_memory_is_told_through_what_it_was_wrapped_in(fail) -> None:
    def wrapped() -> None:
        with boundary("fold 1"):
            try:
                fail()
            except Exception as error:
                raise ValueError("the layer failed") from error

    with pytest.raises(TrialError) as caught:
        wrapped()
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [ValueError("no memory of that"), RuntimeError("shapes differ"), None])
def test_other_errors_are_not(error: Exception | None) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.gpu
def test_want_of_gpu_memory() -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        torch.empty(2**50, device="cuda")
    assert is_out_of_memory(caught.value)
