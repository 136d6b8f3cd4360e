"""Reads a stored study. Another process may write it at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from tuner.artifacts.layout import FETCHED, JOURNAL, LOCK
from tuner.errors import Problem, StoreError
from tuner.errors.caller import hint as hint_for
from tuner.store.database import open_database
from tuner.store.journal import read_journal
from tuner.store.location import store_exists, stored_at
from tuner.trials.schema import DESCRIPTION, FACTS, VERSIONS, exclusions, record_of
from tuner.trials.stored import StoredStudy

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["check_exists", "database_once", "read_points", "read_records"]


def read_records(folder: Path, *, curves: bool = True) -> StoredStudy:
    """Read a study. It may be running.

    Parameters
    ----------
    folder
        Folder of the study.
    curves
        Whether to read the evaluations of the trials. A long study is read faster without them. Then only
        `StoredStudy.curves` has the objective of each evaluation.

    Raises
    ------
    StoreError
        If the folder has no study.
    """
    check_exists(folder)
    name, storage = stored_at(folder)
    if storage is None:
        return _from_journal(folder, curves=curves)
    with database_once(storage, folder) as database:
        try:
            study = optuna.load_study(study_name=name, storage=database)
        except KeyError as error:
            raise StoreError(storage, [Problem("", f"must have the study {name!r}, but does not")]) from error
        trials, attributes = study.get_trials(deepcopy=False), study.user_attrs
        return _stored(study.study_name, study.directions[0], attributes, trials)


@contextmanager
def database_once(url: str, folder: Path) -> Iterator[RDBStorage]:
    """Open a storage to read it once; close its connections afterwards.

    Otherwise a program that reads again and again, such as `tuner watch`, uses up the server's connections.
    """
    storage = open_database(url, folder)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def read_points(folder: Path) -> dict[int, FrozenTrial]:
    """Read the points of a study's trials by number: Optuna's params with their distributions.

    The trials that this function returns may have no values; `read_records` reads those.
    """
    name, storage = stored_at(folder)
    if storage is None:
        studies = read_journal(folder / JOURNAL, curves=False, points=True)
        trials = studies[0].trials if studies else []
    else:
        with database_once(storage, folder) as database:
            trials = optuna.load_study(study_name=name, storage=database).get_trials(deepcopy=False)
    return {trial.number: trial for trial in trials}


def check_exists(folder: Path) -> None:
    """Refuse a folder without a study.

    Raises
    ------
    StoreError
        If the folder has no study.
    """
    if folder.is_file():
        hint = f"name {folder.parent}" if store_exists(folder.parent) else None
        raise StoreError(str(folder), [Problem("", "must be the folder of a study, but is a file", hint)])
    if store_exists(folder):
        return
    runs = hint_for(command="`tuner run STUDY.yaml`", python="run(study)")
    if any((folder / name).exists() for name in (LOCK, FETCHED)):
        rule = "must have trials, but its run has stored none yet"
        again = f"a run stores them once it has read the data: ask again, or, if none runs, run {runs} again"
        raise StoreError(str(folder), [Problem("", rule, again)])
    rule = f"must be the folder of a study, but it has no {JOURNAL}"
    raise StoreError(str(folder), [Problem("", rule, f"run {runs} first, or name its folder")])


def _from_journal(folder: Path, *, curves: bool) -> StoredStudy:
    studies = read_journal(folder / JOURNAL, curves=curves)
    if not studies:
        raise StoreError(str(folder), [Problem("", "must have a study, but its journal is empty")])
    study = studies[0]
    stored = _stored(study.name, study.directions[0], study.attributes, study.trials)
    return stored if curves else replace(stored, thin_curves=study.curves)


#: Attributes for which `StoredStudy` has a field of its own.
_OWN_FIELDS = {FACTS, VERSIONS, DESCRIPTION}


def _stored(
    name: str, direction: int, attributes: Mapping[str, Any], trials: Sequence[FrozenTrial]
) -> StoredStudy:
    excluded = exclusions(attributes)
    return StoredStudy(
        name=name,
        direction="maximize" if direction == StudyDirection.MAXIMIZE else "minimize",
        facts=attributes.get(FACTS, {}),
        versions=attributes.get(VERSIONS, {}),
        records=[record_of(trial, excluded) for trial in trials],
        description=attributes.get(DESCRIPTION, {}),
        attributes={key: value for key, value in attributes.items() if key not in _OWN_FIELDS},
    )
