"""Ray for one search: one of its own on this machine, or a cluster's; and what there is room for."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import Problem, SearchError, StudyError
from tuner.execution.autoscaler import node_kinds
from tuner.execution.user_modules import modules_of
from tuner.execution.watchdog import RAY_DIED, watch_ray
from tuner.search.capacity import Capacity, Machines, lacking, trial_share

if TYPE_CHECKING:
    from tuner.config import Study
    from tuner.preparation.prepare import Prepared

__all__ = ["ALLOCATOR", "RayStartError", "join_cluster", "ray_session"]

#: For glibc in workers: keep freed memory instead of giving it back to the kernel at each training step.
#: Numbers are unchanged; fresh pages cost many times what warm ones do.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
#: Keep Ray and Tune from saying or writing what nobody asked for, leave Ctrl-C to us, and let as many trials
#: wait for a worker as the search gives: Tune's own limit is one, so that trials shorter than a worker's
#: start would run one by one.
_QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
}
#: Keys of a study by the name of Ray's resource.
_KEYS = {"CPU": "resources.cpus_per_trial", "GPU": "resources.gpus_per_trial"}
#: Seconds for which a list of nodes is good.
_FRESH = 1.0


class RayStartError(SearchError):
    """Ray did not come up; nothing has been run."""

    exit_code = RAY_DIED


@contextmanager
def ray_session(prepared: Prepared, address: str | None = None) -> Iterator[Capacity]:
    """Start Ray on this machine, or join one that runs; give what it has room for.

    Parameters
    ----------
    prepared
        What is to be searched.
    address
        Of a Ray that runs, as Ray takes it: ``auto`` for the one of this node's cluster. None: start one,
        unless this process is connected to one.

    Raises
    ------
    RayStartError
        If it does not come up, or there is none at the address.
    StudyError
        If there is no room for one trial, and none can come.
    """
    import ray  # noqa: PLC0415  # ray

    started = not ray.is_initialized()
    if started:
        _connect(_runtime_env(prepared), address)
    try:
        with watch_ray() if started and address is None else nullcontext():
            yield _capacity(prepared.study, joined=not started or address is not None)
    finally:
        if started:
            ray.shutdown()


def join_cluster(study: Study, runtime_env: Mapping[str, object] | None = None) -> Capacity:
    """Join the cluster of this node, before the study's data are read, to find early what it has no room for.

    Raises
    ------
    RayStartError, StudyError
        See `ray_session`.
    """
    _connect({"env_vars": ALLOCATOR, **(runtime_env or {})}, "auto")
    return _capacity(study, joined=True)


def _connect(runtime_env: Mapping[str, object], address: str | None) -> None:
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET_RAY.items()})
    import ray  # noqa: PLC0415  # ray

    _quiet_loggers()
    own: dict[str, Any] = (
        {"address": "local", "include_dashboard": False} if address is None else {"address": address}
    )
    try:
        ray.init(
            configure_logging=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=dict(runtime_env),
            **own,
        )
    except Exception as error:  # Ray has no class for it
        if address is not None:
            hint = "`--address auto` is for a node of a cluster; from elsewhere there is `tuner submit`"
            raise RayStartError(f"no Ray can be joined at {address!r}: {error}", hint=hint) from error
        hint = "is the machine overloaded, or out of memory? the same command tries again"
        raise RayStartError(f"Ray could not be started: {error}", hint=hint) from error


def _runtime_env(prepared: Prepared) -> dict[str, object]:
    """Return what workers need: settings, where modules are on this machine, and the user's own modules.

    Workers of other hosts see none of the user's folders, so the modules that the study names are sent to
    them. Where it names none, nothing is sent, and no time is spent.
    """
    installed = (sys.prefix, sys.base_prefix)
    folders = [path for path in (str(Path.cwd()), *sys.path) if path and not path.startswith(installed)]
    path = os.pathsep.join(dict.fromkeys(folders))
    shipped = modules_of(prepared.space, [baseline.params for baseline in prepared.baselines])
    sent = {"py_modules": shipped, "excludes": ["**/__pycache__"]} if shipped else {}
    return {"env_vars": {**ALLOCATOR, "PYTHONPATH": path}, **sent}


def _quiet_loggers() -> None:
    """Let Ray's loggers speak to the driver's log like all others, not to the console."""
    for name in ["ray", *logging.root.manager.loggerDict]:
        if name == "ray" or name.startswith("ray."):
            ray_logger = logging.getLogger(name)
            ray_logger.handlers.clear()
            ray_logger.propagate = True
    from ray._private import worker  # noqa: PLC0415  # ray

    worker.print_to_stdstream = _log_messages  # it has no switch for these, and would print them to stderr


def _log_messages(data: Mapping[str, Any], ignore_prefix: bool) -> None:  # noqa: ARG001  # Ray's signature
    """Write to the log what Ray sends to all drivers when a machine is lost: stack traces, mostly."""
    logging.getLogger("ray").warning("%s", "\n".join(data["lines"]))


def _capacity(study: Study, *, joined: bool) -> Capacity:
    """Return what there is room for; a Ray that was started here has no autoscaler.

    Raises
    ------
    StudyError
        If no node has room for a trial, and no node of the autoscaler's would.
    """
    kinds = node_kinds() if joined else ()
    capacity = Capacity(
        partial(_nodes, _Seen()), kinds or (), study.resources.concurrency, grows=kinds is None
    )
    problems = [
        Problem(
            _KEYS.get(name, "resources"),
            f"must fit on one node, but no node offers {name}: {wanted:g}; the largest has {largest:g}",
            "lower it, or add such a node" + (" type to the autoscaler" if capacity.coming else ""),
        )
        for name, wanted, largest in lacking(capacity.machines, trial_share(study.resources))
        if not capacity.grows
    ]
    if problems:
        raise StudyError(study.study, problems)
    return capacity


class _Seen:
    """The nodes as they were a moment ago: the search asks far more often than they change."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.nodes: Sequence[Machines] = ()


def _nodes(seen: _Seen) -> Sequence[Machines]:
    import ray  # noqa: PLC0415  # ray

    if time.monotonic() - seen.at > _FRESH:
        seen.nodes = [Machines(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own
        seen.at = time.monotonic()
    return seen.nodes
