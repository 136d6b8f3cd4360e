"""Finds the versions of packages and the processor, which change the numbers of a study."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["installed_versions", "versions"]

_RECORDED_PACKAGES = ("rectools", "ray", "optuna", "torch", "pytorch-lightning", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the recorded packages, and the name of the processor."""
    found = installed_versions(_RECORDED_PACKAGES)
    return {"python": platform.python_version(), **found, "processor": _processor()}


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed; a checkout may not be."""
    found: dict[str, str] = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _processor() -> str:
    """Return the name of the processor. Libraries choose their kernels by the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
