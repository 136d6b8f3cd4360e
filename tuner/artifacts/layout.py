"""The names of all files of a study. No other module spells these names.

    studies/NAME/                        the study's folder, below the output folder
        study.yaml                       the study as it is run
        journal.log, journal.N.log       the store, and backups of it from before the space changed
        cell_HASH.py                     modules that were made of code of a notebook
        report.html, report.md
        logs/                            trial-N.log, trial-N-fold-F.log, final-N-seed-S.log, driver.log,
                                         driver-ID.log, COMMAND.log
        checkpoints/trial-N-fold-F.ckpt  states from which folds of trials continue
        users/                           trial-N-fold-F.npz, final-N-seed-S.npz: per-user values;
                                         segments.npz: the test users of each fold in segments
        models/trial-N/fold-F.pickle     fitted models of the best trials
        tensorboard/N-LABEL/
        .lock, .journal.lock, .tune/     used only by the driver

Trials are numbered from 0 with four digits. Folds are numbered from 1 in names, and from 0 in the functions
here. A function that returns a `Path` takes the study's folder. A function that returns a `str` returns the
path below that folder, which is also the name in a shared place.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path

__all__ = [
    "DEFAULT_OUTPUT",
    "FETCHED",
    "JOURNAL",
    "LEFT_AT_HOME",
    "LOCK",
    "LOGS",
    "REPORT",
    "REPORT_TEXT",
    "STUDY_FILE",
    "USERS",
    "all_models",
    "attempt_log",
    "cell_module",
    "checkpoint",
    "checkpoints",
    "command_log",
    "database_lock",
    "driver_log",
    "fold_checkpoint",
    "free_backup",
    "holdout_fit_log",
    "holdout_users",
    "is_users_of",
    "journal_lock",
    "model_path",
    "models_folder",
    "new_journal_folder",
    "probe",
    "scratch_folder",
    "segments",
    "shown",
    "study_folder",
    "tensorboard_files",
    "tensorboard_folder",
    "tensorboard_run",
    "trial_logs",
    "tune_trial",
    "users",
    "users_by_fold",
]

#: Folder in which studies get folders of their names, unless the user names another one.
DEFAULT_OUTPUT = Path("studies")

STUDY_FILE = "study.yaml"
JOURNAL = "journal.log"
REPORT, REPORT_TEXT = "report.html", "report.md"
#: Locked by the driver that runs the study.
LOCK = ".lock"
#: In a folder that was fetched from a cluster: where it came from. Such a folder may be fetched again.
FETCHED = ".fetched"

#: Folders in the study's folder.
LOGS, USERS = "logs", "users"
_CHECKPOINTS, _MODELS, _TENSORBOARD, _SCRATCH = "checkpoints", "models", "tensorboard", ".tune"
#: Names in a study's folder that are of no use elsewhere.
LEFT_AT_HOME = frozenset({LOCK, _SCRATCH, FETCHED})


def study_folder(study: str, output: Path | str = DEFAULT_OUTPUT) -> Path:
    """Return the folder of a study's results."""
    return Path(output).resolve() / study


def cell_module(folder: Path, name: str) -> Path:
    """Return the file of a module that was made of code of a notebook, beside the study's file."""
    return folder / f"{name}.py"


def shown(path: Path) -> str:
    """Return a path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


# --- the store ------------------------------------------------------------------------------------------


def journal_lock(journal: Path) -> Path:
    """Return the file that is locked to write in a journal."""
    return journal.with_name(".journal.lock")


def database_lock(database: Path, study: str) -> tuple[Path, str]:
    """Return folder and name of the file that is locked to run a study in an SQLite database."""
    return database.parent, f".{database.name}.{study}.lock"


def free_backup(folder: Path) -> Path:
    """Return where a backup of the journal may be written."""
    path = folder / JOURNAL
    names = (f"{path.stem}.{number}{path.suffix}" for number in count(1))
    return next(backup for name in names if not (backup := folder / name).exists())


def new_journal_folder(folder: Path) -> Path:
    """Return where a journal is written that is to replace the study's."""
    return folder / ".growing"


# --- logs -----------------------------------------------------------------------------------------------


def driver_log(folder: Path, driver: str | None = None) -> Path:
    """Return the log of the driver; of the one with an id, if several share the study."""
    return folder / LOGS / (f"driver-{driver}.log" if driver else "driver.log")


def command_log(folder: Path, command: str) -> Path:
    """Return the log of a command on a study, such as ``export``."""
    return folder / LOGS / f"{command}.log"


def trial_log(number: int) -> str:
    """Return the name of a trial's log."""
    return f"{LOGS}/trial-{number:04d}.log"


def attempt_log(number: int, folds: Collection[int] | None) -> str:
    """Return the name of the log of an attempt that evaluates some folds of a trial; None for all folds.

    An attempt without the first fold has a log of its own, because it may run at the same time as others.
    """
    if folds is None or 0 in folds or not folds:
        return trial_log(number)
    return f"{LOGS}/trial-{number:04d}-fold-{min(folds) + 1}.log"


def trial_logs(number: int, n_folds: int) -> list[str]:
    """Return the names of all logs that a trial may have."""
    return [trial_log(number), *(attempt_log(number, [fold]) for fold in range(1, n_folds))]


def holdout_fit_log(number: int, seed: int) -> str:
    """Return the name of the log of a fit on the holdout."""
    return f"{LOGS}/final-{number:04d}-seed-{seed}.log"


# --- what trials leave ----------------------------------------------------------------------------------


def checkpoint(number: int) -> str:
    """Return the name of a trial's checkpoint of all folds, which earlier versions wrote."""
    return f"{_CHECKPOINTS}/trial-{number:04d}.ckpt"


def fold_checkpoint(number: int, fold: int) -> str:
    """Return the name of a trial's checkpoint of one fold."""
    return f"{_CHECKPOINTS}/trial-{number:04d}-fold-{fold + 1}.ckpt"


def checkpoints(number: int, n_folds: int) -> list[str]:
    """Return the names of all checkpoints that a trial may have."""
    return [checkpoint(number), *(fold_checkpoint(number, fold) for fold in range(n_folds))]


def users(number: int, fold: int) -> str:
    """Return the name of a trial's values by user in a fold."""
    return f"{_users_of(number)}{fold + 1}.npz"


def segments(folder: Path) -> Path:
    """Return the path of the segments in which the test users of each fold are."""
    return folder / USERS / "segments.npz"


def is_users_of(name: str, number: int) -> bool:
    """Whether this is the name of a trial's values by user."""
    return name.startswith(_users_of(number))


def users_by_fold(folder: Path, number: int) -> Iterator[tuple[int, Path]]:
    """Yield fold and file of all values by user that a trial has left."""
    for path in sorted(folder.glob(f"{_users_of(number)}*.npz")):
        yield int(path.stem.rsplit("-", 1)[1]) - 1, path


def _users_of(number: int) -> str:
    return f"{USERS}/trial-{number:04d}-fold-"


def holdout_users(number: int, seed: int) -> str:
    """Return the name of a trial's values by user on the holdout, fitted with a seed."""
    return f"{USERS}/final-{number:04d}-seed-{seed}.npz"


def models_folder(folder: Path, number: int) -> Path:
    """Return the folder of a trial's fitted models."""
    return folder / _MODELS / f"trial-{number:04d}"


def model_path(folder: Path, number: int, fold: int) -> Path:
    """Return the file of a trial's fitted model of a fold."""
    return models_folder(folder, number) / f"fold-{fold + 1}.pickle"


def all_models(folder: Path) -> Iterator[Path]:
    """Yield the folders of all fitted models."""
    yield from (folder / _MODELS).glob("trial-*")


# --- TensorBoard ----------------------------------------------------------------------------------------


def tensorboard_folder(folder: Path) -> Path:
    """Return what TensorBoard takes as ``--logdir``."""
    return folder / _TENSORBOARD


def tensorboard_run(number: int, label: str) -> str:
    """Return the name of a trial's run, a folder in TensorBoard's."""
    return f"{number:04d}-{label}"


def tensorboard_files(folder: Path, number: int) -> Iterator[Path]:
    """Yield TensorBoard's files of a trial, and those of the whole study."""
    for pattern in (f"{tensorboard_run(number, '*')}/*", "events.*"):
        yield from tensorboard_folder(folder).glob(pattern)


# --- what is of use for a moment ------------------------------------------------------------------------


def scratch_folder(folder: Path, driver: str) -> Path:
    """Return where Ray Tune of a driver writes what nothing reads."""
    return folder / _SCRATCH / driver


def tune_trial(number: int, tune_id: str) -> str:
    """Return the name of a trial's folder in Ray Tune's."""
    return f"trial-{number:04d}-{tune_id}"


def probe() -> str:
    """Return the name of a file that is written to find out whether a place can be used."""
    return f".check/{uuid.uuid4().hex}"
