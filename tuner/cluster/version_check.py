"""Versions on which a study's meaning rests: what was checked here has to hold there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from tuner.errors import ClusterError, Problem

__all__ = ["check_versions", "versions"]

_DECIDING = ("rectools-tuner", "rectools", "ray", "optuna")


def versions() -> dict[str, str]:
    """Return the versions here, of what is installed."""
    found: dict[str, str] = {}
    for package in _DECIDING:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout that is not installed
            continue
    return found


def check_versions(client: Mapping[str, str], where: str) -> None:
    """Refuse a study from a machine with other versions.

    Parameters
    ----------
    client
        What `versions` gave there.
    where
        What to call this machine.

    Raises
    ------
    ClusterError
        Naming each difference.
    """
    here = versions()
    problems = [
        Problem(
            name,
            f"must be one version on both sides, but is {theirs} where it was submitted and {ours} here",
        )
        for name, theirs in client.items()
        if (ours := here.get(name, "none")) != theirs
    ]
    if problems:
        last = problems[-1]
        hint = "install with `-c constraints.txt` on both sides, or start the cluster anew from cluster.yaml"
        problems[-1] = Problem(last.where, last.rule, hint)
        raise ClusterError(where, problems)
