"""Retains the fitted models of the best trials of a study, and removes those of other trials.

When a fold ends, the trial's worker saves its model with `model.save` of RecTools, in
`models/trial-N/fold-F.pickle` of the study's folder. The model is the one after the last epoch of the fold.
When a trial has ended, the driver removes the models of all trials that are not among the best k of the whole
study. So there are at most the models of k trials and of the running trials. If a driver was killed, or if
several drivers retained k trials each, the next run removes the rest.

Only models that have epochs are retained. Other models are fitted quickly, and may be large.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.artifacts.atomic import remove_leftovers, replaced_file
from tuner.trials.constraints import Constraint, broken
from tuner.trials.messages import Job
from tuner.trials.objective import Direction, sort_key
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Stop
from tuner.trials.records import Summary

if TYPE_CHECKING:
    from rectools.models.base import ModelBase

    from tuner.config import Study
    from tuner.trials.stored import TrialRecord

__all__ = ["FittedModelRetention", "save_fitted_model"]

logger = logging.getLogger(__name__)


def save_fitted_model(folder: Path, number: int, fold: int, model: ModelBase[Any]) -> None:
    """Save the fitted model of one fold. If it cannot be written, a warning is logged.

    Parameters
    ----------
    folder
        Folder of the study.
    number
        Trial number.
    fold
        Index of the fold.
    model
        The fitted model. Only a transformer is saved.
    """
    from rectools.models.nn.transformers.base import TransformerModelBase  # noqa: PLC0415  # the driver needs no torch

    from tuner.evaluation import to_cpu  # noqa: PLC0415  # as above

    if not isinstance(model, TransformerModelBase):
        return
    path = layout.model_path(folder, number, fold)
    remove_leftovers(path)  # of an earlier attempt; a model may be large
    try:
        to_cpu(model)
        with replaced_file(path) as unfinished:
            model.save(unfinished)
    except (OSError, RuntimeError) as error:  # torch raises a RuntimeError if the disk is full
        logger.warning("the model of fold %d cannot be saved: %s", fold + 1, error)


class FittedModelRetention(Observer):
    """An observer of a search that removes the models of trials that are not among the best.

    Parameters
    ----------
    folder
        Folder of the study.
    n_best
        Number of trials whose models are retained. Trials of models without epochs do not count.
    direction
        Direction of the objective.
    constraints
        Constraints of the study. A trial that violates one comes after all trials that do not.
    """

    def __init__(
        self, folder: Path, n_best: int, direction: Direction, constraints: Sequence[Constraint] = ()
    ) -> None:
        self.folder = folder
        self.n_best = n_best
        self.direction = direction
        self.constraints = constraints
        self._ended: dict[int, tuple[bool, float, int]] = {}

    @classmethod
    def of(cls, study: Study, folder: Path, records: Iterable[TrialRecord]) -> FittedModelRetention:
        """Return the retention of a study with its earlier trials, and remove other models."""
        constraints = study.search.constraints
        found = cls(folder, study.training.keep_checkpoints, study.metrics.direction, constraints)
        unfinished = set()
        for record in records:
            if record.summary is not None:
                if record.excluded is None:
                    found._note(record.number, record.summary)
            elif not record.status.has_ended:
                unfinished.add(record.number)
        found._sweep(unfinished)
        return found

    def promise(self, slots: int, n_folds: int) -> str:
        """Return a line about the largest number of files."""
        n_files = (self.n_best + slots) * n_folds
        return f"models: those of the best {self.n_best} trials are retained, at most {n_files} files at once"

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # an observer's signature
        """Remove the models of the trials that are no longer among the best."""
        before = self._best()
        self._note(job.number, summary)
        for number in {*before, job.number} - self._best():
            self._remove(number)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:  # noqa: ARG002  # as above
        """Remove the models of the trial."""
        self._remove(job.number)

    def failed(self, job: Job, cause: str, log: str) -> None:  # noqa: ARG002  # as above
        """Remove the models of the trial."""
        self._remove(job.number)

    def _note(self, number: int, summary: Summary) -> None:
        if not summary.epochs_run:  # its models are not saved
            return
        worse = sort_key(summary.mean, self.direction)
        self._ended[number] = (bool(broken(self.constraints, summary)), worse, number)

    def _best(self) -> set[int]:
        return set(sorted(self._ended, key=self._ended.__getitem__)[: self.n_best])

    def _sweep(self, unfinished: set[int]) -> None:
        retained = {layout.models_folder(self.folder, number) for number in self._best() | unfinished}
        for path in layout.all_models(self.folder):
            if path not in retained:
                shutil.rmtree(path, ignore_errors=True)

    def _remove(self, number: int) -> None:
        shutil.rmtree(layout.models_folder(self.folder, number), ignore_errors=True)
