"""The outcomes of a trial and of its attempts: pause, stop, failure, resource usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

__all__ = [
    "OUT_OF_MEMORY",
    "PAUSED",
    "TIMEOUT",
    "Attempt",
    "Decision",
    "DecisionKind",
    "Failure",
    "Pause",
    "Stop",
    "Usage",
]

#: `Attempt.lost` of an attempt that ended because the trial was paused. The store has this value.
PAUSED = "rested"

#: Kinds of failure that are not an exception of the model or of user code.
OUT_OF_MEMORY, TIMEOUT = "oom", "timeout"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a trial. A trial's attempts are numbered from 1, oldest first.

    Attributes
    ----------
    host
        Name of the machine; empty if the attempt never began.
    pid
        Process id of the worker.
    began
        Start, in seconds since 1970.
    cpus, gpus
        CPUs and GPUs that were reserved for the attempt.
    lost
        Why the attempt ended before the trial; `PAUSED` if the trial was paused. Empty if the attempt still
        runs, or ended together with the trial.
    by_machine
        Whether the machine was the reason: it died, was removed, or lost its network.
    seconds
        Duration. For an attempt that runs or was interrupted, it may be up to a minute too short.
    folds
        Indices of the folds that the attempt was to evaluate; empty in records of older versions, whose
        attempts evaluated all folds.
    """

    host: str = ""
    pid: int = 0
    began: float = 0.0
    cpus: float = 0.0
    gpus: float = 0.0
    lost: str = ""
    by_machine: bool = False
    seconds: float = 0.0
    folds: tuple[int, ...] = ()

    def covers(self, fold: int) -> bool:
        """Whether the attempt was to evaluate a fold."""
        return not self.folds or fold in self.folds

    def repeats(self, other: Attempt) -> bool:
        """Whether both attempts were to evaluate the same fold."""
        return not self.folds or any(other.covers(fold) for fold in self.folds)

    @property
    def worker(self) -> str:
        """Machine and process of the worker, as text for people."""
        return f"{self.host}, process {self.pid}"


@dataclass(frozen=True)
class Failure:
    """Why a trial failed.

    Attributes
    ----------
    cause
        One line for people.
    kind
        ``oom``, ``timeout`` or the name of the root cause's class. Messages group failures by kind.
    peak_memory, peak_gpu_memory
        If memory was not enough: the most bytes in use at once before the failure; see `Evaluation`.
    """

    cause: str
    kind: str
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None


@dataclass(frozen=True)
class Usage:
    """Resource usage: the wall time of trials, multiplied by the CPUs and GPUs reserved for them.

    Attributes
    ----------
    cpu_seconds, gpu_seconds
        CPU seconds and GPU seconds. A trial that had two CPUs for 3 s used 6 CPU seconds.
    """

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, self.gpu_seconds + other.gpu_seconds)


@dataclass(frozen=True)
class Pause:
    """The point at which a trial is paused. When the trial is promoted or resumed, it continues from there.

    Attributes
    ----------
    fold, epoch
        Index of the fold, from 0, and number of finished epochs in it.
    rung
        The rung, in epochs, at which the trial was not among the best.
    seconds
        Duration of the trial so far, over all attempts.
    """

    fold: int
    epoch: int
    rung: int
    seconds: float = 0.0

    @property
    def where(self) -> str:
        """Fold and epoch, as text for people."""
        return _point(self.fold, self.epoch)


class DecisionKind(str, Enum):
    """What halving decided on a trial at a rung, in the order in which it may happen.

    The store has the values.
    """

    PAUSED = "paused"
    PROMOTED = "promoted"
    RESUMED = "resumed"
    LEADER = "leader"


@dataclass(frozen=True)
class Decision:
    """A decision of halving on a trial at a rung, with the numbers on which it was made.

    Attributes
    ----------
    kind
        A `DecisionKind`.
    rung
        The rung, in epochs.
    value
        Best objective of the trial up to the rung.
    place, n_trials
        Place of the trial among all trials that had reached the rung, from 1, and their number.
    kept
        Number of trials that could continue from the rung, by the rule that decided.
    """

    kind: str
    rung: int
    value: float
    place: int
    n_trials: int
    kept: int

    @property
    def why(self) -> str:
        """The numbers, as text for people."""
        of = "trial" if self.n_trials == 1 else "trials"
        which = f", of which the best {self.kept} could continue"
        held = "; trials are held there until more have come"
        place = f"place {self.place} of {self.n_trials} {of} at epoch {self.rung}"
        return f"{self.value:.4f} was {place}{which if self.kept else held}"


@dataclass(frozen=True)
class Stop:
    """Why and where a trial was stopped early.

    Attributes
    ----------
    rule
        ``halving``, ``race``, or ``request`` if a person asked for it.
    fold, epoch
        Index of the fold, from 0, and number of finished epochs in it.
    evidence
        The numbers on which the rule decided, by name.
    """

    rule: str
    fold: int
    epoch: int
    evidence: Mapping[str, float]

    @property
    def where(self) -> str:
        """Fold and epoch, as text for people."""
        return _point(self.fold, self.epoch)

    @property
    def why(self) -> str:
        """The evidence, as text for people."""
        seen = self.evidence
        if self.rule == "request":
            return "a person asked for it"
        if self.rule == "halving":
            place = f"place {seen['place']:.0f} of {seen['n_trials']:.0f} trials at epoch {seen['rung']:.0f}"
            which = f"of which the best {seen['kept']:.0f} continue"
            late = "where it was paused when the search ended"  # by its target or a plateau
            return f"{seen['value']:.4f} is {place}, {which if seen['place'] > seen['kept'] else late}"
        return (
            f"{seen['difference']:+.4f} against trial {seen['incumbent']:.0f} on the same "
            f"{seen['n_users']:,.0f} users, within {seen['low']:+.4f} to {seen['high']:+.4f}"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        return {**asdict(self), "evidence": dict(self.evidence)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Stop:
        """Read a record that `to_plain` returned."""
        return cls(**plain)


def _point(fold: int, epoch: int) -> str:
    return f"fold {fold + 1}" + (f", epoch {epoch}" if epoch else "")
