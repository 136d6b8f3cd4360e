"""Checks that the user's machine and the cluster have the same versions of packages that change results."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from tuner.errors import ClusterError, Problem

__all__ = ["check_versions", "versions"]

_DECIDING = ("rectools-tuner", "rectools", "ray", "optuna")


def versions() -> dict[str, str]:
    """Return the installed versions on this machine, by package."""
    found: dict[str, str] = {}
    for package in _DECIDING:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout that is not installed
            continue
    return found


def check_versions(client: Mapping[str, str], where: str) -> None:
    """Refuse a study that was submitted from a machine with other versions.

    Parameters
    ----------
    client
        Result of `versions` on that machine.
    where
        Name of this machine, for messages.

    Raises
    ------
    ClusterError
        If a version differs. The error has all differences.
    """
    here = versions()
    problems = [
        Problem(
            name,
            f"must be one version on both sides, but is {theirs} where you submitted it and {ours} here",
        )
        for name, theirs in client.items()
        if (ours := here.get(name, "none")) != theirs
    ]
    if problems:
        last = problems[-1]
        hint = "install with `-c constraints.txt` on both sides, or start the cluster again from cluster.yaml"
        problems[-1] = Problem(last.where, last.rule, hint)
        raise ClusterError(where, problems)
