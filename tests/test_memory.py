"""Peaks are those of what is measured, also in a process that needed more before."""

from __future__ import annotations

import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the high-water mark be set back")
BEFORE_AND_AFTER = """
import torch
from tuner.memory import keep_freed_memory, peak_memory, reset_peak, return_freed_memory
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
from tuner.memory import keep_freed_memory, return_freed_memory
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
