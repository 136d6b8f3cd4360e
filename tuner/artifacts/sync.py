"""Copies files between the driver's folder of a study and the place of its artifacts.

People and reports read the folder. When a trial ends, the files that its worker wrote on another host are
copied to the folder. Files that the driver writes are copied to the place, so that another driver can use
them. If a file cannot be copied, a warning is logged, and the search continues.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tuner.artifacts import layout
from tuner.artifacts.places import Artifacts
from tuner.artifacts.user_values import write_users
from tuner.trials.messages import Job
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Summary, Users

__all__ = ["Mirror"]

logger = logging.getLogger(__name__)


class Mirror(Observer):
    """An observer of a search that copies the files of a trial when it has ended or is paused.

    Parameters
    ----------
    folder
        Folder of the study on the driver's host.
    artifacts
        Place of the study's artifacts.
    n_folds
        Number of folds of a trial.
    """

    def __init__(self, folder: Path, artifacts: Artifacts, *, n_folds: int) -> None:
        self._n_folds = n_folds
        self._folder = folder
        self._artifacts = artifacts

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # an observer's
        """Copy the files of the trial."""
        self._copy(job.number)

    def paused(self, job: Job, pause: Pause) -> None:  # noqa: ARG002  # as above
        """Copy the files that the trial has so far."""
        self._copy(job.number)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:  # noqa: ARG002  # as above
        """Copy the files of the trial."""
        self._copy(job.number)

    def failed(self, job: Job, cause: str, log: str) -> None:  # noqa: ARG002  # as above
        """Copy the files of the trial."""
        self._copy(job.number)

    def keep_users(self, number: int, users: Users) -> None:
        """Write the per-user values of a fold to the folder and the place.

        This is done before the end of the trial is stored, because other drivers then race with these values.
        """
        write_users(self._folder, number, users)
        try:
            self._leave(self._folder / layout.users(number, users.fold))
        except OSError as error:
            logger.warning("per-user values of trial %d cannot be copied: %s", number, error)

    def bring_users(self, number: int | None = None) -> None:
        """Copy per-user values of other drivers, of one trial or of all, that are missing in the folder."""
        try:
            for name in self._artifacts.names(layout.USERS):
                wanted = number is None or layout.is_users_of(name, number)
                if wanted and not (self._folder / name).exists():
                    self._bring(name)
        except OSError as error:
            logger.warning("per-user values in %s cannot be read: %s", self._artifacts.place, error)

    def bring_logs(self) -> None:
        """Copy the logs that are missing in the folder.

        A worker may write its log after its trial has ended.
        """
        try:
            for name in self._artifacts.names(layout.LOGS):
                if not (self._folder / name).exists():
                    self._bring(name)
        except OSError as error:
            logger.warning("logs in %s cannot be read: %s", self._artifacts.place, error)

    def drop_checkpoint(self, number: int) -> None:
        """Remove the checkpoints of a trial that has ended."""
        try:
            for name in layout.checkpoints(number, self._n_folds):
                self._artifacts.delete(name)
        except OSError as error:
            logger.warning("the checkpoints of trial %d cannot be removed: %s", number, error)

    def _copy(self, number: int) -> None:
        try:
            for name in layout.trial_logs(number, self._n_folds):
                self._bring(name)
            for path in layout.tensorboard_files(self._folder, number):
                self._leave(path)
        except OSError as error:
            logger.warning("some files of trial %d cannot be copied: %s", number, error)

    def _leave(self, path: Path) -> None:
        self._artifacts.write(path.relative_to(self._folder).as_posix(), path.read_bytes())

    def _bring(self, name: str) -> None:
        content = self._artifacts.read(name)
        if content is not None:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
