"""A trial on the leaderboard, as people look at it: values, params, curve, and its fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuner.errors import Problem, StoreError
from tuner.holdout import JudgedRow
from tuner.reporting.place import Actions, Place
from tuner.reporting.reached import Reached
from tuner.trials.constraints import Constraint
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Row", "actions_of"]


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard: a trial.

    Attributes
    ----------
    rank
        Rank from 1; equal values have the same rank. None if the trial has no result.
    record
        The trial.
    differs
        Values of the params that vary between trials.
    status
        Status of the trial. A running trial whose driver has ended is INTERRUPTED, or QUEUED if no worker had
        started it.
    breaks
        Constraints that the trial violates. Such a trial is below all trials that satisfy the constraints.
    front
        With several objectives, the number of the Pareto front, from 1, if the trial satisfies all
        constraints.
    judged
        Row of the final judgement, None if the trial was not judged.
    reached
        How far a trial without a result came; None if it has a result, or no evaluation.
    place
        Where the leaderboard was read; None if it was made from records.
    """

    rank: int | None
    record: TrialRecord
    differs: Mapping[str, Any]
    status: TrialStatus
    breaks: tuple[Constraint, ...] = ()
    front: int | None = None
    judged: JudgedRow | None = None
    reached: Reached | None = None
    place: Place | None = field(default=None, compare=False)

    @property
    def metrics(self) -> Mapping[str, float]:
        """Mean of each metric over folds, empty until the trial is complete."""
        return self.record.summary.metrics if self.record.summary else {}

    @property
    def number(self) -> int:
        """Trial number."""
        return self.record.number

    @property
    def params(self) -> dict[str, Any]:
        """Flat params, as RecTools' `model_from_params` takes them.

        Examples
        --------
        >>> from rectools.models import model_from_params
        >>> model = model_from_params(board.best.params)  # doctest: +SKIP
        """
        params = self.record.params.items()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in params}

    @property
    def curve(self) -> pd.DataFrame:
        """The learning curve: a row for each evaluation, with fold (from 1), epoch, loss and all metrics."""
        from tuner.reporting.frames import epochs_frame  # noqa: PLC0415  # pandas

        return epochs_frame([self]).drop(columns="trial")

    @property
    def folds(self) -> pd.DataFrame:
        """Metrics of each fold at the trial's best epoch; of a trial without a result, the last ones."""
        from tuner.reporting.frames import folds_frame  # noqa: PLC0415  # pandas

        return folds_frame([self]).drop(columns="trial")

    def load_model(self, *, fold: int | None = None, **asked: Any) -> Any:  # noqa: ANN401  # a model of RecTools
        """Return the fitted RecTools model of this trial.

        Parameters
        ----------
        fold
            A fold, from 1: the model that the search fitted there, if the study retained it
            (`training.keep_checkpoints`). None fits the model on all data, as `tuner.export` does.
        asked
            `before_holdout`, `seed`, `interactions` and `other_data` of `tuner.export`.

        Returns
        -------
        ModelBase
            A fitted model of RecTools, on the CPU.

        Raises
        ------
        StoreError
            If the trial has no result, or the study retained no model of the fold.
        """
        place, actions = actions_of(self.place, f"trial {self.number}")
        return actions.load_model(place, self, fold=fold, **asked)

    def __repr__(self) -> str:
        rank = f", rank {self.rank}" if self.rank is not None else ""
        values = "".join(f", {label} {value:.4f}" for label, value in [*self.metrics.items()][:3])
        return f"<trial {self.number} {self.record.label}: {self.status}{rank}{values}>"

    def _repr_html_(self) -> str:
        from tuner.reporting.cells.trial import trial_html  # noqa: PLC0415  # only a notebook asks for it

        return trial_html(self)


def actions_of(place: Place | None, what: str) -> tuple[Place, Actions]:
    """Return where something was read, and who judges and fits.

    Raises
    ------
    StoreError
        If it was made from records alone.
    """
    if place is None or place.actions is None:
        rule = "must be read with `tuner.load_study`, or come from `tuner.run`, to be fitted or judged"
        raise StoreError(what, [Problem("", rule)])
    return place, place.actions
