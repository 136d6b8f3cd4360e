"""A study whose space has changed goes on with all its trials.

Optuna fixes the choices of a dimension when a study begins, so the trials are copied into a new study, each as
the point of the new space that its params are. The old study is kept. The new one takes its place in one step,
a file renamed or a transaction committed: until then nothing has changed, and what dies before leaves a half
copy that the next attempt throws away.

A trial whose params lie outside the new space stays on the leaderboard, and no sampler learns from it; so a
space may also become smaller. What samplers note of trials for themselves is left behind: it speaks of the old
dimensions. TPE and GP need none of it, evolution (NSGA, CMA-ES) begins anew.
"""

from __future__ import annotations

import os
import shutil
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
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

from tuner.database import open_database
from tuner.errors import TrialError
from tuner.journal import JOURNAL, open_journal
from tuner.records import is_trial, params_of
from tuner.space import Space, Value, short_name

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["SPACE_FACT", "Growth"]

#: How the facts of a study begin that tell its space; those of one param each.
SPACE_FACT = "space "
#: System attributes that are no sampler's own notes.
_KEPT = ("constraints", "fixed_params")
#: Folder beside a journal, or end of a study's name in a database, where a copy is made.
_UNFINISHED = "growing"


@dataclass(frozen=True)
class Growth:
    """How a study is to go on in another space.

    Attributes
    ----------
    folder, storage
        Of the study; the URL of its database, None for a journal.
    space
        The new one.
    point_of
        From flat params to a point of it, None if they lie outside. It may raise `TrialError`: then they do.
    say
        Is told in a line what was done.
    """

    folder: Path
    storage: str | None
    space: Space
    point_of: Callable[[Mapping[str, Value]], Mapping[str, Value] | None]
    say: Callable[[str], None]

    def __call__(self, old: optuna.Study, facts: Mapping[str, Any]) -> optuna.Study:
        """Put a copy of a study in its place, with all trials under their numbers, and return it.

        Parameters
        ----------
        old
            The study, which this process holds.
        facts
            See `open_store`; of the new space.
        """
        trials = old.get_trials(deepcopy=False)
        moved = [self._moved(trial) for trial in trials]
        if self.storage is None:
            new, kept = self._in_journal(old, facts, moved)
        else:
            new, kept = self._in_database(old, facts, moved)
        changes = (
            ", ".join(_changes(old.user_attrs["facts"], facts, trials, self.space)) or "other conditions"
        )
        n_trials = sum(map(is_trial, trials))
        lost = sum(
            bool(_point(before)) > bool(_point(after)) for before, after in zip(trials, moved, strict=True)
        )
        outside = f", {lost} of them now outside the space" if lost else ""
        self.say(
            f"space: {changes}; went on with {n_trials} trials{outside}; the study before that is {kept}"
        )
        return new

    def _moved(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial as the new space has it.

        One that was cut off before its params were written has never been run, and is suggested anew.
        """
        params = params_of(trial.user_attrs)
        point: Mapping[str, Value] | None = None
        if params:
            with suppress(TrialError):
                point = self.point_of(params)
        noted = {key: value for key, value in trial.system_attrs.items() if key.startswith(_KEPT)}
        if "fixed_params" in noted:
            noted["fixed_params"] = dict(point or {})
        begun = {} if point is None or trial.state == TrialState.WAITING else dict(point)
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

    def _in_journal(
        self, old: optuna.Study, facts: Mapping[str, Any], trials: list[FrozenTrial]
    ) -> tuple[optuna.Study, str]:
        journal, unfinished = self.folder / JOURNAL, self.folder / f".{_UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        _copy(old, old.study_name, open_journal(unfinished), facts, trials)
        backup = next(path for path in map(self._backup, count(1)) if not path.exists())
        with journal.open("rb") as source, (unfinished / backup.name).open("wb") as copied:
            shutil.copyfileobj(source, copied)
            copied.flush()
            os.fsync(copied.fileno())
        (unfinished / backup.name).replace(backup)
        (unfinished / JOURNAL).replace(journal)
        shutil.rmtree(unfinished)
        return optuna.load_study(study_name=old.study_name, storage=open_journal(self.folder)), backup.name

    def _backup(self, number: int) -> Path:
        return self.folder / f"{Path(JOURNAL).stem}.{number}{Path(JOURNAL).suffix}"

    def _in_database(
        self, old: optuna.Study, facts: Mapping[str, Any], trials: list[FrozenTrial]
    ) -> tuple[optuna.Study, str]:
        assert self.storage is not None, "a journal is another case"
        name = old.study_name
        unfinished = f"{name} {_UNFINISHED}"  # a study's own name has no space
        database = open_database(self.storage, self.folder)
        known = set(optuna.get_all_study_names(database))
        if unfinished in known:
            optuna.delete_study(study_name=unfinished, storage=database)
        _copy(old, unfinished, database, facts, trials)
        backup = next(backup for n in count(1) if (backup := f"{name} {n}") not in known)
        _rename(database, {name: backup, unfinished: name})
        fresh = open_database(self.storage, self.folder)
        return optuna.load_study(study_name=name, storage=fresh), f"the study {backup!r} of the database"


def _copy(
    old: optuna.Study,
    name: str,
    storage: JournalStorage | RDBStorage,
    facts: Mapping[str, Any],
    trials: list[FrozenTrial],
) -> None:
    """Make a study with the attributes of another one, other facts, and these trials."""
    new = optuna.create_study(storage=storage, study_name=name, directions=old.directions)
    for key, value in {**old.user_attrs, "facts": dict(facts)}.items():
        new.set_user_attr(key, value)
    new.add_trials(trials)


def _rename(database: RDBStorage, names: Mapping[str, str]) -> None:
    """Rename studies at once, in order. Optuna has no way to; the name stands in one column of its tables."""
    from sqlalchemy import text  # noqa: PLC0415  # most studies have a journal

    with database.engine.begin() as connection:
        for before, after in names.items():
            connection.execute(
                text("UPDATE studies SET study_name = :after WHERE study_name = :before"),
                {"before": before, "after": after},
            )


def _point(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return the point of a trial, or the one that it is to have once it begins."""
    return trial.params or trial.system_attrs.get("fixed_params", {})


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], trials: list[FrozenTrial], space: Space
) -> Iterator[str]:
    """Say for each param what has changed; of a choice, not what has changed beside its options."""
    old = ChainMap(*(dict(trial.distributions) for trial in trials))
    new = {parameter.name: parameter.domain.distribution() for parameter in space.parameters}
    for fact in sorted(before.keys() | after.keys()):
        name = fact.removeprefix(SPACE_FACT)
        if fact not in before:
            yield f"{name} is new"
        elif fact not in after:
            yield f"{name} is gone"
        elif before[fact] != after[fact]:
            yield from _change(name, old.get(name), new[name])


def _change(name: str, old: BaseDistribution | None, new: BaseDistribution | None) -> Iterator[str]:
    numbers = (IntDistribution, FloatDistribution)
    if old == new and old is not None:
        return
    if isinstance(old, CategoricalDistribution) and isinstance(new, CategoricalDistribution):
        gained = [short_name(choice) for choice in new.choices if choice not in old.choices]
        lost = [short_name(choice) for choice in old.choices if choice not in new.choices]
        words = {"gains": gained, "loses": lost}
        yield from (f"{name} {verb} {', '.join(choices)}" for verb, choices in words.items() if choices)
    elif isinstance(old, numbers) and isinstance(new, numbers):
        yield f"{name} from {_range(old)} to {_range(new)}"
    else:
        yield f"{name} is another"


def _range(domain: IntDistribution | FloatDistribution) -> str:
    words = {"in steps of": domain.step if domain.step != 1 else None, "log": "scale" if domain.log else None}
    return f"{domain.low:g}..{domain.high:g}" + "".join(
        f" {w} {v}" for w, v in words.items() if v is not None
    )
