"""Warm start: gives the trials of earlier studies to a new study, as results or as hints.

If an earlier study measured in the same way (same data, folds, objective and epochs), its trials are results.
The sampler receives the results that are in this study's space. They do not become trials of this study: they
do not use its budget, have no row on the leaderboard, and may be run again here.

If it measured in another way, its trials are hints: the best few configurations run first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial

from tuner.config import Study
from tuner.errors import Problem, StoreError, TrialError
from tuner.models.build import point_of
from tuner.space import Space, Value
from tuner.store import StudyStore, read_records
from tuner.store.space_migration import SPACE_FACT
from tuner.trials.objective import sort_key
from tuner.trials.records import Summary
from tuner.trials.schema import HINT, PARAMS, WARM
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, as_now

__all__ = ["Earlier", "EarlierTrial", "read_earlier", "warm_start"]

#: Number of hints from an earlier study.
HINTS = 5


@dataclass(frozen=True)
class EarlierTrial:
    """A complete trial of an earlier study, as a point of this study's space.

    Attributes
    ----------
    number
        Trial number in the earlier study.
    point
        Names of dimensions and their values.
    summary
        Results of the trial.
    """

    number: int
    point: dict[str, Value]
    summary: Summary


@dataclass(frozen=True)
class Earlier:
    """An earlier study for a warm start.

    Attributes
    ----------
    folder
        Folder with the results of the earlier study.
    differs
        Names of the facts that differ from this study. If it is empty, the trials are results.
    trials
        Complete trials in this study's space, best first.
    n_outside
        Number of complete trials outside this study's space.
    """

    folder: Path
    differs: tuple[str, ...]
    trials: tuple[EarlierTrial, ...]
    n_outside: int


def read_earlier(
    study: Study, space: Space, facts: Mapping[str, object], former: Mapping[str, object] | None = None
) -> list[Earlier]:
    """Read the earlier studies that a study names.

    Parameters
    ----------
    study, space
        The study and its space.
    facts
        Facts about how the study measures; see `open_store`.
    former
        Values that earlier versions wrote for the same facts.

    Raises
    ------
    StudyError
        If earlier studies cannot be read or have the other direction. The message has all of them.
    """
    found: list[Earlier] = []
    problems: list[Problem] = []
    for index, path in enumerate(study.search.warm_start):
        where = f"search.warm_start[{index}]"
        try:
            stored = read_records(Path(path))
        except StoreError as error:
            problems.extend(Problem(where, f"{path} {p.rule}", p.hint) for p in error.problems)
            continue
        if stored.direction == study.metrics.direction:
            found.append(_earlier(Path(path).resolve(), stored, study, space, facts, former=former or {}))
        else:
            rule = f"must {study.metrics.direction} its objective as this study does, but {path} does not"
            problems.append(Problem(where, rule, "values in the other direction cannot be used"))
    if problems:
        raise study.refusal(problems)
    return found


def _earlier(
    folder: Path,
    stored: StoredStudy,
    study: Study,
    space: Space,
    facts: Mapping[str, object],
    *,
    former: Mapping[str, object],
) -> Earlier:
    epochs = int(stored.facts.get("epochs", study.training.epochs))
    complete = [
        (record, record.summary)
        for record in stored.records
        if record.status == TrialStatus.COMPLETE and record.summary is not None and record.excluded is None
    ]
    complete.sort(key=lambda pair: sort_key(pair[1].mean, stored.direction))
    trials = []
    for record, summary in complete:
        point = None
        with suppress(TrialError):  # the user may have deleted a module
            point = point_of(record.params, space, epochs)
        if point is not None:
            trials.append(EarlierTrial(record.number, point, summary))
    plain = json.loads(json.dumps(facts))
    known = as_now(stored.facts, plain, former)
    differs = [
        key
        for key in {**plain, **known}
        if not key.startswith(SPACE_FACT) and key != "seed" and plain.get(key) != known.get(key)
    ]
    return Earlier(folder, tuple(differs), tuple(trials), len(complete) - len(trials))


def warm_start(store: StudyStore, earlier: Earlier, space: Space, budget: int) -> str:
    """Give a study the results of an earlier one, or queue the best configurations as hints.

    Trials that the study already received are left out.

    Parameters
    ----------
    store
        Store of the study.
    earlier
        The earlier study, from `read_earlier`.
    space
        Space of the study.
    budget
        Number of trials of the study. Hints are trials, so at most the remaining number is queued.

    Returns
    -------
    str
        A line about what was done.
    """
    known = {
        origin["trial"]
        for trial in store.study.get_trials(deepcopy=False)
        for origin in [trial.user_attrs.get(WARM) or trial.user_attrs.get(HINT)]
        if origin and origin["folder"] == str(earlier.folder)
    }
    source = f"warm start from {earlier.folder.name}"
    if not earlier.trials:
        return f"{source}: none of its {earlier.n_outside} complete trials is in this study's space"
    outside = f"; {earlier.n_outside} outside this space" if earlier.n_outside else ""
    if earlier.differs:
        n_hints = _queue(store, earlier, known, space, budget)
        differs = ", ".join(earlier.differs)
        how = f"it measured in another way ({differs}), so its best {n_hints} configurations run first"
    else:
        new = [trial for trial in earlier.trials if trial.number not in known]
        for trial in new:
            store.add_result(trial.point, space, trial.summary, origin=_origin(earlier, trial))
        how = f"the sampler received {len(earlier.trials)} results"
    return f"{source}: {how}{outside}"


def _queue(store: StudyStore, earlier: Earlier, known: set[int], space: Space, budget: int) -> int:
    """Queue the best configurations that no trial has; return the number of all its hints."""
    left = min(HINTS - len(known), budget - store.n_searched())
    taken = {_key(_point(trial)) for trial in store.study.get_trials(deepcopy=False)}
    fresh = [trial for trial in earlier.trials if _key(trial.point) not in taken]
    hints = fresh[: max(0, left)]
    for trial in hints:
        attributes = {PARAMS: space.decode(trial.point), HINT: _origin(earlier, trial)}
        store.study.enqueue_trial(dict(trial.point), user_attrs=attributes)
    return len(known) + len(hints)


def _origin(earlier: Earlier, trial: EarlierTrial) -> dict[str, object]:
    return {"folder": str(earlier.folder), "trial": trial.number}


def _point(trial: FrozenTrial) -> Mapping[str, Value]:
    """Return the point of a trial, or of a queued trial the point that it will have."""
    return trial.params or dict(trial.system_attrs.get("fixed_params", {}))


def _key(point: Mapping[str, Value]) -> str:
    return json.dumps(point, sort_keys=True)
