"""What numbers depend on beside the study: versions of packages, and the processor."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["versions"]

_RECORDED_PACKAGES = ("rectools", "ray", "optuna", "torch", "pytorch-lightning", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Return the versions of Python and of packages that decide, and the name of the processor."""
    found = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return {**found, "processor": _processor()}


def _processor() -> str:
    """Return the processor's name; libraries choose their kernels by it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
