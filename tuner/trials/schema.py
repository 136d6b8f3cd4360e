"""The schema of the store: the attributes of trials and studies, and how a record is read from them.

The keys are the same in all versions, so that every version can read a study that an older one began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.space import Value
from tuner.trials.outcomes import Attempt, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = [
    "ATTEMPTS",
    "ATTEMPT_KEY",
    "DESCRIPTION",
    "DRIVER",
    "EVALUATION_KEY",
    "FACTS",
    "FAILURE",
    "HINT",
    "INFEASIBLE",
    "LOG",
    "NAME",
    "PARAMS",
    "PAUSE_KEY",
    "REPEATS",
    "SECONDS",
    "SEEDS",
    "STOP",
    "SUMMARY",
    "USAGE_KEY",
    "VERSIONS",
    "WARM",
    "is_trial",
    "params_of",
    "record_of",
    "status_of",
]

# Attributes of a trial.
#: Name of a baseline, flat params, and one seed per fold.
NAME, PARAMS, SEEDS = "name", "params", "seeds"
#: Outcome of a trial (one of the first three), its duration in seconds, and the path of its log, relative to
#: the study's folder.
SUMMARY, FAILURE, STOP, SECONDS, LOG = "summary", "failure", "stop", "seconds", "log"
#: Number of the trial's attempts.
ATTEMPTS = "attempts"
#: The driver that runs the trial, if several drivers share the study.
DRIVER = "driver"
#: The `Pause` of a paused trial; null once the trial was promoted or resumed.
PAUSE_KEY = "resting"
#: Number of the trial that a duplicate repeats.
REPEATS = "repeats"
#: Origin (folder and trial) of an imported result, and of a hint that a warm start queued.
WARM, HINT = "warm", "hint"
#: Prefix of an evaluation's key; fold and epoch follow.
EVALUATION_KEY = "evaluation:"
#: Prefix of the key of an attempt's resource usage; the attempt's number follows.
USAGE_KEY = "held:"
#: Prefix of the key of an `Attempt`; the attempt's number follows.
ATTEMPT_KEY = "attempt:"

# Attributes of a study.
#: Facts that must not change during a study, versions of packages, and a description for people.
FACTS, VERSIONS, DESCRIPTION = "facts", "versions", "description"

#: `Failure.kind` of an infeasible point.
INFEASIBLE = "Infeasible"

_STATUSES = {
    TrialState.COMPLETE: TrialStatus.COMPLETE,
    TrialState.PRUNED: TrialStatus.STOPPED,
    TrialState.FAIL: TrialStatus.FAILED,
    TrialState.RUNNING: TrialStatus.RUNNING,
    TrialState.WAITING: TrialStatus.QUEUED,
}


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return the record of a trial from its Optuna trial."""
    attributes = trial.user_attrs
    evaluations = [
        Evaluation.from_plain(value) for key, value in attributes.items() if key.startswith(EVALUATION_KEY)
    ]
    usage = [Usage(**value) for key, value in attributes.items() if key.startswith(USAGE_KEY)]
    summary, failure, stop = (attributes.get(key) for key in ("summary", "failure", "stop"))
    status = status_of(trial)
    return TrialRecord(
        number=trial.number,
        status=status,
        name=attributes.get("name"),
        params=params_of(attributes),
        evaluations=tuple(sorted(evaluations, key=lambda e: (e.fold, e.epoch))),
        summary=Summary.from_plain(summary) if summary else None,
        failure=Failure(**failure) if failure else None,
        stop=Stop.from_plain(stop) if stop else None,
        pause=Pause(**attributes[PAUSE_KEY]) if status == TrialStatus.PAUSED else None,
        seeds=tuple(attributes.get("seeds", ())),
        log=attributes.get("log"),
        seconds=attributes.get("seconds"),
        usage=sum(usage, Usage()),
        attempts=_attempts(attributes),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        driver=attributes.get(DRIVER) or None,
    )


def _attempts(attributes: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """Return the attempts that a worker began, oldest first, each with its duration."""
    found = []
    for number in range(1, int(attributes.get("attempts", 0)) + 1):
        noted = attributes.get(f"{ATTEMPT_KEY}{number}")
        if noted is not None:
            attempt, usage = Attempt(**noted), Usage(**attributes.get(f"{USAGE_KEY}{number}", {}))
            took, of = (
                (usage.cpu_seconds, attempt.cpus) if attempt.cpus else (usage.gpu_seconds, attempt.gpus)
            )
            found.append(replace(attempt, seconds=took / of if of else 0.0))
    return tuple(found)


def params_of(attributes: Mapping[str, Any]) -> dict[str, Value]:
    """Return the flat params of a trial. JSON has no tuples, so lists are turned back into tuples."""
    params = attributes.get("params", {})
    return {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}


def is_trial(trial: FrozenTrial) -> bool:
    """Whether an Optuna trial is a trial of the study: not refused, not a duplicate, not imported."""
    return status_of(trial).is_trained


def status_of(trial: FrozenTrial) -> TrialStatus:
    """Return the status of an Optuna trial, as far as the store knows it.

    The store cannot distinguish RUNNING from INTERRUPTED: that depends on whether the trial's driver is
    alive. See `tuner.reporting.leaderboard`.
    """
    if REPEATS in trial.user_attrs:
        return TrialStatus.DUPLICATE
    if WARM in trial.user_attrs:
        return TrialStatus.IMPORTED
    if trial.state == TrialState.RUNNING and trial.user_attrs.get(PAUSE_KEY):
        return TrialStatus.PAUSED
    if trial.user_attrs.get(FAILURE, {}).get("kind") == INFEASIBLE:
        return TrialStatus.INFEASIBLE
    return _STATUSES[trial.state]
