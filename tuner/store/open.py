"""Opens the store of a study for writing: of a new study, a continued one, or one whose space has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from tuner.config import Sampler
from tuner.errors import Problem, StoreError
from tuner.sampling.samplers import make_sampler
from tuner.space import Space, Value
from tuner.store.database import open_database
from tuner.store.hints import start_anew
from tuner.store.journal import open_journal
from tuner.store.location import check_place
from tuner.store.locking.drivers import Hold
from tuner.store.space_migration import SPACE_FACT
from tuner.store.study_store import StudyStore
from tuner.trials.objective import Direction
from tuner.trials.package_versions import versions
from tuner.trials.schema import DRIVER, FACTS, VERSIONS
from tuner.trials.seeds import fold_seed
from tuner.trials.stored import as_now, further_objectives

__all__ = ["open_store"]

#: Keys of the study file of facts that have other names.
_KEYS = {
    "data settings": "data",
    "objective": "metrics.objective",
    "direction": "metrics.direction",
    "further objectives": "metrics.further_objectives",
    "constraints": "search.constraints",
    "epochs": "training.epochs",
    "precision": "training.precision",
    "fast": "training.fast",
    "evaluate users": "training.evaluate_users",
    "devices": "resources.devices",
    "seed": "search.seed",
}

#: The rule for facts, and that for the fingerprint of the data.
_SAME = "must stay as it was when the study began"
_SAME_DATA = (
    "must have the same interactions, features and items to recommend as when the study began, with the "
    "fingerprint"
)

Grow = Callable[[optuna.Study, Mapping[str, Any]], optuna.Study]


def open_store(
    folder: Path,
    *,
    name: str,
    direction: Direction,
    sampler: Sampler,
    seed: int,
    facts: Mapping[str, object],
    space: Space | None = None,
    storage: str | None = None,
    grow: Grow | None = None,
    hold: Hold | None = None,
    former: Mapping[str, object] | None = None,
) -> StudyStore:
    """Open the store of a study. If there is none, it is created.

    Parameters
    ----------
    folder
        Folder of the study.
    name, direction
        Name and direction of the Optuna study.
    sampler, seed
        The sampler and the seed. A continued study gets another seed, to suggest other points.
    facts, former
        Facts that must not change between runs of one study, such as the fingerprint of its data; and what
        earlier versions wrote for them, see `tuner.trials.stored.as_now`.
    space, storage
        The space that the sampler searches. URL of a database, None for a journal in the folder.
    grow
        Moves a study to another space; None refuses a changed space.
    hold
        The lock of the study, None if no other process can write it. Drivers that share it take turns.

    Raises
    ------
    StoreError
        If the study in the folder has other facts or another storage, or the storage cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = _open_storage(folder, storage, hold)
    directions = [direction, *further_objectives(facts).values()]
    study = optuna.create_study(storage=opened, study_name=name, directions=directions, load_if_exists=True)
    if study.user_attrs.get(FACTS) is None:
        study.set_user_attr(FACTS, dict(facts))
        study.set_user_attr(VERSIONS, versions())
    else:
        study = _with_its_facts(study, facts, folder, grow, hold, former=former or {})
    study.sampler = make_sampler(sampler, _sampler_seed(study, seed, hold), space)
    return StudyStore(study, seed, hold)


def _open_storage(folder: Path, storage: str | None, hold: Hold | None) -> optuna.storages.BaseStorage:
    check_place(folder, storage)
    if storage is None:
        return open_journal(folder)
    return open_database(storage, folder, None if hold is None else hold.check)


def _sampler_seed(study: optuna.Study, seed: int, hold: Hold | None) -> int:
    """Return a seed for the next trials of a study."""
    done = len(study.get_trials(deepcopy=False))
    # With the same seed, all drivers that share a study would suggest the same points.
    own: dict[str, Value] = {DRIVER: hold.driver.id} if hold is not None and hold.shared else {}
    return fold_seed(seed, own, done)


def _with_its_facts(
    study: optuna.Study,
    facts: Mapping[str, object],
    folder: Path,
    grow: Grow | None,
    hold: Hold | None,
    *,
    former: Mapping[str, object],
) -> optuna.Study:
    """Return a study that is continued, or the one that `grow` puts in its place; refuse other facts."""
    plain = json.loads(json.dumps(facts))
    known = as_now(study.user_attrs[FACTS], plain, former)
    differ = [key for key in {**known, **plain} if known.get(key) != plain.get(key)]
    refused = [key for key in differ if grow is None or not key.startswith(SPACE_FACT)]
    _refuse(folder, refused, known, plain)
    if not differ or grow is None:
        return study
    _refuse_beside_others(folder, differ, hold)
    return grow(study, plain)


def _refuse(folder: Path, keys: Sequence[str], known: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Refuse to continue a study if these facts have changed."""
    problems = [
        Problem(where, f"{_SAME_DATA if key == 'data' else _SAME}: {before!r}, but got {now!r}")
        for key in keys
        for where, before, now in _differences(_KEYS.get(key, key), known.get(key), plain.get(key))
    ]
    if problems:
        problems[-1] = Problem(problems[-1].where, problems[-1].rule, start_anew())
        raise StoreError(str(folder), problems)


def _differences(where: str, before: object, now: object) -> Iterator[tuple[str, object, object]]:
    """Yield what differs between two values: of two sections, the keys that do."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        yield where, before, now
        return
    for key in {**before, **now}:
        if before.get(key) != now.get(key):
            yield f"{where}.{key}", before.get(key), now.get(key)


def _refuse_beside_others(folder: Path, differ: Sequence[str], hold: Hold | None) -> None:
    """Refuse to change the space of a study while other drivers run it."""
    others = [one for one in hold.living() if one != hold.driver] if hold is not None else []
    if others:
        who = ", ".join(other.words for other in others)
        rule = f"must stay as it is while {who} runs the study, but {', '.join(differ)} would change"
        hint = "stop that run first, or run with the space of the study"
        raise StoreError(str(folder), [Problem("space", rule, hint)])
