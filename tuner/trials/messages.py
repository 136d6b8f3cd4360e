"""What passes between the search and the workers that run trials.

A worker gets a `Job` and reports under the keys below. The values are records, which Ray Tune leaves whole;
it would take dicts apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.space import Value

__all__ = ["BEGAN", "DONE", "EVALUATION", "FAILED", "USERS", "Job", "Place"]

#: Keys of a report. BEGAN comes first; EVALUATION many times; USERS after each fold, if the objective is a
#: mean over users; DONE once, at the end, with the last USERS, and FAILED if the trial failed.
BEGAN, EVALUATION, USERS, DONE, FAILED = "began", "evaluation", "users", "done_in", "failure"


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
    pauses_at: tuple[int, ...] = ()


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
