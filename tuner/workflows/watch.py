"""`tuner watch`: follows a run from another terminal, by reading its store.

It reports each change in the store to the same observers that a run reports to.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.config import Study
from tuner.errors import StoreError, TunerError
from tuner.monitoring.console import Progress
from tuner.store import read_records, store_exists, study_holder
from tuner.trials.constraints import Constraint
from tuner.trials.messages import Job
from tuner.trials.outcomes import PAUSED
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, TrialRecord

if TYPE_CHECKING:
    from tuner.trials.observer import Observer

__all__ = ["watch"]

#: Least seconds between two readings of the store, and least pause as a multiple of the time that a reading
#: takes.
EVERY, PAUSE_FACTOR = 1.0, 10.0


def watch(folder: Path, progress_of: Callable[..., Progress], say: Callable[[str], None]) -> None:
    """Follow the run of a study until no driver runs it.

    Parameters
    ----------
    folder
        Folder of the study. If it does not exist yet, wait for it.
    progress_of
        Function that makes the live view from its keyword arguments.
    say
        Function that shows a line.

    Raises
    ------
    StoreError
        If the folder or the database cannot be read.
    """
    _wait_for(folder, say)
    running = study_holder(folder) is not None
    stored = read_records(folder)
    progress = progress_of(**facts_of(stored, folder))
    progress.remember(stored.records)
    _show_waiting(stored.records, progress, running=running)
    if not running:
        say(f"no driver runs this study now: {progress.live_table().counts()}")
        return
    with progress:
        show_running(stored.records, progress)
        _follow(folder, stored, progress)
    say(f"the run has ended: {progress.live_table().counts()}")


def _follow(folder: Path, stored: StoredStudy, progress: Progress) -> None:
    known = {record.number: record for record in stored.records}
    running, pause = True, EVERY
    while running:
        time.sleep(pause)
        running = (
            study_holder(folder) is not None
        )  # asked before reading, so that the last reading has the end
        began = time.monotonic()
        records = {record.number: record for record in read_records(folder).records}
        report_changes(known, records, progress)
        _show_waiting(records.values(), progress, running=running)
        known = records
        pause = max(EVERY, PAUSE_FACTOR * (time.monotonic() - began))


def report_changes(
    before: Mapping[int, TrialRecord], now: Mapping[int, TrialRecord], observer: Observer
) -> None:
    """Report to an observer what changed in trials between two readings of the store.

    Parameters
    ----------
    before, now
        Trials of the two readings, by number.
    observer
        Observer to report to.
    """
    for number, record in sorted(now.items()):
        old = before.get(number)
        shown = record.status.has_ended or record.status == TrialStatus.RUNNING
        if shown and (old is None or not old.status.has_ended):
            _report(old, record, observer)


def _report(old: TrialRecord | None, record: TrialRecord, observer: Observer) -> None:
    job = _job(record)
    known = set()
    if old is not None and old.status == TrialStatus.RUNNING:
        known = {(one.fold, one.epoch) for one in old.evaluations}
        _report_losses(old, record, job, observer)
    else:  # new, or resumed
        observer.started(job, again=False)
    for evaluation in record.evaluations:
        if (evaluation.fold, evaluation.epoch) not in known:
            observer.evaluated(job, evaluation)
    _report_end(job, record, observer)


def _report_losses(old: TrialRecord, record: TrialRecord, job: Job, observer: Observer) -> None:
    """Report attempts that lost their worker or machine between two readings."""
    if record.status != TrialStatus.RUNNING:  # its end says it all
        return
    before = dict(enumerate(old.attempts))
    lost = [
        one
        for index, one in enumerate(record.attempts)
        if one.lost not in {"", PAUSED} and (index not in before or not before[index].lost)
    ]
    if lost and _is_idle(record):
        observer.interrupted(job, lost[-1].lost)
        return
    for one in lost:
        for fold in one.folds:
            observer.fold_lost(job, fold, one.lost)
    if _is_idle(old) and not _is_idle(record):
        observer.started(job, again=True)


def _is_idle(record: TrialRecord) -> bool:
    """Return whether a trial has lost all its attempts, so that it waits for another one."""
    return bool(record.attempts) and all(one.lost for one in record.attempts)


def _report_end(job: Job, record: TrialRecord, observer: Observer) -> None:
    seconds = record.seconds or 0.0
    if record.status == TrialStatus.COMPLETE and record.summary is not None:
        observer.finished(job, record.summary, seconds)
    elif record.status == TrialStatus.STOPPED and record.stop is not None:
        observer.stopped(job, record.stop, seconds)
    elif record.status == TrialStatus.FAILED and record.failure is not None:
        observer.failed(job, record.failure.cause, record.log or layout.LOGS)


def show_running(records: Iterable[TrialRecord], progress: Progress) -> None:
    """Show the trials that run already, each with its time since it began."""
    for record in records:
        if record.status == TrialStatus.RUNNING:
            began = (
                record.started or datetime.now()
            )  # both are local times, because Optuna records local times
            seconds = max(0.0, (datetime.now() - began).total_seconds())
            progress.started(_job(record), again=False, seconds=seconds)
            for evaluation in record.evaluations:
                progress.evaluated(_job(record), evaluation)


def _show_waiting(records: Iterable[TrialRecord], progress: Progress, *, running: bool) -> None:
    """Count the paused and interrupted trials, and remove them from the running ones.

    If no driver runs the study, its running trials were interrupted.
    """
    others: Counter[str] = Counter()
    for record in records:
        status = record.status
        if status == TrialStatus.RUNNING and not running:
            status = TrialStatus.INTERRUPTED
        if status in {TrialStatus.PAUSED, TrialStatus.INTERRUPTED}:
            others[status.value] += 1
            progress.remove(record.number)
    progress.count(others)


def _wait_for(folder: Path, say: Callable[[str], None]) -> None:
    if not _has_trials(folder):
        say(f"waiting for a study in {folder}; Ctrl-C stops waiting")
    while not _has_trials(folder):
        time.sleep(EVERY)


def _has_trials(folder: Path) -> bool:
    """Return whether the folder has a study with trials.

    Before that, a run may still be creating the study.
    """
    if not store_exists(folder):
        return False
    try:
        stored = read_records(folder, curves=False)
    except StoreError:
        if study_holder(folder) is None:
            raise
        return False
    return bool(stored.records) or (study_holder(folder) is None and "objective" in stored.facts)


def facts_of(stored: StoredStudy, folder: Path) -> dict[str, Any]:
    """Return the facts about a study that the live view needs, as keyword arguments."""
    trials = [record for record in stored.records if record.status.is_trained]
    study = _study(folder)
    baselines = sum(record.name is not None for record in trials)
    return {
        "total": None if study is None else max(study.search.trials, len(trials) - baselines) + baselines,
        "already": sum(record.status.has_ended for record in trials),
        "n_folds": study.folds.n_folds if study else max((len(one.seeds) for one in trials), default=1),
        "objective": str(stored.facts["objective"]),
        "direction": stored.direction,
        "constraints": [Constraint.parse(text) for text in stored.facts.get("constraints", ())],
        "concurrency": None,
    }


def _study(folder: Path) -> Study | None:
    """Return the study as it is run; None if its file cannot be read."""
    try:
        return Study.load(folder / layout.STUDY_FILE)
    except TunerError:
        return None


def _job(record: TrialRecord) -> Job:
    baseline = record.name is not None
    return Job(record.number, dict(record.params), record.seeds, record.label, baseline=baseline)
