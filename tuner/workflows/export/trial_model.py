"""The fitted model of a trial, in memory: one that the search retained, or one that is fitted now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rectools.models import load_model
from rectools.models.base import ModelBase

from tuner.artifacts import layout
from tuner.errors import Problem, StoreError
from tuner.execution.logs import logs_to
from tuner.models.launchers import outside_of_jobs
from tuner.monitoring.console import stderr_console
from tuner.reporting.place import Place
from tuner.reporting.row import Row
from tuner.space.imports import see_modules
from tuner.workflows.export.make import fit_model
from tuner.workflows.results import as_run

__all__ = ["model_of_trial"]


def model_of_trial(
    place: Place,
    row: Row,
    *,
    fold: int | None = None,
    before_holdout: bool = False,
    seed: int | None = None,
    interactions: str | None = None,
    other_data: bool = False,
) -> ModelBase[Any]:
    """Return the fitted model of a trial; see `tuner.reporting.row.Row.load_model`.

    Raises
    ------
    UserError
        If the trial has no result, the data differ, or no model of the fold was retained.
    TrialError
        If the fit fails.
    """
    if fold is not None:
        return _retained(place.folder, row.number, fold)
    study = as_run(place, [] if interactions is None else [f"data.interactions={interactions}"])
    with logs_to(layout.command_log(place.folder, "export")):
        trial = fit_model(
            study,
            place.folder,
            str(row.number),
            say=stderr_console().print,
            whole=not before_holdout,
            seed=seed,
            other_data=other_data,
        )
    return trial.fitted.model


def _retained(folder: Path, number: int, fold: int) -> ModelBase[Any]:
    """Return the model that the search fitted on a fold, from 1."""
    path = layout.model_path(folder, number, fold - 1)
    if not path.exists():
        rule = f"must be a fold whose model was retained, but trial {number} has none of fold {fold}"
        hint = "with training.keep_checkpoints: 1, a search retains the models of the best trial"
        raise StoreError(str(folder), [Problem("fold", rule, hint)])
    see_modules(folder)  # the classes may be from a notebook
    with outside_of_jobs():
        return load_model(path)
