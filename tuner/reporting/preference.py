"""The prior choice among equals: of the trials that validation cannot tell apart, the cheapest one.

`metrics.prefer` in the study names what is cheap. The choice reads validation only, so it is made before the
holdout is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner.reporting.leaderboard import Leaderboard, Row
from tuner.reporting.paired import compare_on_users
from tuner.trials.constraints import quantities

__all__ = ["Preferred", "preferred"]


@dataclass(frozen=True)
class Preferred:
    """The searched trial that a study takes.

    Attributes
    ----------
    row
        Its row of the leaderboard.
    note
        Why it is not the best searched trial by validation; empty if it is.
    """

    row: Row
    note: str = ""


def preferred(board: Leaderboard, folder: Path, prefer: Sequence[str]) -> Preferred | None:
    """Return the searched trial that a study takes, None if none is complete and satisfies all constraints.

    Two trials are equals if the 95 % interval of their difference on the users of the validation folds
    contains zero. A trial without per-user values has no equals.

    Parameters
    ----------
    board
        Leaderboard of the study.
    folder
        Folder of the study, with the per-user values.
    prefer
        Quantities that should be low, the most important one first; see `tuner.config.metrics.Metrics`.
    """
    best = board.best_searched
    if best is None:
        return None
    if not prefer:
        return Preferred(best)
    ranked = [row for row in board.rows if row.rank is not None and not row.breaks]
    searched = [row for row in ranked if row.record.name is None]
    equals = [row for row in searched if row is best or _is_equal(board, folder, row, best)]
    cheapest = min(equals, key=lambda row: _costs(row, prefer))  # of equal costs, the first by validation
    if cheapest is best:
        return Preferred(best)
    note = (
        f"metrics.prefer takes trial {cheapest.record.number}: validation cannot tell {len(equals)} searched "
        f"trials apart, of which trial {best.record.number} is the best and this one the cheapest "
        f"({_words(cheapest, best, prefer)})"
    )
    return Preferred(cheapest, note)


def _is_equal(board: Leaderboard, folder: Path, row: Row, best: Row) -> bool:
    paired = compare_on_users(folder, row.record, best.record)
    return paired is not None and paired.better(board.direction) is None


def _costs(row: Row, prefer: Sequence[str]) -> list[float]:
    assert row.record.summary is not None, "only complete trials are ranked"
    measured = quantities(row.record.summary)
    return [measured[name] for name in prefer]


def _words(cheapest: Row, best: Row, prefer: Sequence[str]) -> str:
    pairs = zip(prefer, _costs(cheapest, prefer), _costs(best, prefer), strict=True)
    name, cost, other = next((name, cost, other) for name, cost, other in pairs if cost != other)
    return f"{name} {_short(cost)} instead of {_short(other)}"


def _short(cost: float) -> str:
    whole = 100
    return f"{cost:,.0f}" if cost >= whole else f"{cost:.3g}"
