"""Moves a study to another space, with all its trials.

Optuna does not allow the choices of a dimension to change. So the trials are copied into a new study, and the
old study is kept as a backup. In the copy, each trial is the point of the new space that its params give. The
new study replaces the old one in one step: a file is renamed, or a transaction is committed. If the process
is killed before that step, the old study is unchanged, and the next attempt deletes the incomplete copy.

A trial whose params are outside the new space stays on the leaderboard, but samplers do not learn from it. So
a space may also become smaller. The notes that samplers add to trials are not copied, because they belong to
the old dimensions. TPE and GP do not need them; evolutionary samplers (NSGA, CMA-ES) begin again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.artifacts import layout
from tuner.errors import TrialError
from tuner.space import Int, Space, Value, short_name
from tuner.store.database import open_database
from tuner.store.journal import hold_journal, open_journal
from tuner.trials.schema import FACTS, is_trial, params_of

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["SPACE_FACT", "Growth"]

#: First part of the names of the facts that describe the space, one for each param.
SPACE_FACT = "space "
#: First parts of system attributes that are copied, because they are not notes of a sampler.
_COPIED = ("constraints", "fixed_params")
#: Name of the folder of an incomplete copy beside a journal, or the end of its study name in a database.
_UNFINISHED = "growing"


@dataclass(frozen=True)
class Growth:
    """Moves a study to another space.

    Attributes
    ----------
    folder, storage
        Folder of the study, and URL of its database (None for a journal).
    space
        The new space.
    point_of
        Function from flat params to a point of the new space. It returns None or raises `TrialError` if they
        are outside.
    say
        Function that shows a line about the change.
    check
        See `tuner.store.database.open_database`.
    """

    folder: Path
    storage: str | None
    space: Space
    point_of: Callable[[Mapping[str, Value]], Mapping[str, Value] | None]
    say: Callable[[str], None]
    check: Callable[[], None] | None = None

    def __call__(self, old: optuna.Study, facts: Mapping[str, Any]) -> optuna.Study:
        """Replace a study with a copy in the new space. All trials keep their numbers. Return the copy.

        Parameters
        ----------
        old
            The study. This process must hold its lock.
        facts
            Facts of the study with the new space; see `open_store`.
        """
        before = old.get_trials(deepcopy=False)
        changes = ", ".join(_changes(old.user_attrs[FACTS], facts, before, self.space))
        after = [self._moved(trial) for trial in before]
        if self.storage is None:
            new, backup = _replace_journal(old, self.folder, facts, after)
        else:
            new, backup = _replace_in_database(
                old, open_database(self.storage, self.folder, self.check), facts, after
            )
        left = sum(_has_point(one) and not _has_point(same) for one, same in zip(before, after, strict=True))
        outside = f", {left} of them are now outside the space" if left else ""
        self.say(
            f"space: {changes or 'other conditions'}; {sum(map(is_trial, before))} trials are kept{outside}; "
            f"backup of the study: {backup}"
        )
        return new

    def _moved(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial with its point in the new space.

        A trial that was interrupted before its params were written was never run. It gets a new suggestion.
        """
        params = params_of(trial.user_attrs)
        point: dict[str, Value] = {}
        if params:
            with suppress(TrialError):
                point = dict(self.point_of(params) or {})
        noted = {key: value for key, value in trial.system_attrs.items() if key.startswith(_COPIED)}
        if "fixed_params" in noted:
            noted["fixed_params"] = point
        begun: dict[str, Any] = {} if trial.state == TrialState.WAITING else point
        return FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=trial.state,
            value=None,
            values=trial.values,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params=begun,
            distributions=self.space.distributions(begun) if begun else {},
            user_attrs=trial.user_attrs,
            system_attrs=noted,
            intermediate_values=trial.intermediate_values,
        )


def _replace_journal(
    old: optuna.Study, folder: Path, facts: Mapping[str, Any], trials: Sequence[FrozenTrial]
) -> tuple[optuna.Study, str]:
    """Replace the journal with a new one; return its study, and the name of the backup."""
    journal, unfinished = folder / layout.JOURNAL, layout.new_journal_folder(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    with hold_journal(journal):  # a request that another process writes now comes after the change
        _copy(old, old.study_name, open_journal(unfinished), facts, trials)
        backup = layout.free_backup(folder)
        with journal.open("rb") as source, (unfinished / backup.name).open("wb") as copied:
            shutil.copyfileobj(source, copied)
            copied.flush()
            os.fsync(copied.fileno())
        (unfinished / backup.name).replace(backup)
        (unfinished / layout.JOURNAL).replace(journal)
    shutil.rmtree(unfinished)
    return optuna.load_study(study_name=old.study_name, storage=open_journal(folder)), backup.name


def _replace_in_database(
    old: optuna.Study, database: RDBStorage, facts: Mapping[str, Any], trials: Sequence[FrozenTrial]
) -> tuple[optuna.Study, str]:
    """Make a new study under the name of the old one; return it, and the new name of the old one as text.

    The names that this function makes contain a space. Names from users cannot, so they do not conflict.
    """
    name, unfinished = old.study_name, f"{old.study_name} {_UNFINISHED}"
    known = optuna.get_all_study_names(database)
    if unfinished in known:
        optuna.delete_study(study_name=unfinished, storage=database)
    _copy(old, unfinished, database, facts, trials)
    backup = next(free for number in count(1) if (free := f"{name} {number}") not in known)
    _rename(database, {name: backup, unfinished: name})
    new = optuna.load_study(study_name=name, storage=database)
    before, after = optuna.load_study(study_name=backup, storage=database).user_attrs, new.user_attrs
    for key in before.keys() - after.keys():  # requests that another process has written since the copy
        new.set_user_attr(key, before[key])
    return new, f"study {backup!r}"


def _copy(
    old: optuna.Study,
    name: str,
    storage: JournalStorage | RDBStorage,
    facts: Mapping[str, Any],
    trials: Sequence[FrozenTrial],
) -> None:
    """Make a study with the attributes of another one, but with other facts and these trials."""
    new = optuna.create_study(storage=storage, study_name=name, directions=old.directions)
    for key, value in {**old.user_attrs, FACTS: dict(facts)}.items():
        new.set_user_attr(key, value)
    new.add_trials(trials)


def _rename(database: RDBStorage, names: Mapping[str, str]) -> None:
    """Rename studies in order, in one transaction. Optuna cannot do this; the name is in a single column."""
    from sqlalchemy import text  # noqa: PLC0415  # most studies have a journal

    statement = text("UPDATE studies SET study_name = :after WHERE study_name = :before")
    with database.engine.begin() as connection:
        for before, after in names.items():
            connection.execute(statement, {"before": before, "after": after})


def _has_point(trial: FrozenTrial) -> bool:
    """Return whether a trial with params is a point of its study's space, or will be one when it starts."""
    return bool(params_of(trial.user_attrs) and (trial.params or trial.system_attrs.get("fixed_params")))


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], trials: Sequence[FrozenTrial], space: Space
) -> Iterator[str]:
    """Yield a text for each param that has changed. For a choice it compares only the options."""
    old = {name: domain for trial in trials for name, domain in trial.distributions.items()}
    new = {parameter.name: parameter.domain for parameter in space.parameters}
    for fact in {**before, **after}:
        name = fact.removeprefix(SPACE_FACT)
        if fact not in before:
            yield f"{name} is new"
        elif fact not in after:
            yield f"{name} is removed"
        elif before[fact] != after[fact]:
            domain = new[name]
            reference = isinstance(domain, Int) and domain.reference is not None
            yield from _change(name, old.get(name), None if reference else domain.distribution())


def _change(name: str, old: BaseDistribution | None, new: BaseDistribution | None) -> Iterator[str]:
    numbers = (IntDistribution, FloatDistribution)
    if isinstance(old, CategoricalDistribution) and isinstance(new, CategoricalDistribution):
        gained = [short_name(choice) for choice in new.choices if choice not in old.choices]
        lost = [short_name(choice) for choice in old.choices if choice not in new.choices]
        changes = {"gains": gained, "loses": lost}
        yield from (f"{name} {verb} {', '.join(choices)}" for verb, choices in changes.items() if choices)
    elif isinstance(old, numbers) and isinstance(new, numbers) and (old.low, old.high) != (new.low, new.high):
        yield f"{name} from {old.low:g}..{old.high:g} to {new.low:g}..{new.high:g}"
    elif old is None or old != new:
        yield f"{name} has changed"
