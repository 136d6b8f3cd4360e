"""The schema of the store: every attribute that trials and studies carry, and how a record is read from them.

The keys are the same in all versions: a study that an older version began must be readable.
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
#: What a trial came to: one of the first three, its time, and the path of its log from the study's folder.
SUMMARY, FAILURE, STOP, SECONDS, LOG = "summary", "failure", "stop", "seconds", "log"
#: How often the trial was begun.
ATTEMPTS = "attempts"
#: Which driver has the trial, where several share a study.
DRIVER = "driver"
#: Where a paused trial is paused. Null once it has been resumed.
PAUSE_KEY = "resting"
#: Number of the trial that a duplicate repeats.
REPEATS = "repeats"
#: Origin (folder and trial) of an imported result, and of a configuration that a warm start queued.
WARM, HINT = "warm", "hint"
#: Prefix of an evaluation's key; fold and epoch follow.
EVALUATION_KEY = "evaluation:"
#: Prefix of the key of an attempt's resource usage; the attempt's number follows.
USAGE_KEY = "held:"
#: Prefix of the key that says where an attempt ran and what became of it; the attempt's number follows.
ATTEMPT_KEY = "attempt:"

# Attributes of a study.
#: What must stay the same while a study goes on, versions of packages, and a description for people.
FACTS, VERSIONS, DESCRIPTION = "facts", "versions", "description"

#: `Failure.kind` of a point that was refused.
INFEASIBLE = "Infeasible"

_STATUSES = {
    TrialState.COMPLETE: TrialStatus.COMPLETE,
    TrialState.PRUNED: TrialStatus.STOPPED,
    TrialState.FAIL: TrialStatus.FAILED,
    TrialState.RUNNING: TrialStatus.RUNNING,
    TrialState.WAITING: TrialStatus.QUEUED,
}


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return an Optuna trial of ours as a record."""
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
    """Return what is known of each attempt, oldest first; nothing of one that no worker took up."""
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
    """Return a trial's params; JSON has turned tuples into lists."""
    params = attributes.get("params", {})
    return {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}


def is_trial(trial: FrozenTrial) -> bool:
    """Whether an Optuna trial is a trial of the study: not refused, not a duplicate, not imported."""
    return status_of(trial).is_trained


def status_of(trial: FrozenTrial) -> TrialStatus:
    """Return the status that the store has for an Optuna trial.

    The store cannot tell RUNNING from INTERRUPTED: that depends on whether the trial's driver is alive. See
    `tuner.reporting.leaderboard`.
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
