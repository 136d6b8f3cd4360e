"""The records that pass between processes, and the two judgements all others rest on.

What is better, and what a trial is worth, is decided here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tuner.space import Value

__all__ = [
    "BEGAN",
    "DONE",
    "EVALUATION",
    "FAILED",
    "OUT_OF_MEMORY",
    "RESTED",
    "TIMEOUT",
    "USERS",
    "Attempt",
    "Direction",
    "Evaluation",
    "Failure",
    "Held",
    "Job",
    "Place",
    "Rest",
    "Stop",
    "Summary",
    "Users",
    "fold_seed",
    "is_better",
    "summarise",
]

Direction = Literal["maximize", "minimize"]

#: Keys of a trial's reports to the search. Their values are records, which Tune leaves whole; it
#: would take dicts apart. BEGAN comes first; EVALUATION many times; USERS after each fold, if the objective
#: is a mean over users; DONE once, at the end, with the last USERS, and FAILED if it failed.
BEGAN, EVALUATION, USERS, DONE, FAILED = "began", "evaluation", "users", "done_in", "failure"


#: Why an attempt ended that goes on later.
RESTED = "rested"

#: Kinds of failure that are no error of the model's or the user's code.
OUT_OF_MEMORY, TIMEOUT = "oom", "timeout"


@dataclass(frozen=True)
class Job:
    """What a worker needs to know to run a trial.

    Attributes
    ----------
    number
        The trial's number in the store.
    params
        Flat params of its model.
    seeds
        One per fold.
    label
        Short text for people: the baseline's name, or the model's.
    rests_at
        Epochs of the first fold at which it may come to rest; its state is kept there.
    """

    number: int
    params: dict[str, Value]
    seeds: tuple[int, ...]
    label: str
    rests_at: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where an attempt at a trial runs.

    Attributes
    ----------
    host
        Name of the machine.
    node
        Ray's id of it; a machine that comes back has another one.
    pid
        Of the worker.
    """

    host: str
    node: str = ""
    pid: int = 0


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
        Why it did not come to an end of its own; empty if it did, or runs. A trial that rests has `RESTED`.
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
class Held:
    """What trials have held of the machines: wall time by the share that each had.

    Attributes
    ----------
    cpu_seconds, gpu_seconds
        Seconds of one CPU, and of one GPU.
    """

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Held) -> Held:
        return Held(self.cpu_seconds + other.cpu_seconds, self.gpu_seconds + other.gpu_seconds)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one fold at one epoch.

    Attributes
    ----------
    fold
        Index of the fold, oldest first, from 0.
    epoch
        Finished epochs of training; 0 for a model that is not trained by epochs.
    metrics
        Value by label, as ``NDCG@10``.
    train_loss
        Mean training loss of the epoch, if the model logs one.
    fit_seconds, evaluate_seconds
        Time since the fold's fit began, without and only of the evaluations.
    recommend_seconds
        Time of this evaluation's recommendations to all test users; None where that was not measured.
    n_parameters
        Trainable parameters; None where the notion does not apply.
    peak_memory, peak_gpu_memory
        The most bytes at once since the fold's fit began: of the worker process, and of tensors on its
        GPU; None where that was not measured.
    fast_paths
        Names of the fast paths that the fit took.
    precision
        Arithmetic of the fit: ``float32``, ``tf32`` or ``bf16``.
    learning_rate
        Of the first group of the optimizer's params at the end of the epoch; None without an optimizer.
    epoch_seconds
        Time of the epoch's training, without its evaluation; None for a model that is not trained by epochs.
    threads
        Of torch: sums depend on their number, so a trial that is run again needs as many. None where an
        earlier version did not record it.
    """

    fold: int
    epoch: int
    metrics: Mapping[str, float]
    train_loss: float | None = None
    fit_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    n_parameters: int | None = None
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    fast_paths: tuple[str, ...] = ()
    precision: str = "float32"
    recommend_seconds: float | None = None
    learning_rate: float | None = None
    epoch_seconds: float | None = None
    threads: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {**asdict(self), "fast_paths": list(self.fast_paths)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Evaluation:
        """Read what `to_plain` gave."""
        return cls(**{**plain, "fast_paths": tuple(plain.get("fast_paths", ()))})


@dataclass(frozen=True)
class Summary:
    """What a finished trial is worth.

    Attributes
    ----------
    epoch
        The epoch with the best mean objective, common to all folds; the one to export.
    mean, std
        Of the objective over folds at that epoch; the sample deviation, 0 for one fold.
    metrics
        Mean over folds of each metric at that epoch.
    folds
        Each metric at that epoch, fold by fold.
    epochs_run
        The most epochs that a fold was trained for.
    fit_seconds
        Over all folds, without evaluations.
    n_parameters, fast_paths, precision
        See `Evaluation`.
    peak_memory, peak_gpu_memory
        See `Evaluation`; of the fold that needed most.
    recommend_seconds
        See `Evaluation`; mean over folds, at `epoch`.
    """

    epoch: int
    mean: float
    std: float
    metrics: Mapping[str, float]
    folds: Sequence[Mapping[str, float]] = field(default_factory=tuple)
    epochs_run: int = 0
    fit_seconds: float = 0.0
    n_parameters: int | None = None
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    fast_paths: tuple[str, ...] = ()
    precision: str = "float32"
    recommend_seconds: float | None = None

    @property
    def unpadded(self) -> bool:
        """Whether its fits went without padding."""
        return is_unpadded(self.fast_paths)

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        folds = [dict(fold) for fold in self.folds]
        return {**asdict(self), "folds": folds, "fast_paths": list(self.fast_paths)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Summary:
        """Read what `to_plain` gave."""
        fast_paths = tuple(plain.get("fast_paths", ()))
        return cls(**{**plain, "folds": tuple(plain["folds"]), "fast_paths": fast_paths})


def is_unpadded(fast_paths: Iterable[str]) -> bool:
    """Whether a fit by these paths went without padding, whose random numbers are not RecTools'."""
    return "unpadded encoder" in fast_paths


@dataclass(frozen=True)
class Rest:
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


@dataclass(frozen=True)
class Users:
    """Per-user values of the objective in one fold.

    Attributes
    ----------
    fold
        Index of the fold.
    epochs
        At which it was evaluated.
    values
        Shape (n_epochs, n_users), users in the fold's order.
    """

    fold: int
    epochs: tuple[int, ...]
    values: NDArray[np.float32]

    def at(self, epoch: int) -> NDArray[np.float32]:
        """Return the values at an epoch; at the last one before it if the fold's training ended earlier."""
        index = max((i for i, known in enumerate(self.epochs) if known <= epoch), default=0)
        chosen: NDArray[np.float32] = self.values[index]
        return chosen


def is_better(value: float, other: float, direction: Direction) -> bool:
    """Whether `value` is strictly better than `other`."""
    return value > other if direction == "maximize" else value < other


def summarise(evaluations: Iterable[Evaluation], objective: str, direction: Direction) -> Summary:
    """Judge a trial by its evaluations.

    The epoch is the one with the best mean objective among those evaluated in every fold; of equal
    ones the earliest.

    Raises
    ------
    ValueError
        If no epoch was evaluated in every fold.
    """
    folds: dict[int, dict[int, Evaluation]] = {}
    for evaluation in evaluations:
        folds.setdefault(evaluation.fold, {})[evaluation.epoch] = evaluation
    common = sorted(set.intersection(*(set(by_epoch) for by_epoch in folds.values()))) if folds else []
    if not common:
        msg = "an epoch must be evaluated in every fold, but none was"
        raise ValueError(msg)
    ordered = [folds[index] for index in sorted(folds)]

    def mean_at(epoch: int, label: str) -> float:
        return fmean(by_epoch[epoch].metrics[label] for by_epoch in ordered)

    best = common[0]
    for epoch in common[1:]:
        if is_better(mean_at(epoch, objective), mean_at(best, objective), direction):
            best = epoch
    chosen = [by_epoch[best] for by_epoch in ordered]
    last = [by_epoch[max(by_epoch)] for by_epoch in ordered]
    values = [evaluation.metrics[objective] for evaluation in chosen]
    waits = [one.recommend_seconds for one in chosen if one.recommend_seconds is not None]
    return Summary(
        epoch=best,
        mean=fmean(values),
        std=stdev(values) if len(values) > 1 else 0.0,
        metrics={label: mean_at(best, label) for label in chosen[0].metrics},
        folds=tuple(dict(evaluation.metrics) for evaluation in chosen),
        epochs_run=max(evaluation.epoch for evaluation in last),
        fit_seconds=math.fsum(evaluation.fit_seconds for evaluation in last),
        n_parameters=chosen[0].n_parameters,
        peak_memory=_most(evaluation.peak_memory for evaluation in last),
        peak_gpu_memory=_most(evaluation.peak_gpu_memory for evaluation in last),
        fast_paths=chosen[0].fast_paths,
        precision=chosen[0].precision,
        recommend_seconds=fmean(waits) if waits else None,
    )


def _point(fold: int, epoch: int) -> str:
    return f"fold {fold + 1}" + (f", epoch {epoch}" if epoch else "")


def _most(amounts: Iterable[int | None]) -> int | None:
    return max((amount for amount in amounts if amount is not None), default=None)


def fold_seed(study_seed: int, params: Mapping[str, Value], fold: int) -> int:
    """Return the seed of one fold of one trial: a stable hash, equal for equal params on any machine.

    Returns
    -------
    int
        From 0 to 2**32 - 1, as NumPy's generator accepts.
    """
    text = json.dumps([study_seed, params, fold], sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
