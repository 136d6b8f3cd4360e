"""What a final judgement comes to: records without arrays, which the store keeps as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tuner.trials.objective import Direction

__all__ = ["LEVEL", "Comparison", "Final", "Interval", "JudgedRow"]

#: Share of studies in which an interval holds the truth; one minus it, of those that tell rows apart wrongly.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Bounds that hold the true value in 95 % of studies."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A row against another on the same users.

    Attributes
    ----------
    other
        Number of the other trial.
    difference
        The row's objective minus the other's, mean over users and seeds.
    interval
        Of the difference; of this one comparison, not corrected.
    p_value
        Two-sided, corrected for all comparisons of the judgement.
    n_users
        Users that both were judged on.
    n_compared
        Comparisons that the correction counts.
    """

    other: int
    difference: float
    interval: Interval
    p_value: float
    n_users: int
    n_compared: int = 1

    @property
    def told_apart(self) -> bool:
        """Whether the two differ, as far as the holdout can tell."""
        return self.p_value < 1 - LEVEL


@dataclass(frozen=True)
class JudgedRow:
    """A trial, trained on everything before the holdout and judged on it.

    Attributes
    ----------
    number, name, label
        Of the trial; see `tuner.trials.stored.TrialRecord`.
    epoch
        That it was trained for; 0 for a model that is not trained by epochs.
    seeds
        Of its fits.
    metrics
        Mean over seeds.
    by_seed
        The metrics of each fit, in the order of `seeds`.
    intervals
        Of the metrics that are means over users.
    validation
        The objective's mean over the folds of the search.
    optimism
        Validation minus holdout.
    against_baseline
        Against the best baseline by validation; None for that one, or if there is none.
    against_next
        Against the next row; None for the last one.
    group
        From 1: the rows of a group cannot be told apart from its first.
    """

    number: int
    name: str | None
    label: str
    epoch: int
    seeds: tuple[int, ...]
    metrics: Mapping[str, float]
    by_seed: tuple[Mapping[str, float], ...]
    intervals: Mapping[str, Interval]
    validation: float
    optimism: float
    against_baseline: Comparison | None
    against_next: Comparison | None
    group: int


@dataclass(frozen=True)
class Final:
    """The final judgement of a study.

    Attributes
    ----------
    objective, direction
        What decides.
    rows
        Best first by the objective on the holdout.
    look
        From 1: how often this holdout had been looked at, this time included.
    n_users
        Users of the holdout.
    baseline
        Number of the trial that `against_baseline` compares with: the best baseline by validation.
    made
        When, ISO 8601 with the time zone.
    by
        Who looked, as user and host.
    before
        When and by whom the looks before were, oldest first.
    facts
        Sizes and borders of what was trained and judged on, for people.
    """

    objective: str
    direction: Direction
    rows: tuple[JudgedRow, ...]
    look: int
    n_users: int
    baseline: int | None
    made: str
    by: str = ""
    before: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def row(self, number: int) -> JudgedRow | None:
        """Return the row of a trial, None if it was not judged."""
        return next((row for row in self.rows if row.number == number), None)

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Final:
        """Read what `to_plain` gave."""
        rows = tuple(_row(row) for row in plain["rows"])
        return cls(**{**plain, "rows": rows, "before": tuple(plain.get("before", ()))})


def _row(plain: Mapping[str, Any]) -> JudgedRow:
    read = {
        "seeds": tuple(plain["seeds"]),
        "by_seed": tuple(plain["by_seed"]),
        "intervals": {label: Interval(**bounds) for label, bounds in plain["intervals"].items()},
        "against_baseline": _comparison(plain["against_baseline"]),
        "against_next": _comparison(plain["against_next"]),
    }
    return JudgedRow(**{**plain, **read})


def _comparison(plain: Mapping[str, Any] | None) -> Comparison | None:
    return None if plain is None else Comparison(**{**plain, "interval": Interval(**plain["interval"])})
