"""Steers a search that runs: adds a configuration, stops a trial early, excludes a trial.

The functions write into the store, so they work from any process that can write the study, also if no driver
runs it. The driver looks for requests when a trial reports or may begin, about once a second.
"""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.config import Study
from tuner.config.yaml_text import YamlError, parse, read_text
from tuner.errors import Problem, StoreError, TrialError, UserError
from tuner.errors.caller import argument, hint
from tuner.execution.logs import logs_to
from tuner.reporting.find import find_row
from tuner.reporting.leaderboard import load_leaderboard
from tuner.reporting.row import Row
from tuner.space import Value, flat_params
from tuner.store import check_exists, read_records, study_holder
from tuner.store.requests import write_exclusion, write_request
from tuner.trials.requests import Exclusion, Request, RequestKind, utc_now
from tuner.trials.schema import pending_requests
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord
from tuner.workflows.results import Named, Which, find_results, trial_of

if TYPE_CHECKING:
    from tuner.reporting.place import Place

__all__ = ["add_trial", "exclude_trial", "params_in_file", "params_of_trial", "stop_trial", "when_done"]


def add_trial(folder: Named, params: Mapping[str, Any]) -> Request:
    """Queue a configuration. It does not count as one of `search.trials`; otherwise it is a trial as others.

    Parameters
    ----------
    folder
        Folder of the study, or the study as `tuner.load_study` takes it.
    params
        Params as RecTools takes them, flat or nested, with classes or their names as in a space. They may be
        outside the study's space; then the sampler does not learn from the trial.

    Returns
    -------
    Request
        The request that was written.

    Raises
    ------
    StoreError
        If there is no such study, the params cannot work, or a trial or a waiting request has them already.
        The message has all problems of the params.
    """
    folder = find_results(folder).folder
    check_exists(folder)
    study = Study.load(folder / layout.STUDY_FILE)
    stored = read_records(folder, curves=False)
    with logs_to(layout.command_log(folder, "add")):
        flat, problems = flat_params(params, _class_paths(study))
        problems = problems or list(_waiting(flat, pending_requests(stored.attributes)))
        problems = problems or list(_problems(flat, study, stored.records))
    if problems:
        raise StoreError("params", problems)
    request = Request(RequestKind.ADD, flat, by=_who())
    write_request(folder, request)
    return request


def stop_trial(folder: Named, trial: Which) -> Request:
    """Stop a trial early: at its next evaluation if it runs. It keeps what it has measured.

    Parameters
    ----------
    folder
        Folder of the study, or the study as `tuner.load_study` takes it.
    trial
        Trial number, also of a baseline, or a row of the leaderboard.

    Raises
    ------
    StoreError
        If there is no such study or trial, or the trial has ended.
    """
    place = find_results(folder)
    folder, record = place.folder, _record(place, trial)
    if record.status.has_ended or not record.status.is_trained:
        rule = f"must be a trial that has not ended, but trial {record.number} is {record.status}"
        raise StoreError(str(folder), [Problem(argument("--trial"), rule)])
    request = Request(RequestKind.STOP, trial=record.number, by=_who())
    write_request(folder, request)
    return request


def exclude_trial(folder: Named, trial: Which, why: str) -> None:
    """Leave a trial out of ranking and sampling. It is kept and marked. If it has not ended, it is stopped.

    Parameters
    ----------
    folder
        Folder of the study, or the study as `tuner.load_study` takes it.
    trial
        Trial number, also of a baseline, or a row of the leaderboard.
    why
        Reason, which the leaderboard shows.

    Raises
    ------
    StoreError
        If there is no such study or trial, there is no reason, or the trial is excluded already.
    """
    place = find_results(folder)
    folder, record = place.folder, _record(place, trial)
    if not why.strip():
        raise StoreError(str(folder), [Problem(argument("--why"), "must be a reason, but is empty")])
    if record.excluded is not None:
        rule = f"must be a trial that is not excluded, but trial {record.number} is: {record.excluded.why}"
        raise StoreError(str(folder), [Problem(argument("TRIAL", "trial"), rule)])
    write_exclusion(folder, record.number, Exclusion(" ".join(why.split()), _who(), utc_now()))


def when_done(folder: Path | str) -> str:
    """Return by whom and when a request is carried out, as text for people."""
    holder = study_holder(Path(folder))
    if holder is None:
        following = hint(command="`tuner run`", python="run(study)")
        return f"no driver runs the study: the next {following} carries it out"
    return f"{holder} carries it out at the next report of a trial"


def params_in_file(path: Path) -> dict[str, Any]:
    """Read params from a file of YAML or JSON.

    Raises
    ------
    StoreError
        If the file cannot be read, or has no params.
    """
    try:
        plain = parse(read_text(path)).plain
    except YamlError as error:
        raise StoreError(str(path), [Problem("--params", error.rule, error.hint, error.line)]) from error
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        what = "is empty" if plain is None else f"has a {type(plain).__name__}"
        rule = f"must have params by name, such as cls: SASRecModel, but {what}"
        raise StoreError(str(path), [Problem("--params", rule)])
    return plain


def params_of_trial(folder: Path | str, which: str) -> dict[str, Value]:
    """Return the params of a trial of any study.

    Parameters
    ----------
    folder
        Folder of that study.
    which
        The trial's number, a baseline's name, or ``best``.

    Raises
    ------
    StoreError
        If there is no such study or trial.
    """
    return dict(find_row(load_leaderboard(Path(folder), curves=False), which).record.params)


def _who() -> str:
    try:
        return f"{getpass.getuser()} on {socket.gethostname()}"
    except (KeyError, OSError):  # a container may have no name for its user
        return f"somebody on {socket.gethostname()}"


def _record(place: Place, trial: Which) -> TrialRecord:
    records = read_records(place.folder, curves=False).records
    number: object = trial_of(place, trial) if isinstance(trial, Row) else trial
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)
    if type(number) is not bool and isinstance(number, Integral) and 0 <= int(number) < len(records):
        return records[int(number)]
    rule = f"must be the number of a trial, from 0 to {len(records) - 1}, but got {number!r}"
    numbers = hint(command="`tuner leaderboard` has the numbers", python="load_study(...) has the numbers")
    raise StoreError(str(place.folder), [Problem(argument("TRIAL", "trial"), rule, numbers)])


def _waiting(params: Mapping[str, Value], requests: Sequence[Request]) -> Iterator[Problem]:
    """Yield a problem if a request that no driver has answered has these params; it holds tuples as lists."""
    for request in requests:
        if json.dumps(dict(request.params), sort_keys=True) == json.dumps(dict(params), sort_keys=True):
            yield Problem("", f"must be new, but the request {request.id} waits with the same params")
            return


def _class_paths(study: Study) -> list[str]:
    """Return the class paths of a study's space, whose short names are accepted."""
    from tuner.models.signatures import class_paths  # noqa: PLC0415  # torch
    from tuner.preparation.prepare import study_space  # noqa: PLC0415  # torch

    try:
        return class_paths(study_space(study))
    except UserError:  # a module of the space has changed since the search; full paths still work
        return []


def _problems(params: dict[str, Value], study: Study, records: Sequence[TrialRecord]) -> Iterator[Problem]:
    """Yield all problems of params: with names and types, what cannot work, and a trial that has them."""
    from tuner.models.build import build_model, trial_params  # noqa: PLC0415  # torch
    from tuner.models.params import params_problems  # noqa: PLC0415  # torch

    found = params_problems(params)
    yield from found
    if found:
        return
    try:
        build_model(params)
    except TrialError as error:
        yield Problem("", error.message)
        return
    full = trial_params(params, study.training.epochs)
    lives = {TrialStatus.COMPLETE, TrialStatus.RUNNING, TrialStatus.PAUSED, TrialStatus.QUEUED}
    for record in records:
        if record.status in lives and record.excluded is None and dict(record.params) == full:
            yield Problem("", f"must be new, but trial {record.number} has the same params")
            return
