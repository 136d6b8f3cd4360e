"""Starts Ray on this machine for one search, or joins a cluster, and returns how many trials fit."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import LASTING, Problem, SearchError, TunerError, UserError
from tuner.errors.caller import hint as hint_for
from tuner.execution import user_modules
from tuner.execution.autoscaler import node_kinds
from tuner.execution.cluster_token import protect_cluster_token
from tuner.execution.environment import environment
from tuner.execution.local_ray import private_ray
from tuner.execution.reaper import marks, reaper
from tuner.execution.signals import ended_by_signals
from tuner.execution.start_failure import lasting_cause
from tuner.execution.user_modules import cell_modules, modules_of, path_variables, see_user_folders
from tuner.execution.watchdog import AGAIN, CANNOT_START, LASTS, RAY_DIED, watch_ray, watch_start
from tuner.search.capacity import Capacity, Machines, lacking, trial_share

if TYPE_CHECKING:
    from tuner.config import Study
    from tuner.preparation.prepare import Prepared

__all__ = ["ALLOCATOR", "join_cluster", "ray_session"]

#: When Ray is imported in a notebook, it asks for packages to draw with, which nothing here uses.
logging.getLogger("ray.widgets.util").setLevel(logging.ERROR)

#: Settings for glibc in workers: freed memory is not returned to the kernel at each training step. This is
#: faster, because new pages cost much more time than used ones. Results are the same.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
#: Settings for Ray and Tune: write no extra output or files, and leave Ctrl-C to this program. The last
#: setting lets any number of trials wait for a worker. Tune's default is one. Then trials that are shorter
#: than the start of a worker would run one after the other.
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
#: Errors of Ray's Python code that do not pass, such as those of a setting that it cannot read.
_OF_CODE = (AttributeError, ImportError, LookupError, NameError, TypeError, ValueError)
#: Seconds for which a list of nodes is reused.
_FRESH = 1.0
#: Jobs of Ray for which `join_cluster` has connected this process.
_own_jobs: set[str] = set()


class RayStartError(SearchError):
    """Ray could not be started. No trial has run."""

    exit_code = RAY_DIED


class LastingStartError(RayStartError):
    """Ray could not be started, for a cause that stays until a person removes it."""

    exit_code = CANNOT_START


@contextmanager
def ray_session(prepared: Prepared, address: str | None = None) -> Iterator[Capacity]:
    """Start Ray on this machine or join a running cluster, and yield its capacity for trials.

    Parameters
    ----------
    prepared
        The prepared study.
    address
        Address of a running Ray, in Ray's form: ``auto`` is the cluster of this node. With None, Ray is
        started, unless this process is connected already.

    Raises
    ------
    RayStartError
        If Ray cannot be started, or there is none at the address. A `LastingStartError` if the next start
        would fail for the same cause.
    UserError
        If Ray cannot use the user's home or its folder for temporary files, if Python removes docstrings,
        or if this process is connected to a Ray whose workers cannot import modules that were made of cells.
    StudyError
        If no node has room for one trial, and the autoscaler cannot add such a node.
    """
    _check_docstrings()
    import ray  # noqa: PLC0415  # ray

    if ray.is_initialized():
        _check_cells(prepared)
        yield _capacity(prepared.study, joined=True)
        return
    with ExitStack() as stack:
        if address is None:
            where = stack.enter_context(private_ray())
            stack.callback(ray.shutdown)
            mark = stack.enter_context(reaper())
            with environment(marks(mark)), watch_start(Path(where["_temp_dir"])):
                _connect(_runtime_env(prepared), where)
            stack.enter_context(watch_ray())
        else:
            stack.callback(ray.shutdown)
            _connect(_runtime_env(prepared), {"address": address})
        yield _capacity(prepared.study, joined=address is not None)


def join_cluster(study: Study, runtime_env: Mapping[str, object] | None = None) -> Capacity:
    """Join the cluster of this node. Called before the data is read, to find early if no trial fits.

    Raises
    ------
    RayStartError, StudyError
        See `ray_session`.
    """
    import ray  # noqa: PLC0415  # ray

    _connect({"env_vars": ALLOCATOR, **(runtime_env or {})}, {"address": "auto"})
    _own_jobs.add(ray.get_runtime_context().get_job_id())
    return _capacity(study, joined=True)


def _check_docstrings() -> None:
    """Refuse a Python that removes docstrings: Ray's code adds to its own, and cannot be imported then."""
    if sys.flags.optimize > 1:
        rule = "must keep docstrings, because Ray's code needs them, but PYTHONOPTIMIZE=2 or -OO removes them"
        raise UserError("Python", [Problem("", rule, "unset PYTHONOPTIMIZE, or start Python without -OO")])


def _check_cells(prepared: Prepared) -> None:
    """Refuse modules that were made of cells if the user has called ``ray.init()``: its workers lack them."""
    import ray  # noqa: PLC0415  # ray

    made = cell_modules(prepared.space, _given(prepared))
    if made and ray.get_runtime_context().get_job_id() not in _own_jobs:
        names = ", ".join(path.stem for path in made)
        rule = f"must have the modules made of cells in its workers ({names}), but was started without them"
        hint = (
            "call ray.shutdown() first; run(study) starts Ray itself, and run(study, address=...) joins yours"
        )
        raise UserError("Ray", [Problem("", rule, hint)])


def _connect(runtime_env: Mapping[str, object], where: Mapping[str, Any]) -> None:
    """Connect to the Ray at an address, or start one; `where` has these arguments of ``ray.init``."""
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET_RAY.items()})
    import ray  # noqa: PLC0415  # ray

    _quiet_loggers()
    address = None if where["address"] == "local" else where["address"]
    if address is not None:
        protect_cluster_token()
    try:
        with _sent_by_value(), _signals_held():
            ray.init(
                configure_logging=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={**runtime_env, "worker_process_setup_hook": see_user_folders},
                job_config=_job_config(),
                **where,
            )
    except Exception as error:  # Ray has no class for this error
        if address is not None:
            hint = hint_for(
                command="`--address auto` works on a node of a cluster; `tuner submit` works elsewhere",
                python='address="auto" works on a node of a cluster; submit(study) works elsewhere',
            )
            raise RayStartError(f"cannot join Ray at {address!r}: {error}", hint=hint) from error
        raise _start_error(error, Path(where["_temp_dir"])) from error


def _start_error(error: Exception, folder: Path) -> TunerError:
    """Return the error for a Ray that could not be started in a folder."""
    refused = _refused_place(error)
    if refused is not None:
        rule = f"must be able to use {refused.filename}, but got the error: {refused.strerror}"
        hint = "set HOME and RAY_TMPDIR to folders that exist and that this user can write"
        return UserError("Ray", [Problem("", rule, hint)])
    cause = lasting_cause(folder)
    if cause is None and isinstance(error, _OF_CODE):
        cause = f"{type(error).__name__}: {error}"
    if cause is not None:
        return LastingStartError(f"Ray could not be started: {cause}", hint=LASTS)
    return RayStartError(f"Ray could not be started: {error}", hint=AGAIN)


def _refused_place(error: BaseException | None) -> OSError | None:
    """Return the error of a file or folder that keeps Ray from starting, among the causes of an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in LASTING and error.filename is not None:
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold a first signal back while Ray starts; a second one is heard at once.

    A process that leaves Ray's start midway crashes at its end. Ray's own answer to SIGTERM is left out: it
    does so.
    """
    from ray._private import utils  # noqa: PLC0415  # ray; it has no public way

    private: Any = utils
    own = private.set_sigterm_handler
    private.set_sigterm_handler = lambda _handler: None
    heard = threading.Event()
    try:
        with ended_by_signals(heard.set):
            yield
    finally:
        private.set_sigterm_handler = own
    if heard.is_set():
        raise KeyboardInterrupt


@contextmanager
def _sent_by_value() -> Iterator[None]:
    """Let Ray send `see_user_folders` itself to workers, and not its name: other nodes may not have it."""
    from ray import cloudpickle  # noqa: PLC0415  # ray

    pickled: Any = cloudpickle  # it has no annotations
    pickled.register_pickle_by_value(user_modules)
    try:
        yield
    finally:
        pickled.unregister_pickle_by_value(user_modules)


def _runtime_env(prepared: Prepared) -> dict[str, object]:
    """Return Ray's runtime environment: settings, import paths on this machine, and the user's modules.

    Workers on other hosts cannot read the user's folders. So the modules that the study names are sent to
    them. If the study names none, nothing is sent, which saves time.
    """
    shipped = modules_of(prepared.space, _given(prepared))
    sent = {"py_modules": shipped, "excludes": ["**/__pycache__"]} if shipped else {}
    return {"env_vars": {**ALLOCATOR, **path_variables()}, **sent}


def _given(prepared: Prepared) -> list[Mapping[str, object]]:
    """Return what names modules besides the space: params of the baselines, and metrics."""
    return [*(one.params for one in prepared.baselines), {"metrics": prepared.study.metrics.own}]


def _job_config() -> Any:  # noqa: ANN401  # Ray's class, which is imported here
    """Return a configuration with which Ray does not put the working folder first on a worker's path."""
    from ray.job_config import JobConfig  # noqa: PLC0415  # ray

    config: Any = JobConfig()
    config._runtime_env_has_working_dir = lambda: True  # noqa: SLF001  # Ray has no public setting for it
    return config


def _quiet_loggers() -> None:
    """Make Ray's loggers write to the driver's log and not to the console."""
    for name in ["ray", *logging.root.manager.loggerDict]:
        if name == "ray" or name.startswith("ray."):
            ray_logger = logging.getLogger(name)
            ray_logger.handlers.clear()
            ray_logger.propagate = True
    from ray._private import worker  # noqa: PLC0415  # ray

    worker.print_to_stdstream = _log_messages  # Ray has no setting for these messages and prints them


def _log_messages(data: Mapping[str, Any], ignore_prefix: bool) -> None:  # noqa: ARG001  # Ray's signature
    """Write Ray's messages to all drivers to the log. Most are stack traces after a machine is lost."""
    logging.getLogger("ray").warning("%s", "\n".join(data["lines"]))


def _capacity(study: Study, *, joined: bool) -> Capacity:
    """Return the capacity of the connected Ray. A Ray that this process started has no autoscaler.

    Raises
    ------
    StudyError
        If no node has room for one trial, and the autoscaler cannot add such a node.
    """
    kinds = node_kinds() if joined else ()
    capacity = Capacity(
        partial(_nodes, _RecentNodes()), kinds or (), study.resources.concurrency, grows=kinds is None
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
        raise study.refusal(problems)
    return capacity


class _RecentNodes:
    """The nodes at the last query. They are reused, because the search asks very often."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.nodes: Sequence[Machines] = ()


def _nodes(recent: _RecentNodes) -> Sequence[Machines]:
    import ray  # noqa: PLC0415  # ray

    if time.monotonic() - recent.at > _FRESH:
        recent.nodes = [Machines(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own
        recent.at = time.monotonic()
    return recent.nodes
