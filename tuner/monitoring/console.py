"""Shows a running search to a person: a live table on a terminal, otherwise one line for each event.

Everything is written to stderr, because stdout is for results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tuner.formatting import duration, number, visible
from tuner.formatting.notebooks import in_notebook
from tuner.monitoring.cell_view import CellView
from tuner.monitoring.live_table import LiveTable, RunningTrial
from tuner.trials.constraints import Constraint, broken
from tuner.trials.messages import Job
from tuner.trials.objective import Direction, is_better
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["Progress", "stderr_console"]

#: Redraws in a second. There are few, because each takes milliseconds of the process that starts the trials.
REFRESHES = 2


def stderr_console() -> Console:
    """Return the console for everything that is not a result. It obeys no character of a message.

    In a notebook it is stdout, because stderr looks like an error there.
    """
    return _Plain(
        stderr=not in_notebook(),
        highlight=False,
        soft_wrap=True,
        markup=False,
        force_jupyter=False,  # rich would draw lines of text as HTML
    )


class _Plain(Console):
    """A console that shows control characters in text and does not send them to the terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does."""
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **options)


@dataclass
class _Running:
    job: Job
    began: float
    epochs: int
    last: Evaluation | None = None


@dataclass
class _Best:
    name: str
    value: float


@dataclass
class _Counts:
    done: int = 0
    failed: int = 0
    stopped: int = 0
    seconds: list[float] = field(default_factory=list)  # of trials of the search


class Progress(Observer):
    """An observer of a search that shows its progress; a context manager.

    Parameters
    ----------
    console
        Console to write to. If it is a terminal, it shows the live table.
    total
        Number of trials and baselines in the whole search; None if unknown.
    already
        How many of them ended in earlier runs.
    n_folds
        Number of folds of a trial.
    objective, direction
        The metric that ranks trials, and its direction.
    constraints
        Constraints of the study. A trial that violates one is never the best.
    concurrency
        Number of trials at once, to estimate the time left; None takes the number of running trials.
    folder
        Folder of the study, as the user would type it.
    ends_at
        End of the time budget on the clock of `time.monotonic`; None if there is no time budget.
    n_paused
        Returns the number of paused trials.
    """

    def __init__(
        self,
        console: Console,
        *,
        total: int | None,
        already: int,
        n_folds: int,
        objective: str,
        direction: Direction,
        constraints: Sequence[Constraint] = (),
        concurrency: int | None,
        folder: str,
        ends_at: float | None = None,
        n_paused: Callable[[], int] = lambda: 0,
    ) -> None:
        self._console = console
        self._total = total
        self._already = already
        self._n_folds = n_folds
        self._objective = objective
        self._direction = direction
        self._constraints = constraints
        self._concurrency = concurrency
        self._folder = folder
        self._ends_at = ends_at
        self._counts = _Counts()
        self._others: dict[str, int] = {}
        self._running: dict[int, _Running] = {}
        self._interrupted: set[int] = set()
        self._n_paused = n_paused
        self._best: _Best | None = None
        self._cell = CellView(self.live_table) if in_notebook() else None
        self._live = (
            Live(
                get_renderable=self.live_table, console=console, refresh_per_second=REFRESHES, transient=True
            )
            if console.is_terminal and self._cell is None
            else None
        )

    def __enter__(self) -> Progress:
        view = self._live or self._cell
        if view is not None:
            view.start()
        return self

    def __exit__(self, *_: object) -> None:
        view = self._live or self._cell
        if view is not None:
            view.stop()

    def remember(self, records: Iterable[TrialRecord]) -> None:
        """Take the best trial so far from the trials that ended in earlier runs."""
        for record in records:
            complete = record.summary is not None and record.status == TrialStatus.COMPLETE
            if complete and record.summary is not None and record.excluded is None:
                self._update_best(f"trial {record.number} {record.label}", record.summary)

    def started(self, job: Job, *, again: bool, seconds: float = 0.0) -> None:
        """Show that a trial runs, since `seconds` ago.

        Write a line only if it starts again after an interruption in an earlier run, or of another driver.
        """
        epochs = int(str(job.params.get("epochs", 0)))
        self._running[job.number] = _Running(job, time.monotonic() - seconds, epochs)
        if again and job.number not in self._interrupted:
            self._say(f"{_name(job)} was interrupted and starts again")

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Show the trial's newest metrics, of its latest fold if several run at once."""
        running = self._running.get(job.number)
        if running is not None and (running.last is None or evaluation.fold >= running.last.fold):
            running.last = evaluation

    def fold_lost(self, job: Job, fold: int, why: str) -> None:
        """Write a line that a fold of a running trial starts again, with the reason."""
        self._say(f"{_name(job)}: fold {fold + 1} starts again, because {why}")

    def interrupted(self, job: Job, why: str) -> None:
        """Write a line that a trial will start again, with the reason."""
        self._running.pop(job.number, None)
        self._interrupted.add(job.number)
        self._say(f"{_name(job)} starts again, because {why}")

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Write a line with the result of a trial."""
        self._end(job, seconds)
        breaks = broken(self._constraints, summary)
        best = self._update_best(_name(job), summary)
        epoch = f", epoch {summary.epoch} of {summary.epochs_run}" if summary.epochs_run else ""
        value = f"{self._objective} {number(summary.mean)}"
        spread = f" ± {number(summary.std)}" if self._n_folds > 1 else ""
        mark = f"violates {' and '.join(map(str, breaks))}" if breaks else "best" if best else ""
        self._say(f"{_name(job)}: {value}{spread}{epoch}, {duration(seconds)}", mark=mark)

    def paused(self, job: Job, pause: Pause) -> None:  # noqa: ARG002  # an observer's signature
        """Show a paused trial as no longer running. It gets no line of its own."""
        self._running.pop(job.number, None)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Write a line that a trial was stopped early, with the place and the reason."""
        self._end(job, seconds)
        self._counts.stopped += 1
        self._say(f"{_name(job)} stopped after {stop.where} by {stop.rule}: {stop.why}, {duration(seconds)}")

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Write a line with the cause of a failure."""
        self._end(job, None)
        self._counts.failed += 1
        self._say(f"{_name(job)} failed: {cause} (see {self._folder}/{log})", style="red")

    def remove(self, number: int) -> None:
        """Remove a trial from the running ones. It is paused or interrupted and has not ended."""
        self._running.pop(number, None)

    def count(self, others: Mapping[str, int]) -> None:
        """Set the numbers of trials in states for which no events are reported here."""
        self._others = dict(others)

    def live_table(self) -> LiveTable:
        """Return the live table of the current state."""
        counts, best, n_paused = self._counts, self._best, self._n_paused()
        return LiveTable(
            done=self._already + counts.done + counts.failed,
            total=self._total,
            stopped=counts.stopped,
            failed=counts.failed,
            others=self._others | ({"paused": n_paused} if n_paused else {}),
            running=[self._running_trial(trial) for trial in self._running.values()],
            best=visible(f"{best.name}: {self._objective} {number(best.value)}")
            if best is not None
            else None,
            objective=self._objective,
            direction=self._direction,
            n_folds=self._n_folds,
            left=self._time_left(),
        )

    def _update_best(self, name: str, summary: Summary) -> bool:
        """Record a trial as the best so far, if it is; return whether it is."""
        best, value = self._best, summary.mean
        if broken(self._constraints, summary):
            return False
        if best is not None and not is_better(value, best.value, self._direction):
            return False
        self._best = _Best(name, value)
        return True

    def _running_trial(self, trial: _Running) -> RunningTrial:
        last, epochs = trial.last, trial.epochs
        fold, epoch = (last.fold + 1, last.epoch) if last else (1, 0)
        if epochs and epoch >= epochs and fold < self._n_folds:
            fold, epoch = fold + 1, 0
        return RunningTrial(
            trial.job.number,
            visible(trial.job.label),
            fold,
            epoch,
            epochs,
            last.metrics.get(self._objective) if last else None,
            time.monotonic() - trial.began,
        )

    def _time_left(self) -> float | None:
        counts = self._counts
        estimates: list[float] = []
        if counts.seconds and self._total is not None:
            left = max(0, self._total - self._already - counts.done - counts.failed)
            at_once = self._concurrency or max(1, len(self._running))
            estimates.append(left * sum(counts.seconds) / len(counts.seconds) / at_once)
        if self._ends_at is not None:
            estimates.append(max(0.0, self._ends_at - time.monotonic()))
        return min(estimates, default=None)

    def _end(self, job: Job, seconds: float | None) -> None:
        self._running.pop(job.number, None)
        if seconds is not None:
            self._counts.done += 1
        if seconds is not None and not job.baseline:  # other models take other times
            self._counts.seconds.append(seconds)

    def _say(self, text: str, *, mark: str = "", style: str | None = None) -> None:
        clock = time.strftime("%H:%M:%S")
        done = self._already + self._counts.done + self._counts.failed
        total = None if self._total is None else max(self._total, done)  # people may add trials
        of = f"{done:>{len(str(total))}}/{total}" if total is not None else str(done)
        line = f"{clock}  {of}  {text}{f'  ({mark})' if mark else ''}"
        if self._cell is not None:
            self._cell.add(line)
            return
        write: Callable[..., None] = (
            self._live.console.print if self._live is not None else self._console.print
        )
        write(Text(visible(line), style=style or ""))


def _name(job: Job) -> str:
    return f"trial {job.number} {job.label}"
