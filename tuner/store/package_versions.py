"""Finds the versions of packages and the processor, which change the numbers of a study."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["versions"]

_RECORDED_PACKAGES = ("rectools", "ray", "optuna", "torch", "pytorch-lightning", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the recorded packages, and the name of the processor."""
    found = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return {**found, "processor": _processor()}


def _processor() -> str:
    """Return the name of the processor. Libraries choose their kernels by the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
