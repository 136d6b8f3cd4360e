"""Writes the trials of a study to its store. The end of each trial is written exactly once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import optuna
from optuna.trial import Trial, TrialState, create_trial

from tuner.space import Space, Value
from tuner.store.asked import Asked
from tuner.store.asking import Finish, Refuse, TrialSource, accept
from tuner.store.by_number import TrialsByNumber
from tuner.store.journal import batched_writes
from tuner.store.locking.drivers import Hold
from tuner.store.requests import StudyRequests
from tuner.store.shared_view import News, news_of, searched, waiting, without_driver
from tuner.trials.constraints import Constraint, quantities
from tuner.trials.outcomes import Attempt, Decision, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.schema import (
    ATTEMPTS,
    DESCRIPTION,
    FACTS,
    FAILURE,
    LOG,
    NAME,
    PARAMS,
    PAUSE_KEY,
    SECONDS,
    STOP,
    SUMMARY,
    TRACKING_ID,
    WARM,
    attempt_key,
    decision_key,
    evaluation_key,
    record_of,
    status_of,
    usage_key,
)
from tuner.trials.stored import TrialRecord, further_objectives

__all__ = ["StudyStore"]

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
        self._trials = TrialsByNumber(study)
        driver = hold.driver.id if hold is not None and hold.shared else ""
        self._source = TrialSource(study, seed, driver=driver, trials=self._trials)
        self.requests = StudyRequests(study)
        trials = study.get_trials(deepcopy=False)
        self._source.known.learn(trials)
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
        self._trials.note(running)
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
        self._source.known.learn(trials)
        return news_of(trials, self._hold, here, self._ended)

    def n_waiting(self) -> int:
        """Return the number of queued trials: baselines, and hints of earlier studies."""
        return waiting(self.study.get_trials(deepcopy=False))

    def n_searched(self) -> int:
        """Return the number of trials that the sampler has chosen, in any state."""
        return searched(self.study.get_trials(deepcopy=False))

    @_batched
    def ask(self, space: Space, n_folds: int, finish: Finish, refuse: Refuse = accept) -> Asked | None:
        """Begin the next trial: the next queued one, or a point that no trial had. See `TrialSource.ask`."""
        return self._source.ask(space, n_folds, finish, refuse)

    @_batched
    def ask_again(self, number: int, space: Space, n_folds: int, finish: Finish) -> Asked:
        """Begin the next attempt of an interrupted or paused trial, with the same params and seeds."""
        return self._source.ask_again(number, space, n_folds, finish)

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

    def begin_attempt(self, number: int) -> int:
        """Count one more attempt of a running trial, for some of its folds; return its number."""
        attempt = self.attempts(number) + 1
        self._trials.write(number, {ATTEMPTS: attempt})
        return attempt

    def attempts(self, number: int) -> int:
        """Return the number of attempts of a trial."""
        return int(self._trials.frozen(number).user_attrs.get(ATTEMPTS, 0))

    @_batched
    def report(self, number: int, evaluation: Evaluation, objective: str, epochs: int) -> None:
        """Write one evaluation of a running trial.

        If a later attempt writes it again, it replaces the old one.
        """
        storage, trial_id = self.study._storage, self._trials.id_of(number)  # noqa: SLF001  # one write each, without reading the trial
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
        self._trials.write(number, {usage_key(index): asdict(usage)})

    def note_attempt(self, number: int, attempt: Attempt, index: int = 1) -> None:
        """Write where an attempt of a running trial runs, or how it ended."""
        self._trials.write(number, {attempt_key(index): asdict(attempt)})

    @_batched
    def pause(self, number: int, pause: Pause) -> None:
        """Write that a running trial is paused. It stays paused until its next attempt or its end."""
        self._trials.write(number, {PAUSE_KEY: asdict(pause)})

    def note_decision(self, number: int, decision: Decision) -> None:
        """Write a decision of halving on a running trial."""
        self._trials.write(number, {decision_key(decision.rung, decision.kind): asdict(decision)})

    @_batched
    def complete(self, number: int, summary: Summary, *, seconds: float, log: str) -> None:
        """Write the end of a trial that made all planned evaluations."""
        self._trials.write(number, {SECONDS: round(seconds, 3), LOG: log, SUMMARY: summary.to_plain()})
        known = self._trials.frozen(number).constraints if self._constraints else {}
        for key, excess in self._excesses(summary).items():
            if key not in known:  # a driver that was killed at this point may have written some already
                Trial(self.study, self._trials.id_of(number)).set_constraint(key, excess)
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
        self._trials.write(number, {SECONDS: round(seconds, 3), LOG: log, FAILURE: asdict(failure)})
        self.study.tell(number, state=TrialState.FAIL)

    @_batched
    def prune(self, number: int, *, stop: Stop, seconds: float, log: str) -> None:
        """Write the end of a trial that was stopped early. It keeps its learning curves."""
        self._trials.write(number, {SECONDS: round(seconds, 3), LOG: log, STOP: stop.to_plain()})
        self.study.tell(number, state=TrialState.PRUNED)

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
