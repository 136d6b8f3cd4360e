"""The journal: opens, repairs and quickly reads Optuna's file with one JSON record on each line.

Optuna replays every record to open a journal. With ten thousand trials this takes much longer than people
wait for a table. `read_journal` reads only the parts from which the records of trials are made.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import uuid
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.trial import FrozenTrial, TrialState

from tuner.artifacts.layout import JOURNAL, journal_lock
from tuner.errors import Problem, StoreError
from tuner.store.locking.files import JournalLock
from tuner.trials.schema import FACTS, evaluation_prefix

__all__ = [
    "JournalStudy",
    "append_attribute",
    "batched_writes",
    "hold_journal",
    "open_journal",
    "read_journal",
]

logger = logging.getLogger(__name__)

#: Optuna's operations (`JournalOperation`) that `read_journal` follows.
_CREATE_STUDY, _DELETE_STUDY, _STUDY_ATTR, _CREATE_TRIAL, _TRIAL_STATE, _TRIAL_ATTR = 0, 1, 2, 4, 6, 8
_TRIAL_PARAM = 5
#: First parts of lines that are skipped: dimensions, intermediate values and system attributes. Seven of ten
#: lines are such lines, and parsing their JSON would take most of the time.
_SKIPPED = tuple(b'{"op_code":%d,' % operation for operation in (3, 7, 9, 10))
_PARAM_LINE = b'{"op_code":%d,' % _TRIAL_PARAM
#: Text that occurs in lines with an evaluation, and in no other line.
_EVALUATION = f'"user_attr":{{"{evaluation_prefix()}'.encode()
#: Trial id, fold and epoch in such a line.
_POINT = rb'"trial_id":(\d+),' + re.escape(_EVALUATION) + rb"(\d+):(\d+)"


class _Backend(JournalFileBackend):
    """Optuna's journal file. It knows the last line that was read, and leaves no half-written lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=JournalLock(journal_lock(path)))
        self.line = 0
        self._path = path
        self._batched = False

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the records from a line to the end."""
        self.line = log_number_from
        try:
            for log in super().read_logs(log_number_from):
                self.line += 1
                yield log
        except ValueError as error:  # raised by reading, not by the caller that processes the records
            raise _unreadable(self._path, self.line + 1, error) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records completely, or not at all.

        Raises
        ------
        OSError
            If they cannot be written. The error names the file.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            with get_lock_file(self._lock), self._path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                if not self._batched:
                    os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                _repair_tail(self._path)
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Wait for the disk once for all records that are written in this context.

        Each record is given to the operating system at once. So other processes can read it, and it is not
        lost if this process is killed.
        """
        self._batched = True
        try:
            yield
        finally:
            self._batched = False
            with self._path.open("ab") as file:
                os.fsync(file.fileno())


class _Journal(JournalStorage):
    """Returns all trials faster than Optuna's class, which visits each trial.

    Each suggestion needs them all.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return a study's trials by number; if `states` is given, only the trials in these states."""
        with self._thread_lock:
            self._sync_with_backend()
            replayed = self._replay_result
            ids = replayed._study_id_to_trial_ids[study_id]  # noqa: SLF001  # an attribute of the base class
            trials = list(map(replayed._trials.__getitem__, ids))  # noqa: SLF001  # as above
            if states is not None:
                # One pass by identity for each state is several times faster than a look-up for each trial.
                found = [[t for t in trials if t.state is state] for state in TrialState if state in states]
                trials = found[0] if len(found) == 1 else sorted(chain(*found), key=attrgetter("number"))
            return copy.deepcopy(trials) if deepcopy else trials


def batched_writes(storage: BaseStorage) -> AbstractContextManager[None]:
    """Return a context that waits for the disk once for all its records; it has no effect on a database."""
    backend = getattr(storage, "_backend", None)
    return backend.batched() if isinstance(backend, _Backend) else nullcontext()


def open_journal(folder: Path) -> JournalStorage:
    """Open the journal of a study's folder for writing. If there is none, it is created.

    Raises
    ------
    StoreError
        If the file is not a journal or is damaged. The message names the line.
    """
    path = folder / JOURNAL
    if path.exists():
        with hold_journal(path):
            _repair_tail(path)
    backend = _Backend(path)
    try:
        return _Journal(backend)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise _unreadable(path, backend.line, error) from error


def hold_journal(path: Path) -> AbstractContextManager[Any]:
    """Return a context in which no other process writes to a journal."""
    return get_lock_file(JournalLock(journal_lock(path)))


def append_attribute(path: Path, key: str, value: Mapping[str, Any]) -> None:
    """Write an attribute of the study to a journal, which another process may write at the same time.

    This does not read the trials, so it takes the same time however long the study is.

    Raises
    ------
    StoreError
        If the journal has no study, or is damaged.
    """
    with hold_journal(path):
        _repair_tail(path)
        log = {
            "op_code": _STUDY_ATTR,
            "worker_id": uuid.uuid4().hex,
            "study_id": _first_study(path),
            "user_attr": {key: dict(value)},
        }
        with path.open("ab") as file:
            file.write((json.dumps(log, separators=(",", ":")) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def _first_study(path: Path) -> int:
    """Return the id of the study of a journal; ids are counted from 0, and studies may be deleted."""
    begins = (b'{"op_code":%d,' % _CREATE_STUDY, b'{"op_code":%d,' % _DELETE_STUDY)
    replay = _Replay(points=False)
    with path.open("rb") as file:
        for line in file:
            if line.startswith(begins):
                replay.apply(json.loads(line))
    if not replay.studies:
        raise StoreError(str(path), [Problem("", "must have a study, but has none")])
    return min(replay.studies)


def _unreadable(path: Path, line: int, error: Exception) -> StoreError:
    rule = f"must be a journal of Optuna, but line {line} cannot be read: {type(error).__name__}: {error}"
    hint = "the file is not a journal, or a person or a disk error has damaged it; restore it from a backup"
    return StoreError(str(path), [Problem("", rule, hint)])


def _repair_tail(path: Path) -> None:
    """Remove a last line that is incomplete, because its writer was killed or the disk was full."""
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            logger.warning(
                "%s: removed an incomplete record of %d bytes at the end", path, len(content) - whole
            )
            file.truncate(whole)
    last = content[content.rfind(b"\n", 0, max(0, whole - 1)) + 1 : whole]
    try:
        if last:
            json.loads(last)
    except ValueError as error:  # Optuna would skip the line, append to the file, and then fail to read it
        raise _unreadable(path, content.count(b"\n"), error) from error


@dataclass
class JournalStudy:
    """A study as it is in a journal.

    Attributes
    ----------
    name, directions
        Name and directions in Optuna. A direction is 1 to minimise and 2 to maximise.
    attributes
        User attributes of the study.
    trials
        Trials by number, with times, states and user attributes. They have no intermediate values, because
        the user attributes contain them, and Optuna's params and distributions only if `points` is set.
    curves
        If the evaluations were not read: the objective by (fold, epoch) of each trial, by trial number.
    """

    name: str
    directions: Sequence[int]
    attributes: dict[str, Any] = field(default_factory=dict)
    trials: list[FrozenTrial] = field(default_factory=list)
    curves: dict[int, dict[tuple[int, int], float]] = field(default_factory=dict)


def read_journal(path: Path, *, curves: bool = True, points: bool = False) -> list[JournalStudy]:
    """Read all studies of a journal by the rules of Optuna's replay. It may be written at the same time.

    Parameters
    ----------
    path
        The journal.
    curves
        Whether to read the evaluations, which are most of the text. Without them, only the objective is read.
    points
        Whether to read Optuna's params and distributions.

    Raises
    ------
    StoreError
        If the file is not a journal or is damaged. The message names the line.
    """
    replay = _Replay(points=points)
    line = 0
    try:
        for line, log in _logs(path, curves=curves, points=points):  # noqa: B007  # the error handler needs it
            if isinstance(log, bytes):
                replay.apply_evaluation(log)
            else:
                replay.apply(log)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, line, error) from error
    return list(replay.studies.values())


class _Replay:
    """The studies of a journal up to some line."""

    def __init__(self, *, points: bool) -> None:
        self.studies: dict[int, JournalStudy] = {}
        self._points = points
        self._n_studies = 0
        self._trials: list[FrozenTrial] = []  # of all studies, by the trial ids of the journal
        self._curves: list[dict[tuple[int, int], float]] = []  # in the same order
        self._objective: re.Pattern[bytes] | None = None

    def apply(self, log: Mapping[str, Any]) -> None:
        """Apply one more record."""
        operation = log["op_code"]
        if operation in {_TRIAL_ATTR, _TRIAL_STATE, _TRIAL_PARAM}:
            self._change_trial(log)
        elif operation == _CREATE_STUDY:
            self._create_study(log)
        elif operation == _DELETE_STUDY:
            self.studies.pop(log["study_id"], None)
        elif (study := self.studies.get(log["study_id"])) is None:
            pass
        elif operation == _STUDY_ATTR:
            study.attributes.update(log["user_attr"])
            self._find_objective(study)
        elif operation == _CREATE_TRIAL:
            trial = _new_trial(log, number=len(study.trials), trial_id=len(self._trials), points=self._points)
            self._trials.append(trial)
            study.trials.append(trial)
            self._curves.append(study.curves.setdefault(trial.number, {}))

    def _find_objective(self, study: JournalStudy) -> None:
        """Prepare to read the objective from the text of an evaluation."""
        objective = study.attributes.get(FACTS, {}).get("objective")
        if objective is not None:
            label = re.escape(json.dumps(objective).encode())
            self._objective = re.compile(_POINT + rb".*?" + label + rb": ?([^,}]+)")

    def apply_evaluation(self, line: bytes) -> None:
        """Apply the line of an evaluation without parsing its JSON, which would take most of the time."""
        found = self._objective.search(line) if self._objective is not None else None
        if found is not None and (trial_id := int(found[1])) < len(self._curves):
            self._curves[trial_id][int(found[2]), int(found[3])] = float(found[4])

    def _create_study(self, log: Mapping[str, Any]) -> None:
        if log["study_name"] not in {study.name for study in self.studies.values()}:
            self.studies[self._n_studies] = JournalStudy(log["study_name"], log["directions"])
            self._n_studies += 1

    def _change_trial(self, log: Mapping[str, Any]) -> None:
        """Change a trial. A trial that has ended stays as it is."""
        trial_id = log["trial_id"]
        if trial_id >= len(self._trials) or self._trials[trial_id].state.is_finished():
            return
        trial = self._trials[trial_id]
        if log["op_code"] == _TRIAL_ATTR:
            trial.user_attrs.update(log["user_attr"])
        elif log["op_code"] == _TRIAL_PARAM:
            _set_param(trial, log)
        else:
            _set_state(trial, log)


def _logs(path: Path, *, curves: bool, points: bool) -> Iterator[tuple[int, dict[str, Any] | bytes]]:
    """Yield the needed records with their line numbers. An incomplete last line is left out.

    Without `curves`, the lines of evaluations are yielded as they are.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.startswith(_SKIPPED) or not line.endswith(b"\n"):
                continue
            if not points and line.startswith(_PARAM_LINE):
                continue
            if not curves and _EVALUATION in line:
                yield number, line
                continue
            try:
                log = json.loads(line)
            except ValueError as error:
                raise _unreadable(path, number, error) from error
            yield number, log


def _set_state(trial: FrozenTrial, log: Mapping[str, Any]) -> None:
    state = TrialState(log["state"])
    if state == TrialState.RUNNING and trial.state != state:
        trial.datetime_start = _local(log["datetime_start"])
    if state.is_finished():
        trial.datetime_complete = _local(log["datetime_complete"])
    trial.state = state


def _set_param(trial: FrozenTrial, log: Mapping[str, Any]) -> None:
    name, distribution = log["param_name"], json_to_distribution(log["distribution"])
    trial.params[name] = distribution.to_external_repr(log["param_value_internal"])
    trial.distributions[name] = distribution


def _new_trial(log: Mapping[str, Any], *, number: int, trial_id: int, points: bool) -> FrozenTrial:
    known = log.get("distributions", {}) if points else {}
    distributions = {name: json_to_distribution(text) for name, text in known.items()}
    return FrozenTrial(
        number=number,
        trial_id=trial_id,
        state=TrialState(log.get("state", TrialState.RUNNING)),
        value=None,
        datetime_start=_local(log["datetime_start"]),
        datetime_complete=_local(log.get("datetime_complete")),
        params={name: one.to_external_repr(log["params"][name]) for name, one in distributions.items()},
        distributions=distributions,
        user_attrs=log.get("user_attrs", {}),
        system_attrs={},
        intermediate_values={},
    )


def _local(text: str | None) -> datetime | None:
    """Return a time in UTC as local time, because Optuna's times are local."""
    return None if text is None else datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
