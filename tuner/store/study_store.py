"""Writes the trials of a study to its store. The end of each trial is written exactly once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from tuner.errors import Problem, SearchError, StoreError
from tuner.space import Space, Value
from tuner.store.asked import Asked
from tuner.store.hints import lists_infeasible, start_anew
from tuner.store.journal import batched_writes
from tuner.store.known_points import KnownPoints
from tuner.store.locking.drivers import Hold
from tuner.store.requests import StudyRequests
from tuner.store.shared_view import News, news_of, searched, waiting, without_driver
from tuner.trials.constraints import Constraint, quantities
from tuner.trials.outcomes import Attempt, Decision, Failure, Pause, Stop, Usage
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
    SECONDS,
    SEEDS,
    STOP,
    SUMMARY,
    TRACKING_ID,
    WARM,
    attempt_key,
    decision_key,
    evaluation_key,
    params_of,
    record_of,
    status_of,
    usage_key,
)
from tuner.trials.seeds import fold_seed
from tuner.trials.stored import TrialRecord, further_objectives

__all__ = ["StudyStore"]

Refuse = Callable[[Mapping[str, Value]], "str | None"]
Finish = Callable[[Mapping[str, Value]], dict[str, Value]]

#: Largest number of refused points in a row. After so many, nearly the whole space must be infeasible.
MOST_REFUSED = 200


_Args = ParamSpec("_Args")
_Given = TypeVar("_Given")


def _batched(
    method: Callable[Concatenate[StudyStore, _Args], _Given],
) -> Callable[Concatenate[StudyStore, _Args], _Given]:
    """Decorate a method so that it waits for the disk once for all its writes."""

    @wraps(method)
    def written(self: StudyStore, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Given:
        with batched_writes(self.study._storage):  # noqa: SLF001  # Optuna has no public way to its storage
            return method(self, *args, **kwargs)

    return written


def _accept(params_of: Mapping[str, Value]) -> None:
    """Accept every point."""


class StudyStore:
    """The trials of one study, as one driver reads and writes them.

    Parameters
    ----------
    study
        The Optuna study.
    seed
        Seed of the study, from which the seeds of trials are derived.
    hold
        The lock of the study that this process holds, None if no other process can write the study.

    Attributes
    ----------
    requests
        What people ask of the drivers while the study runs, and the trials that they excluded.
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
        self._known = KnownPoints(study, seed)
        self.requests = StudyRequests(study)
        trials = study.get_trials(deepcopy=False)
        self._known.learn(trials)
        self._ended = {t.number: record_of(t) for t in trials if t.state.is_finished()} if self.shared else {}

    def add_baselines(
        self, baselines: Sequence[tuple[str, dict[str, Value], dict[str, Value] | None]]
    ) -> None:
        """Queue the baselines (name, params, point in the space or None) that are not in the store yet."""
        known = {trial.user_attrs.get(NAME) for trial in self.study.get_trials(deepcopy=False)}
        for name, params, point in baselines:
            if name not in known:
                self.study.enqueue_trial(point or {}, user_attrs={NAME: name, PARAMS: params})

    def add_result(
        self, point: Mapping[str, Value], space: Space, summary: Summary, *, origin: Mapping[str, object]
    ) -> None:
        """Add the result of an earlier study for the sampler; see `tuner.preparation.warm_start`."""
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
        """Return the numbers of interrupted trials: their state is running, but their driver has ended."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        paused = {trial.number for trial in running if trial.user_attrs.get(PAUSE_KEY)}
        return [number for number in without_driver(running, self._hold) if number not in paused]

    def paused(self) -> dict[int, Pause]:
        """Return where each paused trial is paused, by number, without trials of other living drivers."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._ids.update({trial.number: trial._trial_id for trial in running})  # noqa: SLF001  # as in `_begin`
        mine = set(without_driver(running, self._hold))
        return {
            trial.number: Pause(**trial.user_attrs[PAUSE_KEY])
            for trial in running
            if trial.user_attrs.get(PAUSE_KEY) and trial.number in mine
        }

    def turn(self) -> AbstractContextManager[None]:
        """Return a context in which no other driver of the study can start a trial."""
        return self._hold.turn() if self._hold is not None else nullcontext()

    def news(self, here: Mapping[int, Collection[int]]) -> News:
        """Return the state of a shared study; see `tuner.store.shared_view.news_of`."""
        assert self._hold is not None, "only a driver that shares a study asks for news"
        trials = self.study.get_trials(deepcopy=False)
        self._known.learn(trials)
        return news_of(trials, self._hold, here, self._ended)

    def n_waiting(self) -> int:
        """Return the number of queued trials: baselines, and hints of earlier studies."""
        return waiting(self.study.get_trials(deepcopy=False))

    def n_searched(self) -> int:
        """Return the number of trials that the sampler has chosen, in any state."""
        return searched(self.study.get_trials(deepcopy=False))

    @_batched
    def ask(self, space: Space, n_folds: int, finish: Finish, refuse: Refuse = _accept) -> Asked | None:
        """Begin the next trial: the next queued one, or a point that no trial had.

        If the sampler suggests a point that was tried before, the known result is reported to it as a
        duplicate, and the sampler suggests another point. After many duplicates in a row, another sampler
        that finds new points is used.

        Parameters
        ----------
        space
            Space of the points.
        n_folds
            Number of folds, and so of seeds.
        finish
            Function from suggested params to complete params.
        refuse
            Function from complete params to the reason why they are infeasible, None if they are feasible. An
            infeasible point is reported as such, and the sampler suggests another point.

        Returns
        -------
        Asked or None
            None if every point of the space has been tried.

        Raises
        ------
        SearchError
            If `MOST_REFUSED` points in a row are infeasible.
        """
        reason, n_refused, n_repeated = None, 0, 0
        while n_refused < MOST_REFUSED:
            with self._known.sampler(space, n_repeated):
                trial = self.study.ask()
                params = None if PARAMS in trial.user_attrs else finish(self._suggest(space, trial))
            if params is not None:  # not queued: the sampler suggested the point
                known = self._known.number_of(trial, params)
                if known is not None:
                    self._known.repeat(trial, params, known)
                    n_repeated += 1
                    if self._known.all_tried(space, n_repeated):
                        return None
                    continue
                if (reason := refuse(params)) is not None:
                    self._refuse(trial, params, reason)
                    n_refused += 1
                    continue
                self._known.add(trial, params)
            return replace(self._begin(trial, space, n_folds, finish), queued=params is None)
        msg = f"the last {MOST_REFUSED} points that the sampler chose are infeasible; the last one: {reason}"
        raise SearchError(msg, hint=lists_infeasible())

    def _refuse(self, trial: Trial, params: Mapping[str, Value], reason: str) -> None:
        trial.set_user_attr(PARAMS, dict(params))
        trial.set_user_attr(FAILURE, asdict(Failure(reason, INFEASIBLE)))
        self.study.tell(trial, state=TrialState.FAIL)
        self._known.add(trial, params)

    @_batched
    def ask_again(self, number: int, space: Space, n_folds: int, finish: Finish) -> Asked:
        """Begin the next attempt of an interrupted or paused trial, with the same params and seeds."""
        trial_id = self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)  # noqa: SLF001  # Optuna has no public way to resume a running trial
        asked = self._begin(Trial(self.study, trial_id), space, n_folds, finish)
        paused = self._frozen(number).user_attrs.get(PAUSE_KEY)
        if not paused:
            return asked
        self._note(number, {PAUSE_KEY: None})
        return replace(asked, pause=Pause(**paused))

    def claim(self, number: int) -> bool:
        """Take a trial out of the queue, so that `ask_again` can begin it; False if it is not queued."""
        trials = self.study.get_trials(deepcopy=False)
        if number >= len(trials) or trials[number].state != TrialState.WAITING:
            return False
        storage, trial_id = self.study._storage, trials[number]._trial_id  # noqa: SLF001  # Optuna has no public way by number
        return storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def why_not_stopped(self, number: int) -> str | None:
        """Return why a trial cannot be stopped: it has ended, or does not exist. None if it can be."""
        trials = self.study.get_trials(deepcopy=False)
        if not 0 <= number < len(trials):
            return f"refused: there is no trial {number}"
        ended = trials[number].state.is_finished()
        return f"trial {number} had ended: {status_of(trials[number])}" if ended else None

    def _begin(self, trial: Trial, space: Space, n_folds: int, finish: Finish) -> Asked:
        attributes = trial.user_attrs
        driver = self._hold.driver.id if self._hold is not None and self.shared else ""
        if attributes.get(DRIVER, "") != driver:
            trial.set_user_attr(DRIVER, driver)
        self._ids[trial.number] = trial._trial_id  # noqa: SLF001  # avoids a look-up in the storage for each report
        params = params_of(attributes)
        if not params:
            params = finish(self._suggest(space, trial))
            trial.set_user_attr(PARAMS, params)
        elif SEEDS not in attributes:
            if self._frozen(trial.number).system_attrs.get("fixed_params"):
                self._suggest(space, trial)  # lets the sampler learn from a baseline in the space
            params = finish(params)
            trial.set_user_attr(PARAMS, params)
        if trial.params:
            self._known.add(trial, params)
        seeds = attributes.get(SEEDS)
        if seeds is None:
            seeds = [fold_seed(self._seed, params, fold) for fold in range(n_folds)]
            trial.set_user_attr(SEEDS, seeds)
        attempt = attributes.get(ATTEMPTS, 0) + 1
        trial.set_user_attr(ATTEMPTS, attempt)
        return Asked(trial.number, params, attributes.get(NAME), tuple(seeds), attempt=attempt)

    def begin_attempt(self, number: int) -> int:
        """Count one more attempt of a running trial, for some of its folds; return its number."""
        attempt = self.attempts(number) + 1
        self._note(number, {ATTEMPTS: attempt})
        return attempt

    def _suggest(self, space: Space, trial: Trial) -> dict[str, Value]:
        try:
            return space.suggest(trial)
        except ValueError as error:  # Optuna refuses a dimension that has changed
            rule = f"must stay as it was when the study began, but {error}"
            raise StoreError(self.study.study_name, [Problem("space", rule, start_anew())]) from error

    def attempts(self, number: int) -> int:
        """Return the number of attempts of a trial."""
        return int(self._frozen(number).user_attrs.get(ATTEMPTS, 0))

    @_batched
    def report(self, number: int, evaluation: Evaluation, objective: str, epochs: int) -> None:
        """Write one evaluation of a running trial.

        If a later attempt writes it again, it replaces the old one.
        """
        storage, trial_id = self.study._storage, self._ids[number]  # noqa: SLF001  # one write each, without reading the trial
        key = evaluation_key(evaluation.fold, evaluation.epoch)
        storage.set_trial_user_attr(trial_id, key, evaluation.to_plain())
        step = evaluation.fold * (epochs + 1) + evaluation.epoch
        # Optuna has no intermediate values with several objectives, and TPE fails on a stopped trial with
        # some.
        if not self._further:
            storage.set_trial_intermediate_value(trial_id, step, evaluation.metrics[objective])

    def describe(self, description: Mapping[str, object]) -> None:
        """Write the description of the study's data and folds, for people. It replaces the earlier one."""
        if self.study.user_attrs.get(DESCRIPTION) != json.loads(json.dumps(description)):
            self.study.set_user_attr(DESCRIPTION, dict(description))

    def tracking_id(self) -> str:
        """Return the id by which trackers tell the study from others. The first driver chooses it."""
        known = self.study.user_attrs.get(TRACKING_ID)
        if known is None:
            known = uuid.uuid4().hex[:12]
            self.study.set_user_attr(TRACKING_ID, known)
        return str(known)

    def note_usage(self, number: int, usage: Usage, index: int = 1) -> None:
        """Write the resource usage so far of a running trial's attempt. Attempts are numbered from 1."""
        self._note(number, {usage_key(index): asdict(usage)})

    def note_attempt(self, number: int, attempt: Attempt, index: int = 1) -> None:
        """Write where an attempt of a running trial runs, or how it ended."""
        self._note(number, {attempt_key(index): asdict(attempt)})

    @_batched
    def pause(self, number: int, pause: Pause) -> None:
        """Write that a running trial is paused. It stays paused until its next attempt or its end."""
        self._note(number, {PAUSE_KEY: asdict(pause)})

    def note_decision(self, number: int, decision: Decision) -> None:
        """Write a decision of halving on a running trial."""
        self._note(number, {decision_key(decision.rung, decision.kind): asdict(decision)})

    @_batched
    def complete(self, number: int, summary: Summary, *, seconds: float, log: str) -> None:
        """Write the end of a trial that made all planned evaluations."""
        self._note(number, {SECONDS: round(seconds, 3), LOG: log, SUMMARY: summary.to_plain()})
        known = self._frozen(number).constraints if self._constraints else {}
        for key, excess in self._excesses(summary).items():
            if key not in known:  # a driver that was killed at this point may have written some already
                Trial(self.study, self._ids[number]).set_constraint(key, excess)
        self.study.tell(number, self._values(summary))

    def _values(self, summary: Summary) -> list[float]:
        """Return the objectives of a complete trial, the first one first."""
        taken = quantities(summary)
        return [summary.mean, *(taken[name] for name in self._further)]

    def _excesses(self, summary: Summary) -> dict[str, float]:
        """Return by how much a trial violates each constraint; at most 0 if it satisfies the constraint."""
        return {str(constraint): constraint.excess(summary) for constraint in self._constraints}

    @_batched
    def fail(self, number: int, *, failure: Failure, seconds: float, log: str) -> None:
        """Write the end of a trial that failed."""
        self._note(number, {SECONDS: round(seconds, 3), LOG: log, FAILURE: asdict(failure)})
        self.study.tell(number, state=TrialState.FAIL)

    @_batched
    def prune(self, number: int, *, stop: Stop, seconds: float, log: str) -> None:
        """Write the end of a trial that was stopped early. It keeps its learning curves."""
        self._note(number, {SECONDS: round(seconds, 3), LOG: log, STOP: stop.to_plain()})
        self.study.tell(number, state=TrialState.PRUNED)

    def _note(self, number: int, attributes: Mapping[str, object]) -> None:
        for key, value in attributes.items():
            self.study._storage.set_trial_user_attr(self._ids[number], key, value)  # noqa: SLF001  # as in `report`

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study._storage.get_trial(self._ids[number])  # noqa: SLF001  # a look-up by id, without a scan of all trials

    def is_settled(self) -> bool:
        """Return whether further trials can gain only noise; see `tuner.sampling.terminator`."""
        from tuner.sampling.terminator import is_settled  # noqa: PLC0415  # torch

        objective = str(self.study.user_attrs[FACTS]["objective"])
        excluded = self.requests.excluded
        trials = [one for one in self.study.get_trials(deepcopy=False) if one.number not in excluded]
        return is_settled(trials, objective, self.study.direction, self._seed)

    def records(self) -> list[TrialRecord]:
        """Return the records of all trials by number."""
        excluded = self.requests.excluded
        return [record_of(trial, excluded) for trial in self.study.get_trials(deepcopy=False)]
