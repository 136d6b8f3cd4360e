"""Fitted models of the best trials of a study: kept while they are among the best, removed as they fall out.

A trial's worker saves the model of each fold as it ends, in `models/trial-N/fold-F.pickle` of the study's
folder, as `model.save` of RecTools writes it: fitted to the last epoch that the fold was trained for. When
the trial has ended, the driver removes what is not among the best k of the whole study. So there are at most
those of k trials, and of the trials under way; what a killed driver left behind goes when the study is run
again, as what several drivers at once, who each keep so many, have too much. Only models that are trained by
epochs are kept: the others are fitted again in no time, and may be large.
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
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary

if TYPE_CHECKING:
    from rectools.models.base import ModelBase

    from tuner.config import Study
    from tuner.trials.stored import TrialRecord

__all__ = ["KeptModels", "keep_model"]

logger = logging.getLogger(__name__)


def keep_model(folder: Path, number: int, fold: int, model: ModelBase[Any]) -> None:
    """Save the fitted model of one fold; if it cannot be written a warning is logged.

    Parameters
    ----------
    folder
        Of the study.
    number
        Of the trial.
    fold
        Index of the fold.
    model
        Fitted; only a transformer is saved.
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
    except (OSError, RuntimeError) as error:  # the latter is torch's, of a full disk
        logger.warning("the model of fold %d cannot be kept: %s", fold + 1, error)


class KeptModels:
    """Removes the models of trials that are not among the best; looks on at a search.

    Parameters
    ----------
    folder
        Of the study.
    n_best
        Trials whose models are kept; those that are not trained by epochs do not count.
    direction
        Of the objective.
    constraints
        A trial that breaks one comes after all that do not.
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
    def of(cls, study: Study, folder: Path, records: Iterable[TrialRecord]) -> KeptModels:
        """Return what keeps the models of a study, told of its earlier trials; the rest is removed."""
        kept = cls(folder, study.training.keep_checkpoints, study.metrics.direction, study.search.constraints)
        under_way = set()
        for record in records:
            if record.summary is not None:
                kept._note(record.number, record.summary)
            elif not record.status.has_ended:
                under_way.add(record.number)
        kept._sweep(under_way)
        return kept

    def promise(self, slots: int, n_folds: int) -> str:
        """Say what disk is used at most."""
        n_files = (self.n_best + slots) * n_folds
        return f"models: those of the best {self.n_best} trials are kept, at most {n_files} files at once"

    def started(self, job: Job, *, again: bool) -> None:
        """Do nothing: its worker writes."""

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Do nothing, as `started`."""

    def paused(self, job: Job, pause: Pause) -> None:
        """Leave what the trial has: it may go on."""

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # an observer's signature
        """Keep the trial's models if it is among the best, and remove those of the one that falls out."""
        before = self._best()
        self._note(job.number, summary)
        for number in {*before, job.number} - self._best():
            self._remove(number)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:  # noqa: ARG002  # as above
        """Remove what the trial has."""
        self._remove(job.number)

    def failed(self, job: Job, cause: str, log: str) -> None:  # noqa: ARG002  # as above
        """Remove what the trial has."""
        self._remove(job.number)

    def _note(self, number: int, summary: Summary) -> None:
        if not summary.epochs_run:  # none of its models is saved
            return
        worse = sort_key(summary.mean, self.direction)
        self._ended[number] = (bool(broken(self.constraints, summary)), worse, number)

    def _best(self) -> set[int]:
        return set(sorted(self._ended, key=self._ended.__getitem__)[: self.n_best])

    def _sweep(self, under_way: set[int]) -> None:
        keep = {layout.models_folder(self.folder, number) for number in self._best() | under_way}
        for path in layout.all_models(self.folder):
            if path not in keep:
                shutil.rmtree(path, ignore_errors=True)

    def _remove(self, number: int) -> None:
        shutil.rmtree(layout.models_folder(self.folder, number), ignore_errors=True)
