"""Requests to the drivers of a study: how any process writes them, and how a driver reads and answers them.

A request is an attribute of the study, so it is written at once and cannot be lost. A driver carries it out
and then writes its answer. If the driver is killed in between, the next one finds that the request is carried
out (a trial has its id, or the trial has ended), and only answers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from tuner.artifacts.layout import JOURNAL
from tuner.sampling.excluding import ExcludingSampler
from tuner.space import Value
from tuner.store.dashboard_commands import commands_in
from tuner.store.journal import append_attribute
from tuner.store.location import stored_at
from tuner.store.read import check_exists, database_once
from tuner.trials.requests import Exclusion, Request, utc_now
from tuner.trials.schema import (
    PARAMS,
    REQUEST,
    answer_key,
    excluded_key,
    exclusions,
    params_of,
    pending_requests,
    request_key,
)

__all__ = ["StudyRequests", "write_exclusion", "write_request"]


def write_request(folder: Path, request: Request) -> None:
    """Write a request into the store of a study. Another process may run the study.

    Raises
    ------
    StoreError
        If the folder has no study, or its database cannot be reached.
    """
    _write(folder, request_key(request.id), request.to_plain())


def write_exclusion(folder: Path, number: int, exclusion: Exclusion) -> None:
    """Write into the store of a study that a trial is excluded; see `write_request`."""
    _write(folder, excluded_key(number), asdict(exclusion))


def _write(folder: Path, key: str, value: Mapping[str, Any]) -> None:
    check_exists(folder)
    name, storage = stored_at(folder)
    if storage is None:
        append_attribute(folder / JOURNAL, key, value)
        return
    with database_once(storage, folder) as database:
        written = None
        while written != (now := database.get_study_id_from_name(name)):  # a change of the space renames
            database.set_study_user_attr(now, key, value)
            written = now


class StudyRequests:
    """The requests and exclusions of a study, as its driver reads and answers them.

    Parameters
    ----------
    study
        The Optuna study.

    Attributes
    ----------
    excluded
        The exclusions by trial number, as they were at the last `read`.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._notes: Mapping[str, Any] = {}
        self.excluded: Mapping[int, Exclusion] = {}
        self._exclude(exclusions(study.user_attrs))

    def read(self) -> list[Request]:
        """Take in new exclusions, and return the requests that wait for a driver, the oldest first."""
        attributes = self._study.user_attrs
        self._take_commands(attributes)
        self._exclude(exclusions(attributes))
        return pending_requests(attributes)

    def _take_commands(self, attributes: dict[str, Any]) -> None:
        """Turn new commands in notes of optuna-dashboard into requests and exclusions."""
        storage, study_id = self._study._storage, self._study._study_id  # noqa: SLF001  # notes are system attributes
        notes = storage.get_study_system_attrs(study_id)
        if notes == self._notes:
            return
        self._notes = notes
        numbers = {trial._trial_id: trial.number for trial in self._study.get_trials(deepcopy=False)}  # noqa: SLF001  # notes name trials by their ids
        for key, value in commands_in(notes, numbers):
            if key not in attributes:
                self._study.set_user_attr(key, value)
                attributes[key] = value

    def _exclude(self, excluded: Mapping[int, Exclusion]) -> None:
        if excluded == self.excluded:
            return
        own = self._study.sampler
        inner = own.sampler if isinstance(own, ExcludingSampler) else own
        self._study.sampler = ExcludingSampler(inner, self._study, excluded)
        self.excluded = excluded

    def queue(self, request: Request, params: Mapping[str, Value], point: Mapping[str, Value] | None) -> str:
        """Queue the configuration of a request, unless this was done before; return the answer.

        Parameters
        ----------
        request
            The request.
        params
            Complete flat params of the trial.
        point
            The params as a point of the space; None if they are outside.
        """
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.user_attrs.get(REQUEST) == request.id:
                return f"queued as trial {trial.number}"
        for trial in trials:
            lives = trial.state in {TrialState.RUNNING, TrialState.WAITING, TrialState.COMPLETE}
            if lives and trial.number not in self.excluded and params_of(trial.user_attrs) == params:
                return f"refused: trial {trial.number} has the same params"
        attributes = {PARAMS: dict(params), REQUEST: request.id}
        self._study.enqueue_trial(dict(point or {}), user_attrs=attributes)
        return f"queued as trial {len(trials)}"

    def answer(self, request: Request, text: str) -> None:
        """Write the answer to a request, which ends it."""
        self._study.set_user_attr(answer_key(request.id), {"text": text, "at": utc_now()})
