"""The messages between the driver and the workers.

The driver sends a worker a `Job`. The worker reports under the keys below. The values of a report are
records, because Ray Tune flattens dicts but leaves records as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.space import Value

__all__ = ["BEGAN", "DONE", "EVALUATION", "FAILED", "USERS", "Job", "Place"]

#: Keys of a report. BEGAN comes first, EVALUATION after each evaluation. USERS comes after each fold, if the
#: objective is a mean over users. DONE comes once, at the end of the attempt, together with the last USERS.
#: If the trial failed, FAILED comes too.
BEGAN, EVALUATION, USERS, DONE, FAILED = "began", "evaluation", "users", "done_in", "failure"


@dataclass(frozen=True)
class Job:
    """The description of an attempt that a worker gets: a trial, and which of its folds to evaluate.

    Attributes
    ----------
    number
        Trial number in the store.
    params
        Flat params of the model.
    seeds
        Seeds, one per fold.
    label
        Short text for people: the name of the baseline or of the model class.
    pauses_at
        Epochs of the first fold at which the trial may be paused. The worker saves a checkpoint at each.
    baseline
        Whether the trial is a baseline.
    folds
        Indices of the folds that this attempt evaluates, ascending; None for all folds.
    spent
        Seconds that earlier attempts of the trial took. They count for `training.timeout`.
    """

    number: int
    params: dict[str, Value]
    seeds: tuple[int, ...]
    label: str
    pauses_at: tuple[int, ...] = ()
    baseline: bool = False
    folds: tuple[int, ...] | None = None
    spent: float = 0.0


@dataclass(frozen=True)
class Place:
    """The machine and the process in which an attempt runs.

    Attributes
    ----------
    host
        Name of the machine.
    node
        Ray's id of the machine. A machine that was lost and returns gets a new id.
    pid
        Process id of the worker.
    """

    host: str
    node: str = ""
    pid: int = 0
