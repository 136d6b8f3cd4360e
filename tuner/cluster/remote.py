"""A study that runs on a cluster, as an object: its state, its leaderboard, its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.artifacts import layout
from tuner.cluster.connection import connect
from tuner.cluster.follow import end_of, follow
from tuner.cluster.queries import fetch
from tuner.cluster.submit import Submitted, find_job
from tuner.reporting.leaderboard import Leaderboard
from tuner.workflows.results import board_of, find_results

__all__ = ["Fetched", "RemoteRun"]


@dataclass(frozen=True)
class Fetched:
    """Results that were copied from a cluster.

    Attributes
    ----------
    folder
        The study's folder on this machine.
    n_bytes
        Bytes that were sent.
    """

    folder: Path
    n_bytes: int

    @property
    def board(self) -> Leaderboard:
        """The leaderboard of the study."""
        return board_of(find_results(self.folder))

    def __str__(self) -> str:
        return str(self.folder)


@dataclass(frozen=True)
class RemoteRun:
    """A run of a study on a cluster. It goes on when this process ends.

    Attributes
    ----------
    job
        The job that runs it.
    address
        URL of the cluster's dashboard.
    is_new
        Whether this call began the run.
    """

    job: Submitted
    address: str
    is_new: bool = False

    def status(self) -> str:
        """Return the state of the job, such as ``running`` or ``succeeded``."""
        return str(connect(self.address).get_job_info(self.job.job_id).status).lower()

    def board(self, to: Path | str = layout.DEFAULT_OUTPUT) -> Leaderboard:
        """Copy the results to a folder here, and return the leaderboard as it is now."""
        return self.fetch(to).board

    def fetch(self, to: Path | str = layout.DEFAULT_OUTPUT) -> Fetched:
        """Copy the study's folder into a folder here. It replaces a copy that was fetched before."""
        client = connect(self.address)
        job = find_job(client, self.job.study, with_results=True)
        target = Path(to) / job.study
        return Fetched(target, fetch(client, f"{job.results}/{job.study}", target.resolve()))

    def stop(self) -> bool:
        """End the run. Finished trials are kept.

        Returns
        -------
        bool
            Whether it was running.
        """
        client = connect(self.address)
        job = find_job(client, self.job.study)
        if job.running:
            client.stop_job(job.job_id)
            end_of(client, job.job_id)
        return job.running

    def wait(self) -> None:
        """Show the output of the run until it ends.

        Raises
        ------
        SearchError
            If the run fails, or was stopped.
        """
        follow(connect(self.address), self.job.job_id, from_start=self.is_new)

    def __repr__(self) -> str:
        return f"<{self.job.study} on {self.address} as {self.job.job_id}>"
