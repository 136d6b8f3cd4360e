"""`tuner reproduce`: runs trials of a study again, and says whether they give the same values.

A trial runs with the same params, seeds, folds, precision, fast paths and number of threads as in the search.
A trial that was stopped early runs up to the evaluation where it was stopped. On the same CPU with the same
versions the values are equal to the last digit. Ray is not used: trials run one after the other in this
process.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from tuner.config import Fast, Study
from tuner.errors import Problem, StoreError, TrialError
from tuner.evaluation import Plan, evaluate_folds, several_devices
from tuner.formatting import duration
from tuner.preparation.prepare import Prepared, prepare
from tuner.reporting.find import find_row
from tuner.reporting.leaderboard import rank
from tuner.store import read_records
from tuner.store.space_migration import SPACE_FACT
from tuner.trials.outcomes import OUT_OF_MEMORY, TIMEOUT
from tuner.trials.package_versions import versions
from tuner.trials.records import Evaluation, is_unpadded
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, TrialRecord, as_now

__all__ = ["Difference", "Reproduced", "reproduce"]

TRAIN_LOSS = "train loss"


@dataclass(frozen=True)
class Difference:
    """A value that differs from the recorded one.

    Attributes
    ----------
    fold, epoch
        Index of the fold from 0, and number of finished epochs in it.
    what
        A metric's label, or ``train loss``.
    before, now
        The recorded value and the new one; None if there is no such value.
    """

    fold: int
    epoch: int
    what: str
    before: float | None
    now: float | None

    def __str__(self) -> str:
        where = f"fold {self.fold + 1}" + (f", epoch {self.epoch}" if self.epoch else "")
        by = "" if self.before is None or self.now is None else f" ({self.now - self.before:+.3g})"
        return f"{where}: {self.what} was {self.before!r}, is {self.now!r}{by}"


@dataclass(frozen=True)
class Reproduced:
    """Result of running a trial again.

    Attributes
    ----------
    record
        The trial as it is stored.
    n_values
        Number of compared values.
    differences
        Values that differ, in the order of the run.
    failure
        Cause of the failure in this run, None if it did not fail.
    changed
        Conditions that differ from the search, for people.
    """

    record: TrialRecord
    n_values: int
    differences: tuple[Difference, ...] = ()
    failure: str | None = None
    changed: tuple[str, ...] = field(default=(), compare=False)

    @property
    def equal(self) -> bool:
        """Whether the trial gave the same values, or failed with the same cause."""
        before = self.record.failure.cause if self.record.failure else None
        return not self.differences and self.failure == before

    def __str__(self) -> str:
        record = self.record
        name = f"trial {record.number} {record.label}"
        until = f", up to where {record.stop.rule} stopped it" if record.stop else ""
        if self.equal and self.failure is not None:
            return f"{name}: equal, it fails with the same cause: {self.failure}"
        if self.equal:
            n = len(record.evaluations)
            return f"{name}: equal, all {self.n_values} values of {n} evaluations to the last digit{until}"
        lines = [f"{name}: differs"]
        if self.failure is not None:
            lines.append(f"  it fails now: {self.failure}")
        elif record.failure is not None:
            lines.append(f"  it failed before: {record.failure.cause}")
        if self.differences:
            lines.append(f"  {len(self.differences)} of {self.n_values} values{_largest(self.differences)}")
            lines.append(f"  the first in {self.differences[0]}")
        return "\n".join([*lines, *(f"  {line}" for line in self.changed)])

    __repr__ = __str__


def _largest(differences: Sequence[Difference]) -> str:
    known = [abs(d.now - d.before) for d in differences if d.now is not None and d.before is not None]
    return f", by at most {max(known):.3g}" if known else ""


def reproduce(
    study: Study, folder: Path, which: Sequence[str], say: Callable[[str], None]
) -> Iterator[Reproduced]:
    """Run trials again, one after the other.

    Parameters
    ----------
    study
        The study as it was run, with the place of its data.
    folder
        Folder with the results of the study.
    which
        Trials to run: numbers, names of baselines, or ``best``.
    say
        Function that shows a line about the progress.

    Raises
    ------
    UserError
        If there is no such trial, the trial has no values to compare with, or the data differ from the data
        of the search.
    """
    stored = read_records(folder)
    board = rank(stored, running=False)
    records = [find_row(board, one).record for one in which]
    _refuse_empty(stored, records)
    search = study.search.model_copy(update={"warm_start": ()})  # an earlier study may have been deleted
    prepared = prepare(study.model_copy(update={"search": search}), say)
    _refuse_others(stored, prepared)
    for record in records:
        took = f", {duration(record.seconds)} in the search" if record.seconds else ""
        say(f"trial {record.number} {record.label}: running again{took}")
        yield replace(_again(record, prepared), changed=_changed(stored, record))


def _refuse_empty(stored: StoredStudy, records: Sequence[TrialRecord]) -> None:
    problems = []
    for record in records:
        kind = record.failure.kind if record.failure else None
        if kind in {OUT_OF_MEMORY, TIMEOUT}:
            rule = f"the result must not depend on the machine, but trial {record.number} failed by {kind}"
            problems.append(Problem("TRIAL", rule))
        elif not record.evaluations and kind is None:
            rule = f"must have an evaluation, but trial {record.number} is {record.status} and has none"
            problems.append(Problem("TRIAL", rule))
    if problems:
        raise StoreError(stored.name, problems)


def _refuse_others(stored: StoredStudy, prepared: Prepared) -> None:
    """Refuse data, folds or an objective that differ from those of the search."""
    known = as_now(stored.facts, prepared.facts, prepared.former)
    problems = [
        Problem(key, f"must be as in the search, {known[key]!r}, but is {now!r}")
        for key, now in prepared.facts.items()
        if not key.startswith(SPACE_FACT) and key in known and known[key] != now
    ]
    if problems:
        raise StoreError(stored.name, problems)


class _Reached(BaseException):  # not an Exception, so that a trial's boundary does not catch it
    """The trial has reached the evaluation where the search stopped it."""


def _again(record: TrialRecord, prepared: Prepared) -> Reproduced:
    made: list[Evaluation] = []
    n_before = len(record.evaluations)

    def report(evaluation: Evaluation) -> None:
        made.append(evaluation)
        if record.status != TrialStatus.COMPLETE and record.failure is None and len(made) == n_before:
            raise _Reached

    failure = None
    n_devices = prepared.plan.devices if several_devices(record.params, prepared.plan) else 1
    with _threads(_threads_of(record, prepared.study) * n_devices):
        try:
            evaluate_folds(record.params, prepared.folds, _plan(record, prepared.plan), record.seeds, report)
        except _Reached:
            pass
        except TrialError as error:
            failure = error.message
    n_values, differences = compare_runs(record.evaluations, made)
    return Reproduced(record, n_values, differences, failure)


def _plan(record: TrialRecord, plan: Plan) -> Plan:
    """Return the plan with fast paths if the trial used them, otherwise without."""
    taken = [evaluation.fast_paths for evaluation in record.evaluations]
    fast: Fast = "unpadded" if any(map(is_unpadded, taken)) else any(taken)
    return replace(plan, fast=fast) if taken else plan


def _threads_of(record: TrialRecord, study: Study) -> int:
    """Return the threads of the process that trained the trial, or of each if there were several."""
    known = [e.threads for e in record.evaluations if e.threads is not None]
    return known[0] if known else max(1, int(study.resources.cpus_per_trial / study.resources.n_devices))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Limit torch and the libraries below NumPy and implicit to `number` threads, as a worker of Ray does."""
    before = torch.get_num_threads()
    with threadpool_limits(number):
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def compare_runs(
    before: Sequence[Evaluation], now: Sequence[Evaluation]
) -> tuple[int, tuple[Difference, ...]]:
    """Compare two runs of a trial at the evaluations of the first one.

    A metric that only one of them has is skipped, because a study may report other metrics later.

    Returns
    -------
    tuple
        Number of compared values, and the values that differ.
    """
    again = {(evaluation.fold, evaluation.epoch): evaluation for evaluation in now}
    n_values, found = 0, []
    for old in before:
        new = again.get((old.fold, old.epoch))
        new_values = _values(new) if new is not None else {}
        for what, value in _values(old).items():
            if new is not None and what not in new_values:
                continue
            n_values += 1
            if new_values.get(what) != value:
                found.append(Difference(old.fold, old.epoch, what, value, new_values.get(what)))
    return n_values, tuple(found)


def _values(evaluation: Evaluation) -> Mapping[str, float]:
    loss = {} if evaluation.train_loss is None else {TRAIN_LOSS: evaluation.train_loss}
    return {**loss, **evaluation.metrics}


def _changed(stored: StoredStudy, record: TrialRecord) -> tuple[str, ...]:
    """Return a line for each condition that differs from the search."""
    now = versions()
    lines = [
        f"{name} was {before}, is {now.get(name, 'not installed')}"
        for name, before in stored.versions.items()
        if now.get(name) != before
    ]
    if any(evaluation.peak_gpu_memory for evaluation in record.evaluations) and not torch.cuda.is_available():
        lines.append("it ran on a GPU, but this machine has none")
    if all(evaluation.threads is None for evaluation in record.evaluations):
        lines.append("the number of threads was not recorded and may have been different")
    if not lines:
        lines.append(f"versions, threads and kind of processor are the same ({platform.machine()})")
    return tuple(lines)
