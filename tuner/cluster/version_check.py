"""Checks that the user's machine and the cluster have the same versions of packages that change results."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.errors import ClusterError, Problem
from tuner.trials.package_versions import installed_versions

__all__ = ["check_versions", "deciding_versions"]

_DECIDING = ("rectools-tuner", "rectools", "ray", "optuna")


def deciding_versions() -> dict[str, str]:
    """Return the installed versions on this machine of the packages that must agree."""
    return installed_versions(_DECIDING)


def check_versions(client: Mapping[str, str], where: str) -> None:
    """Refuse a study that was submitted from a machine with other versions.

    Parameters
    ----------
    client
        Result of `deciding_versions` on that machine.
    where
        Name of this machine, for messages.

    Raises
    ------
    ClusterError
        If a version differs. The error has all differences.
    """
    here = deciding_versions()
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
