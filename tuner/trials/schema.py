"""The schema of the store: the attributes of trials and studies, and how a record is read from them.

The keys are the same in all versions, so that every version can read a study that an older one began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.space import Value
from tuner.trials.outcomes import Attempt, Decision, DecisionKind, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.requests import Exclusion, Request
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = [
    "ATTEMPTS",
    "DESCRIPTION",
    "DRIVER",
    "FACTS",
    "FAILURE",
    "HINT",
    "INFEASIBLE",
    "LOG",
    "NAME",
    "PARAMS",
    "PAUSE_KEY",
    "REPEATS",
    "REQUEST",
    "SECONDS",
    "SEEDS",
    "STOP",
    "SUMMARY",
    "TRACKING_ID",
    "VERSIONS",
    "WARM",
    "answer_key",
    "attempt_key",
    "decision_key",
    "evaluation_key",
    "evaluation_prefix",
    "excluded_key",
    "exclusions",
    "holdout_fit_key",
    "holdout_look_key",
    "holdout_looks",
    "is_trial",
    "judgement_key",
    "judgements",
    "params_of",
    "pending_requests",
    "record_of",
    "request_key",
    "status_of",
    "usage_key",
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
#: Id of the request that added the trial.
REQUEST = "request"
# First parts of keys; the functions below add the rest.
_EVALUATION, _USAGE, _ATTEMPT, _DECISION = "evaluation:", "held:", "attempt:", "decision:"

# Attributes of a study.
#: Facts that must not change during a study, versions of packages, and a description for people.
FACTS, VERSIONS, DESCRIPTION = "facts", "versions", "description"
#: Id by which trackers tell the study from others.
TRACKING_ID = "tracking id"
# First parts of keys, as of a trial's.
_HOLDOUT_LOOK, _HOLDOUT_FIT, _JUDGEMENT = "final:look:", "final:fit:", "final:judged:"
#: Requests by id, the answers of drivers by the id of the request, and exclusions by trial number.
_REQUEST, _ANSWER, _EXCLUDED = "request:", "answer:", "excluded:"

#: `Failure.kind` of an infeasible point.
INFEASIBLE = "Infeasible"

_STATUSES = {
    TrialState.COMPLETE: TrialStatus.COMPLETE,
    TrialState.PRUNED: TrialStatus.STOPPED,
    TrialState.FAIL: TrialStatus.FAILED,
    TrialState.RUNNING: TrialStatus.RUNNING,
    TrialState.WAITING: TrialStatus.QUEUED,
}


def evaluation_key(fold: int, epoch: int) -> str:
    """Return the key of a trial's evaluation."""
    return f"{_EVALUATION}{fold}:{epoch}"


def evaluation_prefix() -> str:
    """Return how the keys of all evaluations begin."""
    return _EVALUATION


def usage_key(attempt: int) -> str:
    """Return the key of the resource usage of a trial's attempt, counted from 1."""
    return f"{_USAGE}{attempt}"


def attempt_key(attempt: int) -> str:
    """Return the key that says where a trial's attempt ran and how it ended, counted from 1."""
    return f"{_ATTEMPT}{attempt}"


def decision_key(rung: int, kind: str) -> str:
    """Return the key of a decision of halving on a trial: a `DecisionKind` at a rung."""
    return f"{_DECISION}{rung}:{kind}"


def holdout_look_key(number: int) -> str:
    """Return the key of a study's holdout look, counted from 1."""
    return f"{_HOLDOUT_LOOK}{number}"


def holdout_fit_key(number: int, seed: int) -> str:
    """Return the key of a fit for the final judgement: of a trial, with a seed."""
    return f"{_HOLDOUT_FIT}{number}:{seed}"


def judgement_key(look: int) -> str:
    """Return the key of the final judgement of a holdout look."""
    return f"{_JUDGEMENT}{look}"


def holdout_looks(attributes: Mapping[str, Any]) -> dict[int, Any]:
    """Return the holdout looks of a study by number, the first one first."""
    return _numbered(attributes, _HOLDOUT_LOOK)


def judgements(attributes: Mapping[str, Any]) -> dict[int, Any]:
    """Return the final judgements of a study by the number of their look, the first one first."""
    return _numbered(attributes, _JUDGEMENT)


def request_key(request: str) -> str:
    """Return the key of a request in a study, by its id."""
    return f"{_REQUEST}{request}"


def answer_key(request: str) -> str:
    """Return the key of the answer to a request, by the id of the request."""
    return f"{_ANSWER}{request}"


def excluded_key(number: int) -> str:
    """Return the key of the exclusion of a trial."""
    return f"{_EXCLUDED}{number}"


def pending_requests(attributes: Mapping[str, Any]) -> list[Request]:
    """Return the requests of a study that no driver has answered, the oldest first."""
    found = [
        Request.from_plain(key.removeprefix(_REQUEST), value)
        for key, value in attributes.items()
        if key.startswith(_REQUEST) and answer_key(key.removeprefix(_REQUEST)) not in attributes
    ]
    return sorted(found, key=lambda request: (request.at, request.id))


def exclusions(attributes: Mapping[str, Any]) -> dict[int, Exclusion]:
    """Return the exclusions of a study by trial number."""
    return {number: Exclusion(**value) for number, value in _numbered(attributes, _EXCLUDED).items()}


def _numbered(attributes: Mapping[str, Any], prefix: str) -> dict[int, Any]:
    numbers = sorted(int(key.removeprefix(prefix)) for key in attributes if key.startswith(prefix))
    return {number: attributes[f"{prefix}{number}"] for number in numbers}


def record_of(trial: FrozenTrial, excluded: Mapping[int, Exclusion] = MappingProxyType({})) -> TrialRecord:
    """Return the record of a trial from its Optuna trial, and from the exclusions of its study."""
    attributes = trial.user_attrs
    evaluations = [
        Evaluation.from_plain(value) for key, value in attributes.items() if key.startswith(_EVALUATION)
    ]
    usage = [Usage(**value) for key, value in attributes.items() if key.startswith(_USAGE)]
    summary, failure, stop = (attributes.get(key) for key in (SUMMARY, FAILURE, STOP))
    status = status_of(trial)
    return TrialRecord(
        number=trial.number,
        status=status,
        name=attributes.get(NAME),
        params=params_of(attributes),
        evaluations=tuple(sorted(evaluations, key=lambda e: (e.fold, e.epoch))),
        summary=Summary.from_plain(summary) if summary else None,
        failure=Failure(**failure) if failure else None,
        stop=Stop.from_plain(stop) if stop else None,
        pause=Pause(**attributes[PAUSE_KEY]) if status == TrialStatus.PAUSED else None,
        seeds=tuple(attributes.get(SEEDS, ())),
        log=attributes.get(LOG),
        seconds=attributes.get(SECONDS),
        usage=sum(usage, Usage()),
        attempts=_attempts(attributes),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        driver=attributes.get(DRIVER) or None,
        request=attributes.get(REQUEST),
        excluded=excluded.get(trial.number),
        decisions=_decisions(attributes),
    )


def _decisions(attributes: Mapping[str, Any]) -> tuple[Decision, ...]:
    """Return the decisions of halving on a trial, by rung, then as they may follow each other."""
    found = [Decision(**value) for key, value in attributes.items() if key.startswith(_DECISION)]
    kinds = [*DecisionKind]
    return tuple(sorted(found, key=lambda one: (one.rung, kinds.index(DecisionKind(one.kind)))))


def _attempts(attributes: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """Return the attempts that a worker began, oldest first, each with its duration."""
    found = []
    for number in range(1, int(attributes.get(ATTEMPTS, 0)) + 1):
        noted = attributes.get(attempt_key(number))
        if noted is not None:
            attempt = Attempt(**{**noted, "folds": tuple(noted.get("folds", ()))})
            usage = Usage(**attributes.get(usage_key(number), {}))
            took, of = (
                (usage.cpu_seconds, attempt.cpus) if attempt.cpus else (usage.gpu_seconds, attempt.gpus)
            )
            found.append(replace(attempt, seconds=took / of if of else 0.0))
    return tuple(found)


def params_of(attributes: Mapping[str, Any]) -> dict[str, Value]:
    """Return the flat params of a trial. JSON has no tuples, so lists are turned back into tuples."""
    params = attributes.get(PARAMS, {})
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
