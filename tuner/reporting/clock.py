"""Time of a search, without the pauses between its runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuner.trials.outcomes import PAUSED, Attempt
from tuner.trials.stored import TrialRecord

__all__ = ["Clock", "Stay", "clock_of", "stays"]

#: Seconds without a running trial that do not count as a pause: a worker starts, or the sampler computes.
SHORT = 60.0


@dataclass(frozen=True)
class Clock:
    """Converts a moment into seconds of search.

    Attributes
    ----------
    runs
        Spans (begin, end) in which trials ran, in order and without overlap, as `datetime.timestamp` counts.
    """

    runs: Sequence[tuple[float, float]]

    def __call__(self, moment: float) -> float:
        """Return how long the search had run at a moment, in seconds."""
        return sum(max(0.0, min(moment, end) - begin) for begin, end in self.runs)

    @property
    def total(self) -> float:
        """Length of the search, in seconds."""
        return sum(end - begin for begin, end in self.runs)


@dataclass(frozen=True)
class Stay:
    """A trial's time on a worker.

    Attributes
    ----------
    record
        The trial.
    begin, end
        Begin and end in seconds, as `datetime.timestamp` counts.
    worker
        Host and process of the worker; None if the study does not record them.
    last
        Whether no later attempt of the trial repeats this one.
    """

    record: TrialRecord
    begin: float
    end: float
    worker: str | None = None
    last: bool = True


def stays(records: Iterable[TrialRecord], now: datetime, *, running: bool = True) -> list[Stay]:
    """Return when each trial ran, ordered by begin.

    Trials with recorded attempts give one for each attempt. A pause is no part of it: a paused trial takes no
    worker.

    Parameters
    ----------
    records, now
        Trials, and the time at which they were read.
    running
        Whether a driver runs the study.
    """
    found: list[Stay] = []
    for record in records:
        if record.started is None:
            continue
        end = (record.ended or now).timestamp()
        if not record.attempts:
            begin = record.started.timestamp()
            if record.seconds is not None:  # an interrupted trial waited for the next run
                begin = max(begin, end - record.seconds - 1)
            found.append(Stay(record, begin, max(end, begin)))
            continue
        for place, attempt in enumerate(record.attempts, 1):
            later = record.attempts[place:]
            ended = _has_ended(record, attempt, last=not later, running=running)
            again = any(attempt.repeats(one) for one in later)
            found.append(_stay(record, attempt, end, last=not again, ended=ended))
    return sorted(found, key=lambda stay: (stay.begin, stay.record.number))


def clock_of(trial_stays: Iterable[Stay]) -> Clock:
    """Return the clock of a search, made from the times at which its trials ran."""
    runs: list[tuple[float, float]] = []
    for stay in sorted(trial_stays, key=lambda stay: stay.begin):
        if runs and stay.begin <= runs[-1][1] + SHORT:
            runs[-1] = (runs[-1][0], max(runs[-1][1], stay.end))
        else:
            runs.append((stay.begin, stay.end))
    return Clock(runs)


def _stay(record: TrialRecord, attempt: Attempt, end: float, *, last: bool, ended: bool) -> Stay:
    ran = attempt.began + attempt.seconds if ended else end
    return Stay(record, attempt.began, max(min(ran, end), attempt.began), attempt.worker, last)


def _has_ended(record: TrialRecord, attempt: Attempt, *, last: bool, running: bool) -> bool:
    """Whether an attempt ended before its trial did, or has an end of its own, as that of a fold."""
    return (
        (bool(attempt.folds) and record.status.has_ended)
        or not last
        or attempt.lost == PAUSED
        or not (record.status.has_ended or running)
    )
