"""Trials as the store has them: what all that people look at is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.space import Value
from tuner.trials.records import Attempt, Direction, Evaluation, Failure, Held, Rest, Stop, Summary

__all__ = [
    "ATTEMPT_KEY",
    "DRIVER",
    "EVALUATION_KEY",
    "HELD_KEY",
    "HINT",
    "INFEASIBLE",
    "NO_TRIALS",
    "REPEATS",
    "RESTING",
    "WARM",
    "StoredStudy",
    "TrialRecord",
    "further_objectives",
    "is_trial",
    "params_of",
    "record_of",
]

#: Kind of failure of a point that was refused.
INFEASIBLE = "Infeasible"
#: Attribute of a point that was tried before: the number of that trial.
REPEATS = "repeats"
#: Attribute of a running trial that rests: where. Null once it is taken up again.
RESTING = "resting"
#: Attributes of a result that an earlier study brought, and of a configuration that it made run first: from
#: which folder, and which trial.
WARM, HINT = "warm", "hint"
#: Begin of the attribute that holds an evaluation; fold and epoch follow.
EVALUATION_KEY = "evaluation:"
#: Begin of the attribute that holds what an attempt at a trial held of the machines; its number follows.
HELD_KEY = "held:"
#: Begin of the attribute that says where an attempt ran and what became of it; its number follows.
ATTEMPT_KEY = "attempt:"

#: Attribute that says which driver has a trial, where several share a study.
DRIVER = "driver"


#: States of points that are no trials.
NO_TRIALS = frozenset({"infeasible", "repeated", "warm"})

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the store has it.

    Attributes
    ----------
    number, state
        State is ``complete``, ``failed``, ``running``, ``resting``, ``waiting``, ``pruned``; or, for
        points that are no trials, ``infeasible`` if it was refused, ``repeated`` if it was tried before and
        ``warm`` if an earlier study brought it.
    name
        Of a baseline; None for a trial that the sampler chose.
    params
        Flat params.
    evaluations
        By fold, then epoch.
    summary
        None until the trial is complete.
    failure
        Of a failed trial.
    stop
        Of a pruned trial: where it was stopped, and why.
    rest
        Of a resting trial: where.
    seeds
        One per fold.
    log
        Path of its log, from the study's folder.
    seconds
        From its start to its end.
    held
        Of the machines, over all attempts; for a trial that runs, up to a minute ago.
    attempts
        At it, oldest first; more than one where it was cut off.
    started, ended
        Local time.
    driver
        Which of the drivers that share the study runs it, or ran it last; see
        `tuner.store.locking.drivers.Driver`.
    """

    number: int
    state: str
    name: str | None
    params: Mapping[str, Value]
    evaluations: tuple[Evaluation, ...] = ()
    summary: Summary | None = None
    failure: Failure | None = None
    stop: Stop | None = None
    rest: Rest | None = None
    seeds: tuple[int, ...] = ()
    log: str | None = None
    seconds: float | None = None
    held: Held = field(default_factory=Held)
    attempts: tuple[Attempt, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    driver: str | None = None

    @property
    def label(self) -> str:
        """The baseline's name, or the short name of the model."""
        return self.name or str(self.params.get("cls", "?")).rsplit(".", 1)[-1]


@dataclass(frozen=True)
class StoredStudy:
    """A study read from its folder.

    Attributes
    ----------
    name, direction
        Of the Optuna study.
    facts
        See `open_store`.
    versions
        Of the packages that it began with.
    records
        All trials, by number.
    attributes
        What else the store has of the study, as its final judgement.
    """

    name: str
    direction: Direction
    facts: Mapping[str, Any]
    versions: Mapping[str, str]
    records: list[TrialRecord] = field(default_factory=list)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> Mapping[str, Any]:
        """Facts of the data and folds, by `tuner.preparation.prepare`; empty if the study has none."""
        found: Mapping[str, Any] = self.attributes.get("description", {})
        return found


def further_objectives(facts: Mapping[str, Any]) -> Mapping[str, Direction]:
    """Return the objectives of a study beside the first, with their directions."""
    further: Mapping[str, Direction] = facts.get("further objectives", {})
    return further


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return an Optuna trial of ours as a record."""
    attributes = trial.user_attrs
    evaluations = [
        Evaluation.from_plain(value) for key, value in attributes.items() if key.startswith(EVALUATION_KEY)
    ]
    held = [Held(**value) for key, value in attributes.items() if key.startswith(HELD_KEY)]
    summary, failure, stop = (attributes.get(key) for key in ("summary", "failure", "stop"))
    state = _state(trial)
    return TrialRecord(
        number=trial.number,
        state=state,
        name=attributes.get("name"),
        params=params_of(attributes),
        evaluations=tuple(sorted(evaluations, key=lambda e: (e.fold, e.epoch))),
        summary=Summary.from_plain(summary) if summary else None,
        failure=Failure(**failure) if failure else None,
        stop=Stop.from_plain(stop) if stop else None,
        rest=Rest(**attributes[RESTING]) if state == "resting" else None,
        seeds=tuple(attributes.get("seeds", ())),
        log=attributes.get("log"),
        seconds=attributes.get("seconds"),
        held=sum(held, Held()),
        attempts=_attempts(attributes),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        driver=attributes.get(DRIVER) or None,
    )


def _attempts(attributes: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """Return what is known of each attempt, oldest first; nothing of one that no worker took up."""
    found = []
    for number in range(1, int(attributes.get("attempts", 0)) + 1):
        noted = attributes.get(f"{ATTEMPT_KEY}{number}")
        if noted is not None:
            attempt, held = Attempt(**noted), Held(**attributes.get(f"{HELD_KEY}{number}", {}))
            took, of = (held.cpu_seconds, attempt.cpus) if attempt.cpus else (held.gpu_seconds, attempt.gpus)
            found.append(replace(attempt, seconds=took / of if of else 0.0))
    return tuple(found)


def params_of(attributes: Mapping[str, Any]) -> dict[str, Value]:
    """Return a trial's params; JSON has turned tuples into lists."""
    params = attributes.get("params", {})
    return {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}


def is_trial(trial: FrozenTrial) -> bool:
    """Whether it is a trial: no point that was refused, was tried before, or is an earlier study's."""
    return _state(trial) not in NO_TRIALS


def _state(trial: FrozenTrial) -> str:
    if REPEATS in trial.user_attrs:
        return "repeated"
    if WARM in trial.user_attrs:
        return "warm"
    if trial.state == TrialState.RUNNING and trial.user_attrs.get(RESTING):
        return "resting"
    refused = trial.user_attrs.get("failure", {}).get("kind") == INFEASIBLE
    return "infeasible" if refused else STATES[trial.state]
