"""The live table: the state of a search in a few lines that fit the terminal, with any number of trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, JustifyMethod
from rich.table import Table
from rich.text import Text

from tuner.formatting import duration, number
from tuner.trials.objective import Direction, sort_key

__all__ = ["LiveTable", "RunningTrial", "in_order", "where_now"]

#: Largest number of running trials in the table. More would push the best trial off the screen.
MOST_ROWS = 8
#: Number of other lines: the counts, the best trial, the trials that are not shown, and the prompt.
_OTHER_LINES = 4
#: Least widths in characters for the names of model and objective (wide), and for the time (medium).
_WIDE, _MEDIUM = 72, 56


@dataclass(frozen=True)
class RunningTrial:
    """A running trial.

    Attributes
    ----------
    number, label
        Number and label of the trial.
    fold, epoch
        Current fold, from 1, and number of finished epochs in it.
    epochs
        Number of epochs in a fold; 0 for a model that has no epochs.
    value
        Newest value of the objective; None before the first evaluation.
    seconds
        Seconds since the trial started.
    """

    number: int
    label: str
    fold: int
    epoch: int
    epochs: int
    value: float | None
    seconds: float


@dataclass(frozen=True)
class LiveTable:
    """State of a search, which rich draws as a table.

    Attributes
    ----------
    done, total
        Number of trials that have ended in any way, and number of all trials (None if unknown).
    stopped, failed
        How many of them were stopped early, and how many failed.
    others
        Other states, with the number of trials in each.
    running
        Running trials in any order.
    best
        The best trial so far as text, None if there is none.
    objective, direction, n_folds
        Objective, its direction, and number of folds of the study.
    left
        Estimated seconds until the end, None if unknown.
    """

    done: int
    total: int | None
    running: Sequence[RunningTrial]
    objective: str
    direction: Direction
    n_folds: int
    stopped: int = 0
    failed: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    best: str | None = None
    left: float | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        """Draw the table for the size of the terminal.

        Rich calls this at each refresh, so the size may change.
        """
        width, rows = options.max_width, max(1, min(MOST_ROWS, console.height - _OTHER_LINES))
        yield _line(self.counts(), "bold")
        if self.best is not None:
            yield _line(f"best {self.best}", "green")
        if self.running:
            shown = in_order(self.running, self.direction)[:rows]
            yield self._table(sorted(shown, key=lambda trial: trial.number), width)
            rest = in_order(self.running, self.direction)[rows:]
            if rest:
                yield _line(f"  and {_more(rest, self.n_folds)}", "dim")

    def counts(self) -> str:
        """Return the number of trials in each state as text."""
        of = f" of {self.total}" if self.total is not None else ""
        parts = [f"{self.done}{of} done"]
        parts += [f"{self.stopped} stopped early"] if self.stopped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{len(self.running)} running"]
        parts += [f"{n} {state}" for state, n in self.others.items() if n]
        parts += [f"about {duration(self.left)} left"] if self.left and self.running else []
        return " · ".join(parts)

    def _table(self, shown: Sequence[RunningTrial], width: int) -> Table:
        rows = [self._cells(trial, width) for trial in shown]
        table = Table.grid(padding=(0, 2))
        for name in rows[0]:
            justify: JustifyMethod = "right" if name in {"value", "time"} else "left"
            table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
        for cells in rows:
            table.add_row(*cells.values())
        return table

    def _cells(self, trial: RunningTrial, width: int) -> dict[str, str]:
        """Return the cells of a trial for which the terminal has room, by column."""
        name, where, value = f"  trial {trial.number}", where_now(trial, self.n_folds), number(trial.value)
        if width < _MEDIUM:  # one cell, whose end may be cut
            return {"line": f"{name:<11}{value:>7}  {where}"}
        place = {"where": where, "value": value, "time": duration(trial.seconds)}
        if width < _WIDE:
            return {"trial": name} | place
        place["value"] = f"{self.objective} {value}" if value else ""
        return {"trial": name, "label": trial.label} | place


def in_order(running: Sequence[RunningTrial], direction: Direction) -> list[RunningTrial]:
    """Return running trials in the order of display: by objective, then by progress, then by number."""
    return sorted(
        running,
        key=lambda trial: (
            trial.value is None,
            sort_key(trial.value or 0.0, direction),
            (-trial.fold, -trial.epoch),
            trial.number,
        ),
    )


def where_now(trial: RunningTrial, n_folds: int) -> str:
    """Return fold and epoch of a running trial as text."""
    return f"fold {trial.fold}/{n_folds}" + (f", epoch {trial.epoch}/{trial.epochs}" if trial.epochs else "")


def _more(rest: Sequence[RunningTrial], n_folds: int) -> str:
    """Return the number of trials that are not shown, by fold."""
    if n_folds == 1:
        return f"{len(rest)} more"
    folds = Counter(trial.fold for trial in rest)
    return f"{len(rest)} more: " + ", ".join(f"{folds[fold]} in fold {fold}" for fold in sorted(folds))


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
