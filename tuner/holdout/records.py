"""Records of a final judgement. They have no arrays, so that the store can keep them as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tuner.holdout.earlier import updated
from tuner.trials.objective import Direction, is_better

__all__ = ["LEVEL", "Comparison", "Final", "Interval", "JudgedRow", "Segment", "SegmentRow"]

#: Share of studies in which an interval contains the truth. In the rest of the studies, at most, the
#: judgement says that two rows differ although they do not.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Bounds that contain the true value in 95 % of studies."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of a row with another one on the same users.

    The words follow the interval: the holdout shows a difference if and only if the interval does not contain
    zero.

    Attributes
    ----------
    other
        Number of the other trial.
    difference
        Mean over users and seeds of the row's objective minus the other row's.
    interval
        Interval of the difference, corrected as the p-value is.
    p_value
        Two-sided p-value, corrected for all comparisons of the family.
    n_users
        Number of users that both rows were judged on.
    n_compared
        Number of comparisons of the family; 1 for the primary comparison, which is not corrected.
    detectable
        Of the primary comparison, the smallest true difference that a holdout like this one shows in 80 of
        100 studies.
    """

    other: int
    difference: float
    interval: Interval
    p_value: float
    n_users: int
    n_compared: int = 1
    detectable: float | None = None

    @property
    def distinguishable(self) -> bool:
        """Whether the holdout shows a difference between the two rows."""
        return not self.interval.low <= 0 <= self.interval.high

    def better(self, direction: Direction) -> bool | None:
        """Whether the row is the better one; None if the holdout shows no difference."""
        return is_better(self.difference, 0.0, direction) if self.distinguishable else None

    def turned(self, other: int) -> Comparison:
        """Return the same comparison from the other side: of the other row with row `other`."""
        turned = Interval(-self.interval.high, -self.interval.low)
        return replace(self, other=other, difference=-self.difference, interval=turned)


@dataclass(frozen=True)
class JudgedRow:
    """A trial, trained on everything before the holdout and judged on it.

    Attributes
    ----------
    number, name, label
        Number, name and label of the trial; see `tuner.trials.stored.TrialRecord`.
    epoch
        Number of epochs it was trained for; 0 for a model that has no epochs.
    seeds
        Seeds of its fits.
    metrics
        Holdout metrics, mean over seeds.
    by_seed
        Holdout metrics of each fit, in the order of `seeds`.
    intervals
        Intervals of the metrics that are means over users.
    validation
        Mean of the objective over the folds of the search.
    optimism
        The objective on validation minus the objective on the holdout.
    against_baseline
        Comparison with the best baseline by validation; None for that baseline, or if there is none. That of
        the winner is the primary comparison.
    against_winner
        Comparison with the winner; None for the winner, or if there is none.
    letters
        Letters of the row, such as ``ab``. Two rows share a letter if and only if no comparison shows a
        difference between them.
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
    against_winner: Comparison | None
    letters: str


@dataclass(frozen=True)
class SegmentRow:
    """A trial on the users of a segment.

    Attributes
    ----------
    number
        Trial number.
    metrics
        Means over seeds and the users of the segment, of the metrics that are means over users.
    intervals
        Intervals of these metrics; empty if the segment has fewer than two users.
    """

    number: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True)
class Segment:
    """Some users of the holdout, and how the rows did for them.

    Attributes
    ----------
    by, name
        What the users are grouped by, and the name of the segment.
    n_users
        Number of users of the holdout in the segment.
    rows
        The judged trials, in the order of `Final.rows`.
    compared
        Comparison of the winner with the best baseline on these users, corrected for the number of segments.
    """

    by: str
    name: str
    n_users: int
    rows: tuple[SegmentRow, ...]
    compared: Comparison | None = None


@dataclass(frozen=True)
class Final:
    """The final judgement of a study.

    Attributes
    ----------
    objective, direction
        The metric that is compared, and its direction.
    rows
        Judged trials in the order of the leaderboard, best first by validation. The holdout changes no place.
    look
        Number of the holdout look, from 1.
    n_users
        Number of users in the holdout.
    baseline
        Number of the trial that `against_baseline` compares with: the best baseline by validation.
    made
        When the look was made, ISO 8601 with the time zone.
    by
        Who made the look, as user and host.
    before
        When and by whom the earlier looks were made, oldest first.
    facts
        Sizes and time borders of the train part and the holdout, for people.
    winner
        Number of the winner: the best searched trial by validation. None if no searched trial was judged.
    note
        Why the winner is not the first searched row, if it is not.
    segments
        The judgement by segment of users.
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
    winner: int | None = None
    note: str = ""
    segments: tuple[Segment, ...] = ()

    @property
    def winner_row(self) -> JudgedRow | None:
        """The row of the winner."""
        return None if self.winner is None else self.row(self.winner)

    @property
    def primary(self) -> Comparison | None:
        """The comparison of the winner with the best baseline; None if one of them is missing."""
        return self.winner_row.against_baseline if self.winner_row is not None else None

    def place(self, number: int) -> int:
        """Return the place of a row, from 1."""
        return next(place for place, row in enumerate(self.rows, 1) if row.number == number)

    def row(self, number: int) -> JudgedRow | None:
        """Return the row of a trial, None if it was not judged."""
        return next((row for row in self.rows if row.number == number), None)

    def __str__(self) -> str:
        from tuner.holdout.text import render_final  # noqa: PLC0415  # it builds on this module

        return render_final(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from tuner.holdout.cell import verdict_html  # noqa: PLC0415  # as above

        return verdict_html(self)

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Final:
        """Return the judgement of a dictionary that `to_plain` made."""
        if "winner" not in plain:
            plain = updated(plain)
        rows = tuple(_row(row) for row in plain["rows"])
        segments = tuple(_segment(segment) for segment in plain.get("segments", ()))
        before = tuple(plain.get("before", ()))
        return cls(**{**plain, "rows": rows, "before": before, "segments": segments})


def _segment(plain: Mapping[str, Any]) -> Segment:
    rows = tuple(SegmentRow(**{**row, "intervals": _intervals(row["intervals"])}) for row in plain["rows"])
    return Segment(**{**plain, "rows": rows, "compared": _comparison(plain["compared"])})


def _intervals(plain: Mapping[str, Any]) -> dict[str, Interval]:
    return {label: Interval(**bounds) for label, bounds in plain.items()}


def _row(plain: Mapping[str, Any]) -> JudgedRow:
    read = {
        "seeds": tuple(plain["seeds"]),
        "by_seed": tuple(plain["by_seed"]),
        "intervals": _intervals(plain["intervals"]),
        "against_baseline": _comparison(plain["against_baseline"]),
        "against_winner": _comparison(plain["against_winner"]),
    }
    return JudgedRow(**{**plain, **read})


def _comparison(plain: Mapping[str, Any] | None) -> Comparison | None:
    return None if plain is None else Comparison(**{**plain, "interval": Interval(**plain["interval"])})
