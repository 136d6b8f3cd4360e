"""Starts Ray on this machine for one search, quietly, and says how many trials have room."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import Problem, SearchError, StudyError
from tuner.shipping import own_modules
from tuner.space import Choice
from tuner.watchdog import RAY_DIED, watch_ray

if TYPE_CHECKING:
    from tuner.prepare import Prepared
    from tuner.spec import Study

__all__ = ["ALLOCATOR", "RayStartError", "ray_session", "trial_share", "with_gpu_share"]

#: For glibc in workers: keep freed memory instead of giving it back to the kernel at each training step.
#: Numbers are unchanged; fresh pages cost many times what warm ones do.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
#: Keep Ray and Tune from saying or writing what nobody asked for, and leave Ctrl-C to us.
_QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}


class RayStartError(SearchError):
    """Ray did not come up; nothing has been run."""

    exit_code = RAY_DIED


@contextmanager
def ray_session(prepared: Prepared) -> Iterator[int]:
    """Start Ray on this machine unless it runs; give the number of trials at once.

    Raises
    ------
    RayStartError
        If it does not come up.
    StudyError
        If there is no room for one trial.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET_RAY.items()})
    import ray  # noqa: PLC0415  # ray

    _quiet_loggers()
    started = not ray.is_initialized()
    if started:
        runtime_env = _runtime_env(prepared)
        try:
            ray.init(
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=runtime_env,
            )
        except Exception as error:  # Ray has no class for it
            hint = "is the machine overloaded, or out of memory? the same command tries again"
            raise RayStartError(f"Ray could not be started: {error}", hint=hint) from error
    try:
        with watch_ray() if started else nullcontext():
            yield _slots(prepared.study, dict(ray.cluster_resources()))  # type: ignore[no-untyped-call]  # Ray's own
    finally:
        if started:
            ray.shutdown()


def _runtime_env(prepared: Prepared) -> dict[str, object]:
    """Return what workers need: settings, where modules are on this machine, and the user's own modules.

    Workers of other hosts see none of the user's folders, so the modules that the study names are sent to
    them. Where it names none, nothing is sent, and no time is spent.
    """
    installed = (sys.prefix, sys.base_prefix)
    folders = [path for path in (str(Path.cwd()), *sys.path) if path and not path.startswith(installed)]
    path = os.pathsep.join(dict.fromkeys(folders))
    domains = [parameter.domain for parameter in prepared.space.parameters]
    options = [domain.options if isinstance(domain, Choice) else domain.only() for domain in domains]
    given = [tuple(baseline.params.values()) for baseline in prepared.baselines]
    shipped = own_modules([*options, *given])
    sent = {"py_modules": shipped, "excludes": ["**/__pycache__"]} if shipped else {}
    return {"env_vars": {**ALLOCATOR, "PYTHONPATH": path}, **sent}


def _quiet_loggers() -> None:
    """Let Ray's loggers speak to the driver's log like all others, not to the console."""
    for name in ["ray", *logging.root.manager.loggerDict]:
        if name == "ray" or name.startswith("ray."):
            ray_logger = logging.getLogger(name)
            ray_logger.handlers.clear()
            ray_logger.propagate = True


def trial_share(study: Study) -> dict[str, float]:
    """Return what one trial holds, as Ray names it."""
    return {"CPU": study.resources.cpus_per_trial, "GPU": study.resources.gpu_share}


def with_gpu_share(prepared: Prepared, say: Callable[[str], None]) -> Prepared:
    """Measure the share of a GPU that a trial needs, where the study leaves that to us."""
    if prepared.study.resources.gpus_per_trial != "auto":
        return prepared
    from tuner.estimate import measure_gpu_share  # noqa: PLC0415  # torch

    share, why = measure_gpu_share(prepared)
    say(f"gpus_per_trial: {share:g}; {why}")
    resources = prepared.study.resources.model_copy(update={"gpus_per_trial": share})
    return replace(prepared, study=prepared.study.model_copy(update={"resources": resources}))


def _slots(study: Study, offered: Mapping[str, float]) -> int:
    """Return how many trials fit at once.

    Raises
    ------
    StudyError
        If not even one does.
    """
    wanted = trial_share(study)
    problems = [
        Problem(
            f"resources.{kind.lower()}s_per_trial",
            f"must be at most what there is, but got {amount:g} and there are {offered.get(kind, 0):g}",
        )
        for kind, amount in wanted.items()
        if amount > offered.get(kind, 0)
    ]
    if problems:
        raise StudyError(study.study, problems)
    fits = min(int(offered[kind] / amount + 1e-9) for kind, amount in wanted.items() if amount)
    return min(fits, study.resources.concurrency or fits)
