"""The trials of a study, from their first word to their last; each is told once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from tuner.errors import Problem, SearchError, StoreError
from tuner.sampling.samplers import exhaustive_sampler
from tuner.space import Space, Value
from tuner.store.journal import at_once
from tuner.store.locking.drivers import Hold
from tuner.store.shared_view import News, forsaken, news_of, searched, waiting
from tuner.trials.constraints import Constraint, quantities
from tuner.trials.outcomes import Attempt, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.schema import (
    ATTEMPTS,
    DESCRIPTION,
    DRIVER,
    FACTS,
    FAILURE,
    INFEASIBLE,
    LOG,
    NAME,
    PARAMS,
    PAUSE_KEY,
    REPEATS,
    SECONDS,
    SEEDS,
    STOP,
    SUMMARY,
    WARM,
    attempt_key,
    evaluation_key,
    is_trial,
    params_of,
    record_of,
    usage_key,
)
from tuner.trials.seeds import fold_seed
from tuner.trials.stored import TrialRecord, further_objectives

__all__ = ["Asked", "StudyStore"]

Refuse = Callable[[Mapping[str, Value]], "str | None"]
Finish = Callable[[Mapping[str, Value]], dict[str, Value]]

#: Points in a row that may be refused; with so many, a space is nearly all impossible.
MOST_REFUSED = 200
#: Points in a row that may be known before another sampler is asked; and then, in a space without end.
MOST_REPEATED, MOST_DRAWN = 10, 100


@dataclass(frozen=True)
class Asked:
    """A trial that is to be run: new, or cut off earlier and run again.

    Attributes
    ----------
    number
        In the store.
    params
        Flat params.
    name
        Of a baseline; None for a trial that the sampler chose.
    seeds
        One per fold.
    queued
        Whether it stood in the queue: a baseline, or a hint of an earlier study.
    """

    number: int
    params: dict[str, Value]
    name: str | None
    seeds: tuple[int, ...]
    queued: bool = field(default=False, compare=False)


_Args = ParamSpec("_Args")
_Given = TypeVar("_Given")


def _at_once(
    method: Callable[Concatenate[StudyStore, _Args], _Given],
) -> Callable[Concatenate[StudyStore, _Args], _Given]:
    """Let all that a method writes reach the disk together."""

    @wraps(method)
    def written(self: StudyStore, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Given:
        with at_once(self.study._storage):  # noqa: SLF001  # Optuna has no public way to its storage
            return method(self, *args, **kwargs)

    return written


def _accept(params_of: Mapping[str, Value]) -> None:
    """Refuse nothing."""


class StudyStore:
    """The trials of one study, written by one process.

    Parameters
    ----------
    study
        The Optuna study; its storage is the truth.
    seed
        Root of the trials' seeds.
    hold
        What this process has of the study; None: nobody else writes it.
    """

    def __init__(self, study: optuna.Study, seed: int, hold: Hold | None = None) -> None:
        self.study = study
        self.shared = hold is not None and hold.shared
        self._hold = hold
        self._seed = seed
        facts = study.user_attrs.get(FACTS, {})
        self._further = tuple(further_objectives(facts))
        self._constraints = [Constraint.parse(text) for text in facts.get("constraints", ())]
        self._ids: dict[int, int] = {}
        self._attempts: dict[int, int] = {}
        self._known: dict[str, int] = {}
        self._keyed: set[int] = set()
        trials = study.get_trials(deepcopy=False)
        self._note_points(trials)
        self._ended = {t.number: record_of(t) for t in trials if t.state.is_finished()} if self.shared else {}

    def add_baselines(
        self, baselines: Sequence[tuple[str, dict[str, Value], dict[str, Value] | None]]
    ) -> None:
        """Queue baselines (name, params, point in the space or None) that the store does not have yet."""
        known = {trial.user_attrs.get(NAME) for trial in self.study.get_trials(deepcopy=False)}
        for name, params, point in baselines:
            if name not in known:
                self.study.enqueue_trial(point or {}, user_attrs={NAME: name, PARAMS: params})

    def add_result(
        self, point: Mapping[str, Value], space: Space, summary: Summary, *, origin: Mapping[str, object]
    ) -> None:
        """Tell the sampler what a point was worth elsewhere; see `tuner.preparation.warm_start`."""
        self.study.add_trial(
            create_trial(
                values=self._values(summary),
                params=dict(point),
                distributions=space.distributions(point),
                user_attrs={PARAMS: space.decode(point), WARM: dict(origin)},
                constraints=self._excesses(summary),
            )
        )

    def interrupted(self) -> list[int]:
        """Return the numbers of the trials that a dead process left running."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        paused = {trial.number for trial in running if trial.user_attrs.get(PAUSE_KEY)}
        return [number for number in forsaken(running, self._hold) if number not in paused]

    def paused(self) -> dict[int, Pause]:
        """Return the trials that rest, by number, and where; not those of another living driver."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._ids.update({trial.number: trial._trial_id for trial in running})  # noqa: SLF001  # as in `_begin`
        mine = set(forsaken(running, self._hold))
        return {
            trial.number: Pause(**trial.user_attrs[PAUSE_KEY])
            for trial in running
            if trial.user_attrs.get(PAUSE_KEY) and trial.number in mine
        }

    def turn(self) -> AbstractContextManager[None]:
        """Keep other drivers of the study from beginning a trial meanwhile."""
        return self._hold.turn() if self._hold is not None else nullcontext()

    def news(self, here: Collection[int]) -> News:
        """Return how a study that others run too stands; see `tuner.store.shared_view.news_of`."""
        assert self._hold is not None, "only who shares a study asks for news"
        trials = self.study.get_trials(deepcopy=False)
        self._note_points(trials)
        return news_of(trials, self._hold, here, self._ended)

    def _note_points(self, trials: Iterable[FrozenTrial]) -> None:
        """Note which points are tried, for none to be tried twice."""
        for trial in trials:
            if trial.number not in self._keyed and trial.params:
                self._keyed.add(trial.number)
                if is_trial(trial):
                    self._known[_key(trial)] = trial.number

    def n_waiting(self) -> int:
        """Return how many queued trials have not begun: baselines, and hints of earlier studies."""
        return waiting(self.study.get_trials(deepcopy=False))

    def n_searched(self) -> int:
        """Return how many trials the sampler has chosen, in whatever state."""
        return searched(self.study.get_trials(deepcopy=False))

    @_at_once
    def ask(self, space: Space, n_folds: int, finish: Finish, refuse: Refuse = _accept) -> Asked | None:
        """Begin the next trial: the next queued one, or a point that no trial has had.

        A point that was tried before is told with its known result, which is no trial, and another one is
        asked for; after a few of those the sampler is passed over for one that finds new points.

        Parameters
        ----------
        space
            What may be suggested.
        n_folds
            Number of seeds the trial needs.
        finish
            Function from suggested params to the trial's full params.
        refuse
            Function from full params to why they cannot work, None if they may. A refused point is told
            as infeasible, which is no trial, and another one is asked for.

        Returns
        -------
        Asked or None
            None if every point of the space has been tried.

        Raises
        ------
        SearchError
            If one point after another is refused.
        """
        reason, n_refused, n_repeated = None, 0, 0
        while n_refused < MOST_REFUSED:
            with self._sampler(space, n_repeated):
                trial = self.study.ask()
                params = None if PARAMS in trial.user_attrs else finish(self._suggest(space, trial))
            if params is not None:  # not queued: a point of the sampler's
                known = self._known.get(_key(trial))
                if known is not None:
                    self._repeat(trial, params, known)
                    n_repeated += 1
                    if n_repeated > MOST_REPEATED + (0 if space.is_finite else MOST_DRAWN):
                        return None
                    continue
                reason = refuse(params)
                if reason is not None:
                    self._refuse(trial, params, reason)
                    n_refused += 1
                    continue
            return replace(self._begin(trial, space, n_folds, finish), queued=params is None)
        msg = f"the last {MOST_REFUSED} points that the sampler chose cannot work; the last one: {reason}"
        raise SearchError(msg, hint="`tuner check` lists such regions; give the params in them a `when`")

    @contextmanager
    def _sampler(self, space: Space, n_repeated: int) -> Iterator[None]:
        """Let another sampler choose, once the study's own has given so many known points."""
        own = self.study.sampler
        if n_repeated >= MOST_REPEATED:
            seed = fold_seed(self._seed, {}, len(self._known) + n_repeated)
            self.study.sampler = exhaustive_sampler(seed) if space.is_finite else RandomSampler(seed=seed)
        try:
            yield
        finally:
            self.study.sampler = own

    def _repeat(self, trial: Trial, params: Mapping[str, Value], known: int) -> None:
        """Tell a point that was tried before, with what is known of it, so that the sampler learns."""
        trial.set_user_attr(PARAMS, dict(params))
        trial.set_user_attr(REPEATS, known)
        before = self.study.get_trials(deepcopy=False)[known]
        if before.state == TrialState.COMPLETE:
            for key, value in before.constraints.items():
                trial.set_constraint(key, value)
            self.study.tell(trial, before.values)
        else:
            self.study.tell(trial, state=TrialState.FAIL)

    def _refuse(self, trial: Trial, params: Mapping[str, Value], reason: str) -> None:
        trial.set_user_attr(PARAMS, dict(params))
        trial.set_user_attr(FAILURE, asdict(Failure(reason, INFEASIBLE)))
        self.study.tell(trial, state=TrialState.FAIL)
        self._known[_key(trial)] = trial.number

    @_at_once
    def ask_again(self, number: int, space: Space, n_folds: int, finish: Finish) -> Asked:
        """Begin a cut-off or resting trial again, under its number, with its params and seeds."""
        trial_id = self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)  # noqa: SLF001  # Optuna has no public way to take up a running trial
        asked = self._begin(Trial(self.study, trial_id), space, n_folds, finish)
        if self._frozen(number).user_attrs.get(PAUSE_KEY):
            self._note(number, {PAUSE_KEY: None})
        return asked

    def _begin(self, trial: Trial, space: Space, n_folds: int, finish: Finish) -> Asked:
        attributes = trial.user_attrs
        driver = self._hold.driver.id if self._hold is not None and self.shared else ""
        if attributes.get(DRIVER, "") != driver:
            trial.set_user_attr(DRIVER, driver)
        self._ids[trial.number] = trial._trial_id  # noqa: SLF001  # spares a look-up in the storage for each report
        params = params_of(attributes)
        if not params:
            params = finish(self._suggest(space, trial))
            trial.set_user_attr(PARAMS, params)
        elif SEEDS not in attributes:
            if self._frozen(trial.number).system_attrs.get("fixed_params"):
                self._suggest(space, trial)  # so that the sampler learns from a baseline in the space
            params = finish(params)
            trial.set_user_attr(PARAMS, params)
        if trial.params:
            self._known[_key(trial)] = trial.number
        seeds = attributes.get(SEEDS)
        if seeds is None:
            seeds = [fold_seed(self._seed, params, fold) for fold in range(n_folds)]
            trial.set_user_attr(SEEDS, seeds)
        attempts = attributes.get(ATTEMPTS, 0) + 1
        trial.set_user_attr(ATTEMPTS, attempts)
        self._attempts[trial.number] = attempts
        return Asked(trial.number, params, attributes.get(NAME), tuple(seeds))

    def _suggest(self, space: Space, trial: Trial) -> dict[str, Value]:
        try:
            return space.suggest(trial)
        except ValueError as error:  # Optuna's own, about a dimension that is not what it was
            rule = f"must stay as it was when the study began, but {error}"
            hint = "give the study another name to begin anew, or another --output"
            raise StoreError(self.study.study_name, [Problem("space", rule, hint)]) from error

    def attempts(self, number: int) -> int:
        """Return how often the trial was begun."""
        return int(self._frozen(number).user_attrs.get(ATTEMPTS, 0))

    @_at_once
    def report(self, number: int, evaluation: Evaluation, objective: str, epochs: int) -> None:
        """Write one evaluation of a running trial. Written again after a restart, it replaces the old one."""
        storage, trial_id = self.study._storage, self._ids[number]  # noqa: SLF001  # one write each, without reading the trial
        key = evaluation_key(evaluation.fold, evaluation.epoch)
        storage.set_trial_user_attr(trial_id, key, evaluation.to_plain())
        step = evaluation.fold * (epochs + 1) + evaluation.epoch
        # Optuna has no curves of several objectives, and TPE stumbles over a stopped trial that has one.
        if not self._further:
            storage.set_trial_intermediate_value(trial_id, step, evaluation.metrics[objective])

    def describe(self, description: Mapping[str, object]) -> None:
        """Write what the study's data and folds are, for people, in place of what was written before."""
        if self.study.user_attrs.get(DESCRIPTION) != json.loads(json.dumps(description)):
            self.study.set_user_attr(DESCRIPTION, dict(description))

    def note_usage(self, number: int, usage: Usage) -> None:
        """Write what this attempt at a running trial has held so far, in place of what was written before."""
        self._note(number, {usage_key(self._attempts[number]): asdict(usage)})

    def note_attempt(self, number: int, attempt: Attempt) -> None:
        """Write where this attempt at a running trial runs, or what became of it."""
        self._note(number, {attempt_key(self._attempts[number]): asdict(attempt)})

    @_at_once
    def pause(self, number: int, pause: Pause) -> None:
        """Write that a running trial rests, until it is begun again or told."""
        self._note(number, {PAUSE_KEY: asdict(pause)})

    @_at_once
    def complete(self, number: int, summary: Summary, *, seconds: float, log: str) -> None:
        """Tell a trial that made every planned evaluation."""
        self._note(number, {SECONDS: round(seconds, 3), LOG: log, SUMMARY: summary.to_plain()})
        known = self._frozen(number).constraints if self._constraints else {}
        for key, excess in self._excesses(summary).items():
            if key not in known:  # a driver killed just before it told the trial has written some
                Trial(self.study, self._ids[number]).set_constraint(key, excess)
        self.study.tell(number, self._values(summary))

    def _values(self, summary: Summary) -> list[float]:
        """Return a complete trial's objectives, the first one first."""
        taken = quantities(summary)
        return [summary.mean, *(taken[name] for name in self._further)]

    def _excesses(self, summary: Summary) -> dict[str, float]:
        """Return by how much a trial leaves each of its bounds."""
        return {str(constraint): constraint.excess(summary) for constraint in self._constraints}

    @_at_once
    def fail(self, number: int, *, failure: Failure, seconds: float, log: str) -> None:
        """Tell a trial that failed."""
        self._note(number, {SECONDS: round(seconds, 3), LOG: log, FAILURE: asdict(failure)})
        self.study.tell(number, state=TrialState.FAIL)

    @_at_once
    def prune(self, number: int, *, stop: Stop, seconds: float, log: str) -> None:
        """Tell a trial that was stopped early; its curve stays."""
        self._note(number, {SECONDS: round(seconds, 3), LOG: log, STOP: stop.to_plain()})
        self.study.tell(number, state=TrialState.PRUNED)

    def _note(self, number: int, attributes: Mapping[str, object]) -> None:
        for key, value in attributes.items():
            self.study._storage.set_trial_user_attr(self._ids[number], key, value)  # noqa: SLF001  # as in `report`

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study._storage.get_trial(self._ids[number])  # noqa: SLF001  # by number, not by a scan

    def is_settled(self) -> bool:
        """Whether further trials can gain no more than noise; see `tuner.sampling.terminator`."""
        from tuner.sampling.terminator import is_settled  # noqa: PLC0415  # torch

        objective = str(self.study.user_attrs[FACTS]["objective"])
        trials = self.study.get_trials(deepcopy=False)
        return is_settled(trials, objective, self.study.direction, self._seed)

    def records(self) -> list[TrialRecord]:
        """Return all trials, by number."""
        return [record_of(trial) for trial in self.study.get_trials(deepcopy=False)]


def _key(trial: Trial | FrozenTrial) -> str:
    """Return a point in a form that can be looked up."""
    return json.dumps(trial.params, sort_keys=True)
