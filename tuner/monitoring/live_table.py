"""Where a search stands, as a few lines that fit the terminal, however many trials are in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from tuner.formatting import duration, number
from tuner.trials.objective import Direction, sort_key

__all__ = ["MOST_ROWS", "InFlight", "Standing", "in_order"]

#: Running trials in the table; more would push the best one off the screen.
MOST_ROWS = 8
#: Lines that are not the table's: the counts, the best, the rest, and the prompt's.
_OTHER_LINES = 4
#: Characters of a line from which on the model's name and the time have room.
_WIDE, _MEDIUM = 72, 52


@dataclass(frozen=True)
class InFlight:
    """A trial that is running.

    Attributes
    ----------
    number, label
        Of the trial.
    fold, epoch
        Where it is: the fold, from 1, and the epochs that it has finished there.
    epochs
        Of a fold; 0 for a model that is not trained by epochs.
    value
        Its newest objective; None before the first.
    seconds
        Since its start.
    """

    number: int
    label: str
    fold: int
    epoch: int
    epochs: int
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Standing:
    """Where a search stands; what rich draws.

    Attributes
    ----------
    done, total
        Trials that have ended, also early or by a failure, and how many there are to be; None if unknown.
    stopped, failed
        How many of them so ended.
    others
        Further states, and how many trials are in each.
    running
        In any order.
    best
        The best trial so far, in words.
    objective, direction, n_folds
        Of the study.
    left
        Seconds to the end, about.
    """

    done: int
    total: int | None
    running: Sequence[InFlight]
    objective: str
    direction: Direction
    n_folds: int
    stopped: int = 0
    failed: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    best: str | None = None
    left: float | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        """Draw it for a terminal of this size; asked again at each refresh, it follows a change of size."""
        width, rows = options.max_width, max(1, min(MOST_ROWS, console.height - _OTHER_LINES))
        yield _line(self.counts(), "bold")
        if self.best is not None:
            yield _line(f"best {self.best}", "green")
        if self.running:
            shown = in_order(self.running, self.direction)[:rows]
            yield self._table(sorted(shown, key=lambda trial: trial.number), width)
            rest = in_order(self.running, self.direction)[rows:]
            if rest:
                yield _line(f"  and {_rest(rest, self.n_folds)}", "dim")

    def counts(self) -> str:
        """Return how many trials are in which state."""
        of = f" of {self.total}" if self.total is not None else ""
        parts = [f"{self.done}{of} done"]
        parts += [f"{self.stopped} stopped early"] if self.stopped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{len(self.running)} running"]
        parts += [f"{n} {state}" for state, n in self.others.items() if n]
        parts += [f"about {duration(self.left)} left"] if self.left and self.running else []
        return " · ".join(parts)

    def _table(self, shown: Sequence[InFlight], width: int) -> Table:
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "left", "right", "right"):
            table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
        for trial in shown:
            value = f"{self.objective} {number(trial.value)}" if trial.value is not None else ""
            cells = [f"  trial {trial.number}", trial.label, _where(trial, self.n_folds), value]
            cells.append(duration(trial.seconds))
            if width < _WIDE:
                cells[1] = ""
            if width < _MEDIUM:
                cells[3:] = [number(trial.value), ""]
            table.add_row(*cells)
        return table


def in_order(running: Sequence[InFlight], direction: Direction) -> list[InFlight]:
    """Return the trials as one wants to see them: the best objective first, then the furthest, the oldest."""
    return sorted(
        running,
        key=lambda trial: (
            trial.value is None,
            sort_key(trial.value or 0.0, direction),
            (-trial.fold, -trial.epoch),
            trial.number,
        ),
    )


def _where(trial: InFlight, n_folds: int) -> str:
    return f"fold {trial.fold}/{n_folds}" + (f", epoch {trial.epoch}/{trial.epochs}" if trial.epochs else "")


def _rest(rest: Sequence[InFlight], n_folds: int) -> str:
    """Return how many there are besides, and in which fold."""
    if n_folds == 1:
        return f"{len(rest)} more"
    folds = Counter(trial.fold for trial in rest)
    return f"{len(rest)} more: " + ", ".join(f"{folds[fold]} in fold {fold}" for fold in sorted(folds))


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
