"""Opens the store of a study to write in it: a new one, one that goes on, or one whose space has grown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from tuner.config import Sampler
from tuner.errors import Problem, StoreError
from tuner.sampling.samplers import make_sampler
from tuner.space import Value
from tuner.store.database import open_database
from tuner.store.journal import open_journal
from tuner.store.location import check_place
from tuner.store.locking.drivers import Hold
from tuner.store.package_versions import versions
from tuner.store.space_migration import SPACE_FACT
from tuner.store.study_store import StudyStore
from tuner.trials.objective import Direction
from tuner.trials.schema import DRIVER, FACTS, VERSIONS
from tuner.trials.seeds import fold_seed
from tuner.trials.stored import further_objectives

__all__ = ["open_store"]

Grow = Callable[[optuna.Study, Mapping[str, Any]], optuna.Study]


def open_store(
    folder: Path,
    *,
    name: str,
    direction: Direction,
    sampler: Sampler,
    seed: int,
    facts: Mapping[str, object],
    storage: str | None = None,
    grow: Grow | None = None,
    hold: Hold | None = None,
) -> StudyStore:
    """Open the store of a study, making it if there is none.

    Parameters
    ----------
    folder
        Of the study.
    name, direction
        Of the Optuna study.
    sampler, seed
        What chooses trials. The sampler of a study that goes on is seeded anew, or it would repeat itself.
    facts
        What must not change between runs of one study, such as the fingerprint of its data. The store itself
        reads ``further objectives`` and ``constraints``.
    storage
        URL of a database; None for a journal in the folder.
    grow
        Puts a study in which only the space is another in its place; None: it is refused.
    hold
        What this process has of the study; None: nobody else writes it. Where several share it, this is done
        in a turn.

    Raises
    ------
    StoreError
        If the folder holds a study with other facts, naming each difference, or in another storage; or if
        the storage cannot be used.
    """
    _quiet_optuna()
    check_place(folder, storage)
    check = None if hold is None else hold.check
    opened = open_journal(folder) if storage is None else open_database(storage, folder, check)
    directions = [direction, *further_objectives(facts).values()]
    study = optuna.create_study(storage=opened, study_name=name, directions=directions, load_if_exists=True)
    known = study.user_attrs.get(FACTS)
    if known is None:
        study.set_user_attr(FACTS, dict(facts))
        study.set_user_attr(VERSIONS, versions())
    else:
        plain = json.loads(json.dumps(facts))
        differ = [key for key in {**known, **plain} if known.get(key) != plain.get(key)]
        refused = [key for key in differ if grow is None or not key.startswith(SPACE_FACT)]
        _refuse(folder, refused, known, plain)
        if differ and grow is not None:
            _refuse_beside_others(folder, differ, hold)
            study = grow(study, plain)
    done = len(study.get_trials(deepcopy=False))
    # Drivers that share a study would all suggest the same from one seed.
    own: dict[str, Value] = {DRIVER: hold.driver.id} if hold is not None and hold.shared else {}
    study.sampler = make_sampler(sampler, fold_seed(seed, own, done))
    return StudyStore(study, seed, hold)


def _refuse(folder: Path, keys: Sequence[str], known: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Refuse to go on where these facts of a study are not what they were."""
    problems = [
        Problem(
            key,
            f"must stay as it was when the study began: {known.get(key)!r}, but got {plain.get(key)!r}",
        )
        for key in keys
    ]
    if problems:
        hint = "give the study another name to begin anew, or another --output"
        problems[-1] = Problem(problems[-1].where, problems[-1].rule, hint)
        raise StoreError(str(folder), problems)


def _refuse_beside_others(folder: Path, differ: Sequence[str], hold: Hold | None) -> None:
    """Refuse to change the space of a study while others run it."""
    others = [one for one in hold.living() if one != hold.driver] if hold is not None else []
    if others:
        who = ", ".join(other.words for other in others)
        rule = f"must stay as it is while {who} runs the study, but {', '.join(differ)} would change"
        hint = "end that first, or run with the space that it has"
        raise StoreError(str(folder), [Problem("space", rule, hint)])


def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
