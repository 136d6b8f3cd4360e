"""Writes names of objectives and notes of the study and its trials for optuna-dashboard.

Notes have the format of optuna-dashboard 0.21 (`optuna_dashboard.save_note`): attributes of the study, with a
version and the text in parts for each note. They are written without that package, so a run does not need it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import optuna
from optuna.exceptions import ExperimentalWarning

from tuner.formatting import count, duration, in_shell, number
from tuner.trials.messages import Job
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Stop
from tuner.trials.records import Summary
from tuner.trials.schema import FACTS

__all__ = ["DashboardNotes"]

#: Number of trials that get a note. It is limited, because all notes of a study are read at once.
MOST_NOTES = 1000
#: Characters in a part of a note, as in optuna-dashboard.
_PART = 2045


class DashboardNotes(Observer):
    """An observer of a search that writes a note for each trial when it ends.

    Parameters
    ----------
    study
        The Optuna study.
    objectives
        Names of the objectives. The first one ranks the trials.
    folder
        Folder of the study, as the user would type it.
    """

    def __init__(self, study: optuna.Study, objectives: tuple[str, ...], folder: str) -> None:
        self._study = study
        self._objective = objectives[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(objectives))
        known = study._storage.get_study_system_attrs(study._study_id)  # noqa: SLF001  # as in `_save`
        if "dashboard:note_ver" not in known:  # an existing note may have been edited by a person
            self._save(None, _study_note(study, folder))

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Write a note with the results of the trial."""
        epoch = f" at epoch {summary.epoch} of {summary.epochs_run}" if summary.epochs_run else ""
        size = f", {count(summary.n_parameters)} parameters" if summary.n_parameters else ""
        spread = f" ± {number(summary.std)}" if summary.deviation is not None else ""
        lines = [
            f"{_name(job)}: {self._objective} {number(summary.mean)}{spread}{epoch}{size}, "
            f"{duration(seconds)}",
            "",
            *_table(summary),
        ]
        self._note(job, "\n".join(lines))

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Write a note that the trial was stopped, where and why."""
        text = f"stopped after {stop.where} by {stop.rule}: {stop.why}, {duration(seconds)}"
        self._note(job, f"{_name(job)} {text}")

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Write a note with the cause of the failure."""
        self._note(job, f"{_name(job)} failed; its log: `{log}`\n\n```\n{cause}\n```")

    def _note(self, job: Job, text: str) -> None:
        if job.number < MOST_NOTES:
            storage, study_id = self._study._storage, self._study._study_id  # noqa: SLF001  # no public way by number
            self._save(storage.get_trial_id_from_study_id_trial_number(study_id, job.number), text)

    def _save(self, trial_id: int | None, text: str) -> None:
        """Write a note: first its parts, then the version, which makes the dashboard read them."""
        storage, study_id = self._study._storage, self._study._study_id  # noqa: SLF001  # system attributes are not public
        prefix = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
        for index, at in enumerate(range(0, len(text), _PART)):
            storage.set_study_system_attr(study_id, f"{prefix}note_str:{index}", text[at : at + _PART])
        storage.set_study_system_attr(study_id, f"{prefix}note_ver", 1)


def _name(job: Job) -> str:
    model = str(job.params.get("cls", "?")).rsplit(".", 1)[-1]
    return f"**{job.label}**" if job.label == model else f"**{job.label}** ({model})"


def _table(summary: Summary) -> list[str]:
    """Return a Markdown table of metrics with the mean and the value of each fold."""
    folds = [f"fold {index + 1}" for index in range(len(summary.folds))]
    rows = [
        [label, number(value), *(number(fold[label]) for fold in summary.folds)]
        for label, value in summary.metrics.items()
    ]
    cells = [["metric", "mean", *folds], ["---", *["---:"] * (len(folds) + 1)], *rows]
    return [f"| {' | '.join(row)} |" for row in cells]


def _study_note(study: optuna.Study, folder: str) -> str:
    folder = in_shell(folder)
    facts: Mapping[str, object] = study.user_attrs.get(FACTS, {})
    plain = {key: value for key, value in facts.items() if not isinstance(value, (dict, list))}
    known = "\n".join(f"- {key}: `{value}`" for key, value in plain.items())
    return (
        f"## {study.study_name}\n\n"
        "A search of rectools-tuner. The value of a trial is the mean of the objective over folds at its "
        "best epoch. The intermediate values are its learning curves, fold after fold. Baselines have a "
        "`name` among their user attributes.\n\n"
        f"{known}\n\n"
        f"`tuner leaderboard {folder}` ranks the trials, `tuner show {folder} TRIAL` prints one.\n"
    )
