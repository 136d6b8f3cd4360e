"""Connects to the Jobs API of a cluster, with a clear message for each way in which this fails."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tuner.errors import ClusterError, Problem
from tuner.errors.caller import argument
from tuner.execution.cluster_token import use_cluster_token

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["DEFAULT_ADDRESS", "connect"]

#: Address at which `ray dashboard cluster.yaml` opens the head's port on this machine.
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
#: Timeout of a connection, in seconds. By default, an address that does not answer would take minutes.
_TIMEOUT = 5.0

_TUNNEL = "is the cluster up, and the tunnel open? `ray dashboard cluster.yaml` opens it"
_TOKEN = (
    "set the cluster's token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token; cluster.yaml has "  # noqa: S105  # no token, but text about it
    "copied it from ~/.ray/auth_token of the machine that started the cluster"
)


def connect(address: str) -> JobSubmissionClient:
    """Connect to the Jobs API of a cluster.

    Parameters
    ----------
    address
        URL of its dashboard, such as ``http://127.0.0.1:8265``.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, refuses the token, or has another version of Ray.
    """
    _check_reachable(address)
    use_cluster_token()
    try:
        from ray.job_submission import JobSubmissionClient  # noqa: PLC0415  # ray

        for name in list(logging.root.manager.loggerDict):  # they log each connection and each package
            if name.startswith("ray"):
                logging.getLogger(name).setLevel(logging.ERROR)
        client = JobSubmissionClient(address)
    except Exception as error:  # Ray's own classes for this are private
        raise _explained(address, error) from error
    _check_version(address, client._server_ray_version)  # noqa: SLF001  # the client has no public name for it
    return client


def _check_reachable(address: str) -> None:
    parts = urlsplit(address)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port is None:
        rule = f"must be the URL of a cluster's dashboard, such as {DEFAULT_ADDRESS}, but got {address!r}"
        raise ClusterError(argument("--address"), [Problem("", rule)])
    try:
        socket.create_connection((parts.hostname, port), timeout=_TIMEOUT).close()
    except OSError as error:
        rule = f"must be a cluster that can be reached, but {error.strerror or error}"
        raise ClusterError(address, [Problem("", rule, _TUNNEL)]) from error


def _explained(address: str, error: Exception) -> ClusterError:
    """Return an error of Ray's client as an error that says what to do."""
    text = str(error)
    if isinstance(error, (ImportError, RuntimeError)) and "ray[default]" in text:
        rule, hint = (
            "must be used with the client of Ray's Jobs API, but it is not installed",
            "pip install 'rectools-tuner[cluster]'",
        )
    elif "Forbidden" in text or "nvalid authentication token" in text:
        rule, hint = "must be opened with its token, but refuses the token of this machine", _TOKEN
    elif type(error).__name__ == "AuthenticationError" or "authentication" in text.lower():
        rule, hint = "must be opened with its token, but this machine has no token", _TOKEN
    else:
        rule, hint = (
            f"must answer as a Ray cluster, but: {text.splitlines()[0] if text else error!r}",
            _TUNNEL,
        )
    return ClusterError(address, [Problem("", rule, hint)])


def _check_version(address: str, there: str | None) -> None:
    from ray import __version__ as here  # noqa: PLC0415  # ray

    if there != here:
        rule = f"must have the Ray of this machine, {here}, but has {there}"
        hint = (
            f"pip install 'ray[default]=={there}' here, or start the cluster again from this project's "
            "cluster.yaml, which installs the versions of constraints.txt"
        )
        raise ClusterError(address, [Problem("", rule, hint)])
