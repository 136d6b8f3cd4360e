"""A study whose space has changed goes on with all its trials.

Optuna fixes the choices of a dimension when a study begins, so the trials are copied into a new study, each
as the point of the new space that its params are, and the old study is kept. The new one takes its place in
one step, a file renamed or a transaction committed: until then nothing has changed, and what dies before
leaves a half copy that the next attempt throws away.

A trial whose params lie outside the new space stays on the leaderboard, and no sampler learns from it; so a
space may also become smaller. What samplers note of trials for themselves is left behind, for it speaks of
the old dimensions: TPE and GP need none of it, evolution (NSGA, CMA-ES) begins anew.
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
from tuner.store.journal import open_journal
from tuner.trials.schema import FACTS, is_trial, params_of

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["SPACE_FACT", "Growth"]

#: How the facts of a study begin that tell its space, one for each param.
SPACE_FACT = "space "
#: System attributes that are no sampler's own notes.
_KEPT = ("constraints", "fixed_params")
#: Of the folder beside a journal, or at the end of a study's name in a database, where a copy is made.
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
        From flat params to a point of it, None if they lie outside; so do those for which it raises
        `TrialError`.
    say
        Is told in a line what was done.
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
        """Put a copy of a study in its place, with all trials under their numbers, and return it.

        Parameters
        ----------
        old
            The study, which this process holds.
        facts
            See `open_store`; of the new space.
        """
        before = old.get_trials(deepcopy=False)
        changes = ", ".join(_changes(old.user_attrs[FACTS], facts, before, self.space))
        after = [self._moved(trial) for trial in before]
        if self.storage is None:
            new, kept = _replace_journal(old, self.folder, facts, after)
        else:
            new, kept = _replace_in_database(
                old, open_database(self.storage, self.folder, self.check), facts, after
            )
        left = sum(_has_point(one) and not _has_point(same) for one, same in zip(before, after, strict=True))
        outside = f", {left} of them now outside the space" if left else ""
        self.say(
            f"space: {changes or 'other conditions'}; {sum(map(is_trial, before))} trials go on{outside}; "
            f"the study as it was: {kept}"
        )
        return new

    def _moved(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial as the new space has it.

        One that was cut off before its params were written has never been run, and is suggested anew.
        """
        params = params_of(trial.user_attrs)
        point: dict[str, Value] = {}
        if params:
            with suppress(TrialError):
                point = dict(self.point_of(params) or {})
        noted = {key: value for key, value in trial.system_attrs.items() if key.startswith(_KEPT)}
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
    """Write a new journal in the place of the old one; return its study, and the name of the backup."""
    journal, unfinished = folder / layout.JOURNAL, layout.new_journal_folder(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
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
    """Make a new study under the name of the old one; return it, and the name that the old one has now.

    A study that the user has named has no space in its name, so none is met.
    """
    name, unfinished = old.study_name, f"{old.study_name} {_UNFINISHED}"
    known = optuna.get_all_study_names(database)
    if unfinished in known:
        optuna.delete_study(study_name=unfinished, storage=database)
    _copy(old, unfinished, database, facts, trials)
    backup = next(free for number in count(1) if (free := f"{name} {number}") not in known)
    _rename(database, {name: backup, unfinished: name})
    return optuna.load_study(study_name=name, storage=database), f"study {backup!r}"


def _copy(
    old: optuna.Study,
    name: str,
    storage: JournalStorage | RDBStorage,
    facts: Mapping[str, Any],
    trials: Sequence[FrozenTrial],
) -> None:
    """Make a study with the attributes of another one, other facts, and these trials."""
    new = optuna.create_study(storage=storage, study_name=name, directions=old.directions)
    for key, value in {**old.user_attrs, FACTS: dict(facts)}.items():
        new.set_user_attr(key, value)
    new.add_trials(trials)


def _rename(database: RDBStorage, names: Mapping[str, str]) -> None:
    """Rename studies at once, in order. Optuna has no way to; the name stands in one column of its tables."""
    from sqlalchemy import text  # noqa: PLC0415  # most studies have a journal

    statement = text("UPDATE studies SET study_name = :after WHERE study_name = :before")
    with database.engine.begin() as connection:
        for before, after in names.items():
            connection.execute(statement, {"before": before, "after": after})


def _has_point(trial: FrozenTrial) -> bool:
    """Whether a trial whose params are known is a point of its study's space, or will be once it begins."""
    return bool(params_of(trial.user_attrs) and (trial.params or trial.system_attrs.get("fixed_params")))


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], trials: Sequence[FrozenTrial], space: Space
) -> Iterator[str]:
    """Say for each param what has changed; of a choice, not what has changed beside its options."""
    old = {name: domain for trial in trials for name, domain in trial.distributions.items()}
    new = {parameter.name: parameter.domain for parameter in space.parameters}
    for fact in {**before, **after}:
        name = fact.removeprefix(SPACE_FACT)
        if fact not in before:
            yield f"{name} is new"
        elif fact not in after:
            yield f"{name} is gone"
        elif before[fact] != after[fact]:
            domain = new[name]
            reference = isinstance(domain, Int) and domain.reference is not None
            yield from _change(name, old.get(name), None if reference else domain.distribution())


def _change(name: str, old: BaseDistribution | None, new: BaseDistribution | None) -> Iterator[str]:
    numbers = (IntDistribution, FloatDistribution)
    if isinstance(old, CategoricalDistribution) and isinstance(new, CategoricalDistribution):
        gained = [short_name(choice) for choice in new.choices if choice not in old.choices]
        lost = [short_name(choice) for choice in old.choices if choice not in new.choices]
        words = {"gains": gained, "loses": lost}
        yield from (f"{name} {verb} {', '.join(choices)}" for verb, choices in words.items() if choices)
    elif isinstance(old, numbers) and isinstance(new, numbers) and (old.low, old.high) != (new.low, new.high):
        yield f"{name} from {old.low:g}..{old.high:g} to {new.low:g}..{new.high:g}"
    elif old is None or old != new:
        yield f"{name} is another"
