"""The study store: the one source of truth, an Optuna study in the study's folder or in a database.

A study's folder holds

    journal.log     Optuna's journal: params, states, every evaluation, seeds, timings, failures;
                    absent where the study names a database
    journal.N.log   what it was before the space changed for the Nth time; see `tuner.store.space_migration`
    study.yaml      the study as it was first run, with the database's URL
    logs/           one file per trial
    checkpoints/    what running trials go on from if they are cut off
    models/         fitted models of the folds of the best trials, where the study keeps them
    users/          per-user values of the objective, and of all metrics on the holdout
    tensorboard/    one run per trial
    .lock           who is running it

Trials in the store carry, as user attributes: `params` (flat, as RecTools takes them), `name` (of a
baseline), `seeds`, `evaluation:F:E` (fold F, epoch E), `summary`, `failure`, `stop`, `log`, `seconds`,
`attempts`, `attempt:N` (where attempt N ran, and what became of it), `held:N` (what it held), `driver` (which
of those that share the study), `warm` and `hint` (see `tuner.preparation.warm_start`). The study carries
`facts`, `versions`, `description` and what `tuner.holdout.read` keeps. Everything that people look at is a
function of these.
"""

from __future__ import annotations

from tuner.store.location import (
    hold_study,
    store_exists,
    study_drivers,
    study_holder,
    told_if_lost,
)
from tuner.store.open import open_store
from tuner.store.read import check_exists, read_points, read_records
from tuner.store.shared_view import News
from tuner.store.study_store import Asked, StudyStore

__all__ = [
    "Asked",
    "News",
    "StudyStore",
    "check_exists",
    "hold_study",
    "open_store",
    "read_points",
    "read_records",
    "store_exists",
    "study_drivers",
    "study_holder",
    "told_if_lost",
]
