"""Lost workers: the cause, by what Ray says of it, and whether the trial runs again.

The driver learns from Ray that a worker is gone. If its machine is gone too, the trial is not to blame. If
memory was not enough, the trial runs again with the machine to itself. The search and the fits on the holdout
share these rules and texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from tuner.formatting import duration, size
from tuner.trials.outcomes import OUT_OF_MEMORY, TIMEOUT, Failure

__all__ = ["Cause", "Losses", "exclusive_failure", "failure_of", "may_retry", "why_lost"]

#: Number of lost workers, and of workers lost with their machines, after which a trial fails in one run.
MAX_DEATHS, MAX_LOST_MACHINES = 3, 10

#: Ray's text about a worker that its memory monitor has killed.
_KILLED_BY_RAY = "running low on memory"
#: Ray's texts about a worker that was lost with its machine, or because the machine cannot be reached.
_LOST_MACHINE = (
    "node has died",
    "node is dead",
    "node was terminated",
    "node died",
    "preempt",
    "is dead or unavailable",
    "raylet",
    "missing too many heartbeats",
    "health check",
)
#: The error in Ray's text about a worker that cannot import its modules. Paths in the stack above it contain
#: words of `_LOST_MACHINE`.
_CANNOT_IMPORT = re.compile(r"^.*\b(?:ModuleNotFoundError|ImportError): .*$", re.MULTILINE)
#: Ray's text about a worker that it cannot reach for a reason that it does not know yet.
_UNKNOWN = "is unavailable"


class Cause(Enum):
    """Why a worker was lost. The value is the text that the store has of the attempt."""

    WORKER = "its worker died"
    MACHINE = "its machine was lost"
    MEMORY = "its worker was killed for want of memory"
    TIMEOUT = "it took longer than training.timeout"
    IMPORT = "its worker could not import its modules"


@dataclass(frozen=True)
class Losses:
    """Number of workers that one trial lost in this run.

    Attributes
    ----------
    workers
        Workers that died by themselves, for whatever reason.
    machines
        Workers that were lost with their machines.
    """

    workers: int = 0
    machines: int = 0

    def plus(self, cause: Cause) -> Losses:
        """Return the numbers after one more loss."""
        if cause is Cause.MACHINE:
            return replace(self, machines=self.machines + 1)
        return replace(self, workers=self.workers + 1)


def why_lost(text: str, *, no_memory: bool, late: bool, is_reachable: Callable[[], bool]) -> Cause:
    """Return the cause of a loss.

    Parameters
    ----------
    text
        Ray's error text.
    no_memory
        Whether the kernel has killed processes on the machine since the attempt began.
    late
        Whether the attempt has run as long as it may.
    is_reachable
        Function that returns whether the machine still answers. It is called if the text leaves that open.
    """
    no_memory = no_memory or _KILLED_BY_RAY in text
    if not no_memory and _CANNOT_IMPORT.search(text):
        return Cause.IMPORT
    if not no_memory:
        if any(known in text for known in _LOST_MACHINE):
            return Cause.MACHINE
        if _UNKNOWN in text and not is_reachable():
            return Cause.MACHINE
    if late:
        return Cause.TIMEOUT
    return Cause.MEMORY if no_memory else Cause.WORKER


def may_retry(cause: Cause, losses: Losses) -> bool:
    """Whether a trial runs again after a loss for a cause that is not memory.

    Parameters
    ----------
    cause
        Cause of the last loss.
    losses
        All losses of the trial in this run, including the last one.
    """
    if cause is Cause.MACHINE:
        return losses.machines < MAX_LOST_MACHINES
    return cause in {Cause.WORKER, Cause.IMPORT} and losses.workers < MAX_DEATHS


def failure_of(cause: Cause, *, timeout: float | None = None, text: str = "") -> Failure:
    """Return the failure of a trial that does not run again after a loss.

    Parameters
    ----------
    cause
        Cause of the last loss.
    timeout
        The limit of `Cause.TIMEOUT`, in seconds.
    text
        Ray's error text.
    """
    if cause is Cause.TIMEOUT and timeout is not None:
        limit = duration(timeout)
        return Failure(f"took longer than training.timeout, {limit}; its log ends with where it was", TIMEOUT)
    if cause is Cause.MEMORY:
        return Failure(cause.value, OUT_OF_MEMORY)
    if cause is Cause.IMPORT:
        lines = _CANNOT_IMPORT.findall(text) or [cause.value]
        return Failure(
            f"its worker died {MAX_DEATHS} times, since it cannot import: {lines[-1].strip()}", "Import"
        )
    if cause is Cause.MACHINE:
        return Failure(f"its machines were lost {MAX_LOST_MACHINES} times", "MachineLost")
    return Failure(f"its worker died {MAX_DEATHS} times; out of memory is the usual reason", "WorkerDied")


def exclusive_failure(failure: Failure, estimate: int | None) -> Failure:
    """Return the failure of a trial that ran out of memory although it had the machine to itself.

    Parameters
    ----------
    failure
        The failure as it was reported, with the most memory that any attempt had.
    estimate
        Estimated memory of the trial's tensors in bytes, None if it is not known.
    """
    amounts = (
        ("estimated at", estimate),
        ("its process had", failure.peak_memory),
        ("its tensors on the GPU had", failure.peak_gpu_memory),
    )
    needs = ", ".join(f"{how} {size(amount)}" for how, amount in amounts if amount)
    alone = f"alone on the machine ({needs})" if needs else "alone on the machine"
    return replace(failure, cause=f"{failure.cause}; {alone}")
