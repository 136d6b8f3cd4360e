"""Memory of this process: its peak, its end, and how the allocator treats what was freed.

On Linux the kernel's high-water mark can be set back, so that each fold of each trial is measured by
itself, also in a worker that ran others before. Elsewhere the mark only grows.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

import torch

__all__ = [
    "is_out_of_memory",
    "keep_freed_memory",
    "oom_kills",
    "peak_gpu_memory",
    "peak_memory",
    "reset_peak",
    "return_freed_memory",
]

#: In torch's words, where it has no class for it: of the CPU's allocator, of CUDA's and of its libraries'.
_NO_ROOM = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")

_VMSTAT = Path("/proc/vmstat")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # of proc(5), clear_refs

#: Numbers of glibc's options, see mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def reset_peak() -> None:
    """Begin to measure: from here on, peaks are those of what follows."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:  # no Linux, or a sandbox that forbids it: the mark of the whole process is what there is
        return
    finally:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def peak_memory() -> int:
    """Return the most memory in bytes that this process had at once, memory shared with others included."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_gpu_memory() -> int | None:
    """Return the most bytes of GPU memory that tensors of this process took at once; None without a GPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that there was no memory left."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False


def oom_kills() -> int:
    """Return how many processes of this host the kernel has killed for want of memory; 0 if unknown."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of giving it back to the kernel at each training step.

    A step frees and takes the same large blocks over and over; fresh pages cost many times what warm ones
    do. Numbers are unchanged. Without glibc nothing is done.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 256 * 2**20)


def return_freed_memory() -> None:
    """Give what was kept back to the kernel; and on a GPU, to the device."""
    malloc_trim = getattr(_libc(), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _libc() -> object:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # a system without such a library
        return None
