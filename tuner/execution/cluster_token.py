"""The token of a cluster on this machine: a file that only its owner can read."""

from __future__ import annotations

import os
from pathlib import Path

from tuner.artifacts.private import narrow_rights
from tuner.errors import ClusterError, Problem

__all__ = ["protect_cluster_token", "use_cluster_token"]


def use_cluster_token() -> None:
    """Make the client of Ray's Jobs API send the token if there is one. By default, it does not.

    Raises
    ------
    ClusterError
        See `protect_cluster_token`.
    """
    protect_cluster_token()
    if os.environ.get("RAY_AUTH_TOKEN") or _file().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def protect_cluster_token() -> None:
    """If other users can read the file of the token that Ray will use, take this right from them.

    Raises
    ------
    ClusterError
        If others can read the file, and this cannot be changed.
    """
    file = _file()
    if os.environ.get("RAY_AUTH_TOKEN") or not file.exists():
        return
    try:
        narrow_rights(file)
    except OSError as error:
        rule = f"must be readable by its owner only, since it opens the cluster, but {error.strerror}"
        hint = "chmod 600 the file, or hand the token over in RAY_AUTH_TOKEN"
        raise ClusterError(str(file), [Problem("", rule, hint)]) from error


def _file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
