"""Memory of this process: its peak, errors when it is used up, and what the allocator does with freed memory.

Linux lets a process reset its peak. So each fold of each trial is measured separately, even in a worker that
ran other trials before. Other systems only report the peak of the whole process.
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

#: Messages of errors for which torch has no class: of the CPU's allocator, of CUDA and of CUDA's libraries.
_NO_ROOM = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")

_VMSTAT = Path("/proc/vmstat")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see clear_refs in proc(5)

#: Numbers of glibc's options, see mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def reset_peak() -> None:
    """Reset the peaks: from now on, they measure only what follows."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:  # not Linux, or forbidden by a sandbox: the peak remains that of the whole process
        return
    finally:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def peak_memory() -> int:
    """Return the peak memory of this process in bytes. It includes memory shared with other processes."""
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
    """Return the peak GPU memory of the tensors of this process in bytes; None without a GPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, says that there was not enough memory."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False


def oom_kills() -> int:
    """Return how many processes the kernel of this host killed for lack of memory; 0 if unknown."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of returning it to the kernel at each training step.

    Each training step allocates and frees the same large blocks. New pages from the kernel take many times
    longer than pages that the process already has. Results do not change. Without glibc this function has no
    effect.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 256 * 2**20)


def return_freed_memory() -> None:
    """Return freed memory to the kernel and, with a GPU, to the device."""
    malloc_trim = getattr(_libc(), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _libc() -> object:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # the system has no such library
        return None
