"""The store of a study: an Optuna study in the study's folder or in a database. It holds every result.

A study's folder contains

    journal.log     Optuna's journal: params, states, evaluations, seeds, times, failures;
                    missing if the study is in a database
    journal.N.log   the journal before the N-th change of the space; see `tuner.store.space_migration`
    study.yaml      the study as it was first run, with the database's URL
    logs/           one file per trial
    checkpoints/    states from which the next attempts of trials continue
    models/         fitted models of the folds of the best trials, if the study retains them
    users/          per-user values of the objective, and of all metrics on the holdout
    tensorboard/    one run per trial
    .lock           the lock of the driver that runs the study

Trials in the store have these user attributes: `params` (flat, as RecTools takes them), `name` (of a
baseline), `seeds`, `evaluation:F:E` (fold F, epoch E), `summary`, `failure`, `stop`, `log`, `seconds`,
`attempts`, `attempt:N` (where attempt N ran, and how it ended), `held:N` (resource usage of attempt N),
`driver` (which of the drivers that share the study runs it), `warm` and `hint` (see
`tuner.preparation.warm_start`) and `request` (of a trial that a person added). The study has `facts`,
`versions`, `description`, `tracking id`, the attributes of `tuner.holdout.looks`, and `request:ID`,
`answer:ID` and `excluded:N` (see `tuner.trials.requests`). All tables and reports are functions of these
attributes.
"""

from __future__ import annotations

from tuner.store.asked import Asked
from tuner.store.location import (
    folder_named,
    hold_study,
    report_lost_store,
    store_exists,
    study_drivers,
    study_holder,
)
from tuner.store.open import open_store
from tuner.store.read import check_exists, read_points, read_records
from tuner.store.shared_view import News
from tuner.store.study_store import StudyStore

__all__ = [
    "Asked",
    "News",
    "StudyStore",
    "check_exists",
    "folder_named",
    "hold_study",
    "open_store",
    "read_points",
    "read_records",
    "report_lost_store",
    "store_exists",
    "study_drivers",
    "study_holder",
]
