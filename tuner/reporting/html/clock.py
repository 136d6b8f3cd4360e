"""Time as a search had it: pauses between its runs left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuner.trials.outcomes import Attempt
from tuner.trials.stored import TrialRecord

__all__ = ["Clock", "Stay", "clock_of", "stays"]

#: Seconds without any trial that are no pause: a worker starts, the sampler thinks.
SHORT = 60.0


@dataclass(frozen=True)
class Clock:
    """Seconds of search at a moment.

    Attributes
    ----------
    runs
        Times (begin, end) in which trials ran, in order and apart.
    """

    runs: Sequence[tuple[float, float]]

    def __call__(self, moment: float) -> float:
        """Return how long the search had run, in seconds."""
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
        As `datetime.timestamp` counts.
    worker
        Its host and process; None where the study does not say.
    last
        Whether it is the trial's last attempt.
    """

    record: TrialRecord
    begin: float
    end: float
    worker: str | None = None
    last: bool = True


def stays(records: Iterable[TrialRecord], now: datetime) -> list[Stay]:
    """Return when each trial ran, attempt by attempt where the study says, in order of their begin."""
    found: list[Stay] = []
    for record in records:
        if record.started is None:
            continue
        end = (record.ended or now).timestamp()
        if not record.attempts:
            begin = record.started.timestamp()
            if record.seconds is not None:  # a trial that was cut off waited for the next run
                begin = max(begin, end - record.seconds - 1)
            found.append(Stay(record, begin, max(end, begin)))
            continue
        final = record.attempts[-1]
        found.extend(_stay(record, attempt, end, last=attempt is final) for attempt in record.attempts)
    return sorted(found, key=lambda stay: (stay.begin, stay.record.number))


def clock_of(trial_stays: Iterable[Stay]) -> Clock:
    """Return the clock of a search from when its trials ran."""
    runs: list[tuple[float, float]] = []
    for stay in sorted(trial_stays, key=lambda stay: stay.begin):
        if runs and stay.begin <= runs[-1][1] + SHORT:
            runs[-1] = (runs[-1][0], max(runs[-1][1], stay.end))
        else:
            runs.append((stay.begin, stay.end))
    return Clock(runs)


def _stay(record: TrialRecord, attempt: Attempt, end: float, *, last: bool) -> Stay:
    ran = end if last else attempt.began + attempt.seconds
    return Stay(record, attempt.began, max(min(ran, end), attempt.began), attempt.worker, last)
