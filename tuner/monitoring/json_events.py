"""Writes the events of a search for programs: one JSON object on each line, each written at once.

Every event has ``event`` (its kind) and ``time`` (UTC in ISO 8601). `KINDS` lists the kinds and their keys,
and docs/watching.md explains them. Folds are numbered from 1 and trials from 0, as on the leaderboard. If a
stream does not end with ``ended``, the run was interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from tuner.errors import Problem, StudyError
from tuner.trials.messages import Job
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary

__all__ = ["Events", "events_to"]

logger = logging.getLogger(__name__)

#: Number of the schema. A change that can break a program increases it.
SCHEMA = 2
#: Kind of event -> its keys besides ``event`` and ``time``.
KINDS: Mapping[str, tuple[str, ...]] = {
    "study": ("schema", "study", "folder", "objective", "direction", "n_folds", "trials", "ended"),
    "started": ("trial", "label", "params", "seeds", "again"),
    "evaluated": ("trial", "fold", "epoch", "metrics", "train_loss", "learning_rate", "fit_seconds"),
    "fold_lost": ("trial", "fold", "why"),
    "interrupted": ("trial", "why"),
    "finished": ("trial", "epoch", "mean", "std", "metrics", "parameters", "seconds"),
    "paused": ("trial", "fold", "epoch"),
    "stopped": ("trial", "rule", "fold", "epoch", "why", "seconds"),
    "failed": ("trial", "cause", "log"),
    "ended": ("reason", "text"),
}


class Events(Observer):
    """An observer of a search that writes each event as a JSON line.

    If the stream can no longer be written, for example because its reader has ended, the log gets one
    warning, and the search continues without events.

    Parameters
    ----------
    stream
        Stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._broken = False

    def study(self, **facts: object) -> None:
        """Write the facts of the study. This is the first event of a run."""
        self._write("study", schema=SCHEMA, **facts)

    def started(self, job: Job, *, again: bool) -> None:
        """Write that a trial started."""
        params, seeds = dict(job.params), list(job.seeds)
        self._write("started", trial=job.number, label=job.label, params=params, seeds=seeds, again=again)

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Write the metrics of a fold at an epoch."""
        self._write(
            "evaluated",
            trial=job.number,
            fold=evaluation.fold + 1,
            epoch=evaluation.epoch,
            metrics=dict(evaluation.metrics),
            train_loss=evaluation.train_loss,
            learning_rate=evaluation.learning_rate,
            fit_seconds=evaluation.fit_seconds,
        )

    def fold_lost(self, job: Job, fold: int, why: str) -> None:
        """Write that a fold of a running trial starts again, and why."""
        self._write("fold_lost", trial=job.number, fold=fold + 1, why=why)

    def interrupted(self, job: Job, why: str) -> None:
        """Write that a trial no longer runs and will be started again, and why."""
        self._write("interrupted", trial=job.number, why=why)

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Write the results of a trial."""
        self._write(
            "finished",
            trial=job.number,
            epoch=summary.epoch,
            mean=summary.mean,
            std=summary.std,
            metrics=dict(summary.metrics),
            parameters=summary.n_parameters,
            seconds=round(seconds, 3),
        )

    def paused(self, job: Job, pause: Pause) -> None:
        """Write that a trial was paused, and where. It may be started again."""
        self._write("paused", trial=job.number, fold=pause.fold + 1, epoch=pause.epoch)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Write that a trial was stopped early, where and why."""
        self._write(
            "stopped",
            trial=job.number,
            rule=stop.rule,
            fold=stop.fold + 1,
            epoch=stop.epoch,
            why=stop.why,
            seconds=round(seconds, 3),
        )

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Write why a trial failed."""
        self._write("failed", trial=job.number, cause=cause, log=log)

    def ended(self, reason: str, text: str) -> None:
        """Write why the run ends. This is the last event."""
        self._write("ended", reason=reason, text=text)

    def _write(self, kind: str, **values: object) -> None:
        if self._broken:
            return
        assert set(values) == set(KINDS[kind]), f"keys of {kind} that differ from its schema: {set(values)}"
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"event": kind, "time": now, **values}, ensure_ascii=False, default=str)
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError as error:
            logger.warning("events can no longer be written: %s", error)
            self._broken = True
            if self._stream is sys.stdout:  # otherwise its buffer would raise again when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def events_to(path: str | None) -> Iterator[Events | None]:
    """Open a stream of events.

    Parameters
    ----------
    path
        File to append to, ``-`` for stdout, or None for no events.

    Raises
    ------
    StudyError
        If the file cannot be written.
    """
    if path is None or path == "-":
        yield None if path is None else Events(sys.stdout)
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(path).open("a", encoding="utf-8"))
        except OSError as error:
            rule = f"must be a file that can be written, but {path!r} is not: {error.strerror}"
            raise StudyError("--json-lines", [Problem("", rule)]) from error
        yield Events(stream)
