"""Keeps a Ray that a search starts for itself private: loopback only, a token and a folder of its own.

By default, Ray listens on all interfaces, and takes the token and the folder of all clusters of the user.
Whoever has the token can run code as the user. So a Ray for one search gets its own token. It is only in the
environment of its processes, which other users cannot read.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tuner.artifacts.layout import LOCK
from tuner.execution.environment import environment

__all__ = ["private_ray"]

#: How the names of Ray's folders begin.
_PREFIX = "tuner-ray-"
#: The folder in it that Ray opens to all users. Beside it is the lock of the process that uses both.
_RAYS = "r"
#: Longest path in bytes that leaves room for the names of Ray's sockets; the kernel takes 107 bytes.
_LONGEST = 107 - len("/r/session_2026-11-26_19-38-46_123456_1234567/sockets/plasma_store.1")
#: Seconds after which a folder without an owner is removed. Its owner locks it right after making it.
_GRACE = 60.0
#: Settings of Ray. One makes the node use the loopback address. It is named after the systems on which it is
#: the default.
_SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_enable_metrics_collection": "0",
}
#: Variables that keep processes of a private Ray from starting, or lead them to another cluster. Under the
#: first ones, Ray's own Python code raises errors; a certificate is of no use beside a token on loopback.
_HARMFUL = (
    "PYTHONDEVMODE",
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONWARNINGS",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING",
    "RAY_REDIS_ADDRESS",
    "RAY_RUNTIME_ENV_HOOK",
    "RAY_USE_TLS",
)
#: Settings of Ray for which `ray.init` has no argument. One of Ray's ports is fixed, and two searches at once
#: would want it. The autoscaler cannot add a machine here, and nobody reads what the log monitor sends.
_PARAMETERS: dict[str, Any] = {
    "dashboard_agent_listen_port": 0,
    "no_monitor": True,
    "include_log_monitor": False,
}


@contextmanager
def private_ray() -> Iterator[dict[str, Any]]:
    """Prepare this process to start a private Ray. It must have been shut down when the block ends.

    Yields
    ------
    dict
        Keyword arguments for ``ray.init``.
    """
    token = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _settings({**dict.fromkeys(_HARMFUL), **_SETTINGS, **token}), _lean(), _folder() as folder:
        yield {"address": "local", "include_dashboard": False, "_temp_dir": str(folder / _RAYS)}


@contextmanager
def _settings(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set Ray's settings in the environment, for this process and those of Ray; None removes one."""
    try:
        with environment(changes):
            _forget_token()
            yield
    finally:
        _forget_token()


def _forget_token() -> None:
    """Make Ray read its mode and its token again. It keeps what it has read."""
    from ray import _raylet  # noqa: PLC0415  # ray

    compiled: Any = _raylet  # it has no annotations
    compiled.Config.initialize("")
    compiled.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _lean() -> Iterator[None]:
    """Make this process use the loopback address, also if it has imported Ray before, and no idle processes.

    Even without its dashboard, Ray starts the dashboard's server, for statistics of usage. They are off here.
    """
    from ray._private import parameter, ray_constants, services  # noqa: PLC0415  # ray

    with ExitStack() as changes:
        for module, name, value in (
            (ray_constants, "ENABLE_RAY_CLUSTER", False),
            (parameter, "RayParams", partial(parameter.RayParams, **_PARAMETERS)),
            (services, "start_api_server", lambda *_args, **_settings: ("", None)),  # no address, no process
        ):
            changes.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        yield


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for Ray's sockets and logs; remove it in the end, and those of killed processes."""
    base = _base()
    _remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    """Return the folder for temporary files, or a shorter one if its path is too long for a socket's name."""
    places = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir()]
    usable = [place for place in places if place and Path(place).is_dir() and _is_short(place)]
    return Path(usable[0] if usable else "/tmp")  # noqa: S108  # `mkdtemp` makes a safe folder in it


def _is_short(place: str) -> bool:
    return len(os.fsencode(place)) + 1 + len(_PREFIX) + len("abcdefgh") <= _LONGEST


def _remove_abandoned(base: Path) -> None:
    """Remove folders of processes of this user that were killed."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            facts = folder.stat(follow_symlinks=False)
            if facts.st_uid == os.getuid() and time.time() - facts.st_mtime > _GRACE:
                with (folder / LOCK).open() as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
