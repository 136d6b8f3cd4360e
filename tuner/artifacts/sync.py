"""The driver's folder of a study, and the place of its artifacts, kept alike.

People and reports read the folder. What workers write on other hosts is brought to it when a trial ends, and
what the driver writes there is copied to the place, from where another driver goes on. A file that cannot be
copied is a warning: a search can do without.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tuner.artifacts import layout
from tuner.artifacts.places import Artifacts
from tuner.artifacts.user_values import write_users
from tuner.trials.messages import Job
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary, Users

__all__ = ["Mirror"]

logger = logging.getLogger(__name__)


class Mirror:
    """An observer of a search that copies the files of a trial when it has ended.

    Parameters
    ----------
    folder
        Of the study, on the driver's host.
    artifacts
        The place.
    """

    def __init__(self, folder: Path, artifacts: Artifacts) -> None:
        self._folder = folder
        self._artifacts = artifacts

    def started(self, job: Job, *, again: bool) -> None:
        """Do nothing."""

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Do nothing."""

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # an observer's
        """Copy what the trial has left."""
        self._copy(job.number)

    def paused(self, job: Job, pause: Pause) -> None:  # noqa: ARG002  # as above
        """Copy what the trial has left so far."""
        self._copy(job.number)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:  # noqa: ARG002  # as above
        """Copy what the trial has left."""
        self._copy(job.number)

    def failed(self, job: Job, cause: str, log: str) -> None:  # noqa: ARG002  # as above
        """Copy what the trial has left."""
        self._copy(job.number)

    def keep_users(self, number: int, users: Users) -> None:
        """Keep the per-user values of a fold; before its trial's end is told, for others to race with."""
        write_users(self._folder, number, users)
        try:
            self._leave(self._folder / layout.users(number, users.fold))
        except OSError as error:
            logger.warning("per-user values of trial %d are not copied: %s", number, error)

    def bring_users(self, number: int | None = None) -> None:
        """Bring the per-user values of a trial, or of all, that another driver left and that lack here."""
        try:
            for name in self._artifacts.names(layout.USERS):
                wanted = number is None or layout.is_users_of(name, number)
                if wanted and not (self._folder / name).exists():
                    self._bring(name)
        except OSError as error:
            logger.warning("per-user values in %s cannot be read: %s", self._artifacts.place, error)

    def bring_logs(self) -> None:
        """Bring the logs that lack here: of trials that ended while their worker still wrote."""
        try:
            for name in self._artifacts.names(layout.LOGS):
                if not (self._folder / name).exists():
                    self._bring(name)
        except OSError as error:
            logger.warning("logs in %s cannot be read: %s", self._artifacts.place, error)

    def drop_checkpoint(self, number: int) -> None:
        """Remove the checkpoint of a trial that has ended."""
        try:
            self._artifacts.delete(layout.checkpoint(number))
        except OSError as error:
            logger.warning("the checkpoint of trial %d cannot be removed: %s", number, error)

    def _copy(self, number: int) -> None:
        try:
            self._bring(layout.trial_log(number))
            for path in layout.tensorboard_files(self._folder, number):
                self._leave(path)
        except OSError as error:
            logger.warning("the files of trial %d are not copied whole: %s", number, error)

    def _leave(self, path: Path) -> None:
        self._artifacts.write(path.relative_to(self._folder).as_posix(), path.read_bytes())

    def _bring(self, name: str) -> None:
        content = self._artifacts.read(name)
        if content is not None:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
