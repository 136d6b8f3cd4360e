"""Brings trials to a tracker in a thread of its own: a tracker that is slow or down disturbs no search."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from tuner.monitoring.trackers.tracked import Sink, TrackedTrial
from tuner.trials.messages import Job
from tuner.trials.objective import Direction, is_better
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["BackgroundTracker"]

logger = logging.getLogger(__name__)

#: Seconds between two tries while the tracker is down: the first, and the most.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
#: Seconds that the end of a search waits for the tracker.
LAST_WAIT = 20.0


class BackgroundTracker(Observer):
    """An observer that keeps the newest state of each trial, and a thread that pushes what has changed.

    It begins with the trials of earlier runs. So a tracker that was down gets all it has missed, at the
    latest in the next run.

    Parameters
    ----------
    name
        Name of the tracker, for messages.
    sink
        The client of the tracker.
    records
        Trials of earlier runs.
    direction
        Direction of the objective, to find the best trial.
    say
        Shows a line to the user.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        records: Iterable[TrialRecord],
        *,
        direction: Direction,
        say: Callable[[str], None],
    ) -> None:
        self._name = name
        self._say = say
        self._sink = sink
        self._direction = direction
        begun = [TrackedTrial.of_record(one) for one in records if one.attempts or one.evaluations]
        self._trials = {trial.number: trial for trial in begun}
        self._excluded = {one.number for one in records if one.excluded is not None}
        self._changed = set(self._trials)
        self._news = threading.Condition()
        self._closing: bool | None = None  # once it closes: whether this is the last driver
        self._thread = threading.Thread(target=self._bring, name=f"tracker {name}", daemon=True)
        self._thread.start()

    # ####  --------------  Events of the search  --------------  #### #

    def started(self, job: Job, *, again: bool) -> None:  # noqa: ARG002  # an observer's signature
        """Note that a trial runs."""
        known = self._trials.get(job.number, TrackedTrial.of_job(job))
        self._note(replace(known, params=job.params, status=TrialStatus.RUNNING))

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Note an evaluation."""
        known = self._known(job)
        seen = {**known.evaluations, (evaluation.fold, evaluation.epoch): evaluation}
        self._note(replace(known, evaluations=seen))

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # as above
        """Note that a trial is complete."""
        self._note(replace(self._known(job), status=TrialStatus.COMPLETE, summary=summary))

    def paused(self, job: Job, pause: Pause) -> None:  # noqa: ARG002  # as above
        """Note that a trial is paused."""
        self._note(replace(self._known(job), status=TrialStatus.PAUSED))

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:  # noqa: ARG002  # as above
        """Note that a trial was stopped early."""
        note = f"{stop.rule}: {stop.why}"
        self._note(replace(self._known(job), status=TrialStatus.STOPPED, note=note))

    def failed(self, job: Job, cause: str, log: str) -> None:  # noqa: ARG002  # as above
        """Note that a trial failed."""
        self._note(replace(self._known(job), status=TrialStatus.FAILED, note=cause))

    def _known(self, job: Job) -> TrackedTrial:
        return self._trials.get(job.number) or TrackedTrial.of_job(job)

    def _note(self, trial: TrackedTrial) -> None:
        with self._news:
            self._trials[trial.number] = trial
            self._changed.add(trial.number)
            self._news.notify()

    def close(self, *, last: bool) -> None:
        """Mark what still runs as interrupted, and wait a while until the tracker has everything."""
        for trial in list(self._trials.values()):
            if trial.status is TrialStatus.RUNNING:
                self._note(replace(trial, status=TrialStatus.INTERRUPTED))
        with self._news:
            self._closing = last
            self._news.notify()
        self._thread.join(LAST_WAIT)
        if self._thread.is_alive():
            self._warn(f"{self._name} has not got everything; the next run brings what is missing")

    def _warn(self, text: str) -> None:
        logger.warning(text)
        self._say(f"warning: {text}")

    # ####  --------------  The thread  --------------  #### #

    def _bring(self) -> None:
        """Push what has changed until the search ends and everything is there."""
        wait, opened = FIRST_WAIT, False
        while True:
            with self._news:
                self._news.wait_for(lambda: self._changed or self._closing is not None)
            try:
                if not opened:
                    self._sink.open()
                    opened = True
                self._push_changed()
                wait = FIRST_WAIT
                if self._closing is not None and not self._changed:
                    self._sink.close(self._best(), last=self._closing)
                    return
            except Exception as error:  # noqa: BLE001  # whatever it is: the search goes on, and it is tried again
                if wait == FIRST_WAIT:
                    first = (str(error).strip() or type(error).__name__).splitlines()[0]
                    self._warn(f"{self._name} cannot be reached, and is tried again: {first}")
                threading.Event().wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _push_changed(self) -> None:
        for number in sorted(self._changed):
            with self._news:
                trial = self._trials[number]
            self._sink.push(trial)
            with self._news:
                if self._trials[number] is trial:
                    self._changed.discard(number)

    def _best(self) -> TrackedTrial | None:
        best: TrackedTrial | None = None
        for trial in self._trials.values():
            if trial.summary is None or trial.number in self._excluded:
                continue
            if (
                best is None
                or best.summary is None
                or is_better(trial.summary.mean, best.summary.mean, self._direction)
            ):
                best = trial
        return best
