"""Where a leaderboard was read, and what can be done with its trials beyond reading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tuner.config import Study

if TYPE_CHECKING:
    from tuner.holdout import Final
    from tuner.reporting.leaderboard import Leaderboard
    from tuner.reporting.row import Row

__all__ = ["Actions", "Place"]


class Actions(Protocol):
    """What a leaderboard lets others do, because it needs the libraries that train."""

    def judge(self, board: Leaderboard, **asked: Any) -> Final:  # as `tuner.judge` takes them
        """Judge the best trials on the holdout."""

    def load_model(self, place: Place, row: Row, **asked: Any) -> Any:  # noqa: ANN401  # a model of RecTools
        """Load or fit the model of a trial."""


@dataclass(frozen=True)
class Place:
    """Where a leaderboard was read.

    Attributes
    ----------
    folder
        Folder of the study.
    given
        The study as the user gave it, if it was given in this process. It has the data in memory.
    actions
        Who judges and fits; None if the leaderboard was not read by `tuner.load_study` or `tuner.run`.
    """

    folder: Path
    given: Study | None = None
    actions: Actions | None = None
