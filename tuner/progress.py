"""What a person sees while a search runs: a live table on a terminal, else one line per event.

Everything goes to stderr; stdout is for results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tuner.constraints import Constraint, broken
from tuner.quantities import duration, number
from tuner.results import Direction, Evaluation, Job, Stop, Summary, is_better

__all__ = ["Progress", "stderr_console"]

_SHOWN = 8  # running trials in the table; more would push the best one off the screen


def stderr_console() -> Console:
    """Return the console for all that is not a result."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class _Running:
    job: Job
    began: float
    epochs: int
    last: Evaluation | None = None


@dataclass
class _Best:
    job: Job
    summary: Summary


@dataclass
class _Counts:
    done: int = 0
    failed: int = 0
    stopped: int = 0
    seconds: list[float] = field(default_factory=list)


class Progress:
    """Looks on and shows where the search stands; a context manager.

    Parameters
    ----------
    console
        Where to write; a terminal gets the live table.
    total
        Trials and baselines when all are done.
    already
        How many of them earlier runs have ended.
    n_folds
        Of a trial.
    objective, direction
        What decides.
    constraints
        A trial that breaks one is never the best.
    concurrency
        Trials at once, for the time left.
    folder
        Of the study, as the user would type it.
    ends_at
        End of the time budget on the clock of `time.monotonic`; None for none.
    resting
        Numbers of the trials that rest from an earlier run.
    """

    def __init__(
        self,
        console: Console,
        *,
        total: int,
        already: int,
        n_folds: int,
        objective: str,
        direction: Direction,
        constraints: Sequence[Constraint] = (),
        concurrency: int,
        folder: str,
        ends_at: float | None = None,
        resting: Collection[int] = (),
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
        self._running: dict[int, _Running] = {}
        self._resting = set(resting)
        self._best: _Best | None = None
        self._live = (
            Live(get_renderable=self.render, console=console, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, job: Job, *, again: bool) -> None:
        """Show that a trial runs; say it only where that is news."""
        self._resting.discard(job.number)
        self._running[job.number] = _Running(job, time.monotonic(), int(str(job.params.get("epochs", 0))))
        if again:
            self._say(f"{_name(job)} was cut off and begins again")

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Show the trial's newest metrics."""
        if job.number in self._running:
            self._running[job.number].last = evaluation

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Say how a trial ended."""
        self._end(job, seconds)
        breaks = broken(self._constraints, summary)
        best = not breaks and (
            self._best is None or is_better(summary.mean, self._best.summary.mean, self._direction)
        )
        if best:
            self._best = _Best(job, summary)
        epoch = f", epoch {summary.epoch} of {summary.epochs_run}" if summary.epochs_run else ""
        value = f"{self._objective} {number(summary.mean)}"
        spread = f" ± {number(summary.std)}" if self._n_folds > 1 else ""
        mark = f"breaks {' and '.join(map(str, breaks))}" if breaks else "best" if best else ""
        self._say(f"{_name(job)}: {value}{spread}{epoch}, {duration(seconds)}", mark=mark)

    def rested(self, job: Job) -> None:
        """Count a trial that rests; it is no news."""
        self._running.pop(job.number, None)
        self._resting.add(job.number)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Say that a trial was stopped early, where and why."""
        self._end(job, seconds)
        self._counts.stopped += 1
        self._say(f"{_name(job)} stopped after {stop.where} by {stop.rule}: {stop.why}, {duration(seconds)}")

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Say why a trial failed."""
        self._end(job, None)
        self._counts.failed += 1
        self._say(f"{_name(job)} failed: {cause} (see {self._folder}/{log})", style="red")

    def render(self) -> Group:
        """Return the live view."""
        counts = self._counts
        parts = [f"{self._already + counts.done + counts.failed} of {self._total} done"]
        parts += [f"{counts.stopped} stopped early"] if counts.stopped else []
        parts += [f"{counts.failed} failed"] if counts.failed else []
        parts += [f"{len(self._running)} running"]
        parts += [f"{len(self._resting)} resting"] if self._resting else []
        left = self._time_left()
        parts += [f"about {duration(left)} left"] if left is not None else []
        lines: list[Text | Table] = [Text(" · ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")]
        if self._best is not None:
            text = f"best {_name(self._best.job)}: {self._objective} {number(self._best.summary.mean)}"
            lines.append(Text(text, style="green", no_wrap=True, overflow="ellipsis"))
        if self._running:
            lines.append(self._table())
        return Group(*lines)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "left", "right", "right"):
            table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
        running = list(self._running.values())
        for trial in running[:_SHOWN]:
            table.add_row(*_running_cells(trial, self._objective, self._n_folds))
        if len(running) > _SHOWN:
            table.add_row(f"and {len(running) - _SHOWN} more", "", "", "", "")
        return table

    def _time_left(self) -> float | None:
        counts = self._counts
        estimates: list[float] = []
        if counts.seconds:
            left = max(0, self._total - self._already - counts.done - counts.failed)
            estimates.append(left * sum(counts.seconds) / len(counts.seconds) / self._concurrency)
        if self._ends_at is not None:
            estimates.append(max(0.0, self._ends_at - time.monotonic()))
        return min(estimates, default=None)

    def _end(self, job: Job, seconds: float | None) -> None:
        self._running.pop(job.number, None)
        self._resting.discard(job.number)
        if seconds is not None:
            self._counts.done += 1
            self._counts.seconds.append(seconds)

    def _say(self, text: str, *, mark: str = "", style: str | None = None) -> None:
        clock = time.strftime("%H:%M:%S")
        done = self._already + self._counts.done + self._counts.failed
        line = (
            f"{clock}  {done:>{len(str(self._total))}}/{self._total}  {text}{f'  ({mark})' if mark else ''}"
        )
        write: Callable[..., None] = (
            self._live.console.print if self._live is not None else self._console.print
        )
        write(Text(line, style=style or ""))


def _running_cells(trial: _Running, objective: str, n_folds: int) -> tuple[str, str, str, str, str]:
    last = trial.last
    fold = last.fold + 1 if last else 1
    epoch = last.epoch if last else 0
    if trial.epochs and epoch >= trial.epochs and fold < n_folds:
        fold, epoch = fold + 1, 0
    where = f"fold {fold}/{n_folds}" + (f", epoch {epoch}/{trial.epochs}" if trial.epochs else "")
    value = f"{objective} {number(last.metrics[objective])}" if last else ""
    return (
        f"  trial {trial.job.number}",
        trial.job.label,
        where,
        value,
        duration(time.monotonic() - trial.began),
    )


def _name(job: Job) -> str:
    return f"trial {job.number} {job.label}"
