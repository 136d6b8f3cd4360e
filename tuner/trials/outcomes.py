"""What becomes of a trial and of each attempt at it: pause, stop, failure, resource usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["OUT_OF_MEMORY", "PAUSED", "TIMEOUT", "Attempt", "Failure", "Pause", "Stop", "Usage"]

#: Why an attempt ended, where the trial was paused. The value is what the store has.
PAUSED = "rested"

#: Kinds of failure that are no error of the model or of user code.
OUT_OF_MEMORY, TIMEOUT = "oom", "timeout"


@dataclass(frozen=True)
class Attempt:
    """One attempt at a trial, as far as it is known; its number is its place among them, from 1.

    Attributes
    ----------
    host
        Where it ran; empty if it never began.
    pid
        Of the worker.
    began
        Seconds since 1970.
    cpus, gpus
        That it held.
    lost
        Why it did not come to an end of its own; empty if it did, or runs. A trial that rests has `PAUSED`.
    by_machine
        Whether that was the machine's fault: it died, was taken away, or its network was cut.
    seconds
        That it took; for one that runs or was cut off, up to a minute less.
    """

    host: str = ""
    pid: int = 0
    began: float = 0.0
    cpus: float = 0.0
    gpus: float = 0.0
    lost: str = ""
    by_machine: bool = False
    seconds: float = 0.0

    @property
    def worker(self) -> str:
        """The worker's name for people."""
        return f"{self.host}, process {self.pid}"


@dataclass(frozen=True)
class Failure:
    """Why a trial failed.

    Attributes
    ----------
    cause
        One line for people.
    kind
        Class of the root cause, ``oom`` or ``timeout``; failures of one kind are told as one.
    peak_memory, peak_gpu_memory
        For want of memory: the most bytes at once up to the failure; see `Evaluation`.
    """

    cause: str
    kind: str
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None


@dataclass(frozen=True)
class Usage:
    """What trials have held of the machines: wall time by the share that each had.

    Attributes
    ----------
    cpu_seconds, gpu_seconds
        Seconds of one CPU, and of one GPU.
    """

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.gpu_seconds + other.gpu_seconds)


@dataclass(frozen=True)
class Pause:
    """Where a trial rests: it may be taken up again, and goes on from there.

    Attributes
    ----------
    fold, epoch
        The point: index of the fold, and finished epochs in it.
    rung
        At which it was not among the best.
    seconds
        That it has taken so far, over all attempts.
    """

    fold: int
    epoch: int
    rung: int
    seconds: float = 0.0

    @property
    def where(self) -> str:
        """The point, for people."""
        return _point(self.fold, self.epoch)


@dataclass(frozen=True)
class Stop:
    """Why and where a trial was stopped.

    Attributes
    ----------
    rule
        ``halving`` or ``race``.
    fold, epoch
        The point: index of the fold, and finished epochs in it.
    evidence
        What the rule saw, by name.
    """

    rule: str
    fold: int
    epoch: int
    evidence: Mapping[str, float]

    @property
    def where(self) -> str:
        """The point, for people."""
        return _point(self.fold, self.epoch)

    @property
    def why(self) -> str:
        """The evidence, for people."""
        seen = self.evidence
        if self.rule == "halving":
            return (
                f"{seen['value']:.4f} is place {seen['place']:.0f} of {seen['n_trials']:.0f} trials at epoch "
                f"{seen['rung']:.0f}, of which the best {seen['kept']:.0f} go on"
            )
        return (
            f"{seen['difference']:+.4f} against trial {seen['incumbent']:.0f} on the same "
            f"{seen['n_users']:,.0f} users, within {seen['low']:+.4f} to {seen['high']:+.4f}"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {**asdict(self), "evidence": dict(self.evidence)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Stop:
        """Read what `to_plain` gave."""
        return cls(**plain)


def _point(fold: int, epoch: int) -> str:
    return f"fold {fold + 1}" + (f", epoch {epoch}" if epoch else "")
