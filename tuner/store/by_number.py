"""Single trials of a study by their numbers, without a scan of all trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import optuna
from optuna.trial import FrozenTrial, Trial

__all__ = ["TrialsByNumber"]


class TrialsByNumber:
    """Reads and writes trials by number. Each trial has to be noted before.

    Parameters
    ----------
    study
        The Optuna study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._storage = study._storage  # noqa: SLF001  # Optuna has no public way to its storage
        self._ids: dict[int, int] = {}

    def note(self, trials: Iterable[Trial | FrozenTrial]) -> None:
        """Note the ids of trials, which avoids a look-up in the storage for each report."""
        self._ids.update({trial.number: trial._trial_id for trial in trials})  # noqa: SLF001  # Optuna has no public way to the id

    def id_of(self, number: int) -> int:
        """Return the id of a trial in the storage."""
        return self._ids[number]

    def write(self, number: int, attributes: Mapping[str, object]) -> None:
        """Write user attributes of a trial: one write each, without reading the trial."""
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(self._ids[number], key, value)

    def frozen(self, number: int) -> FrozenTrial:
        """Return a trial as it is now."""
        return self._storage.get_trial(self._ids[number])
