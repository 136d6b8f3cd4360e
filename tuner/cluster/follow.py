"""The lines of a job as they come, until it ends or the user has seen enough."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuner.cluster.job_output import BEGIN, ENDS, RESULT, RESULT_ENDS
from tuner.errors import SearchError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

__all__ = ["Printer", "end_of", "follow"]

#: Seconds without a connection after which following is given up; the job goes on.
_PATIENCE = 600.0
#: Lines of what was said before, when one comes back.
_LAST_LINES = 20
_POLL = 0.3


class _FollowedError(SearchError):
    """A job that was followed has failed; this process ends as its driver did."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


@dataclass
class Printer:
    """Takes a job's output in pieces; writes progress to stderr, and the result to stdout.

    Attributes
    ----------
    skip
        Characters of it that were seen before.
    seen
        Characters taken so far.
    before
        Lines that came before our own; told if ours never come.
    begun
        Whether they have.
    ended
        Whether nothing more is to come.
    """

    skip: int = 0
    seen: int = 0
    before: list[str] = field(default_factory=list)
    begun: bool = False
    ended: bool = False
    _rest: str = ""
    _in_result: bool = False

    def take(self, piece: str) -> None:
        """Take the next piece."""
        self._rest += piece
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            self.seen += len(line) + 1
            self._line(line.rstrip("\r"), quiet=self.seen <= self.skip)

    def reconnected(self) -> None:
        """Begin from the job's first line again, without saying anything twice."""
        self.skip, self.seen, self._rest = max(self.skip, self.seen), 0, ""
        self._in_result = False

    def _line(self, line: str, *, quiet: bool) -> None:
        if line == BEGIN:
            self.begun = True
        elif line == ENDS:
            self.ended = True
        elif line in {RESULT, RESULT_ENDS}:
            self._in_result = line == RESULT
        elif not self.begun:
            self.before.append(line)
        elif not quiet:
            print(line, file=sys.stdout if self._in_result else sys.stderr, flush=True)  # what it is for


def follow(client: JobSubmissionClient, job_id: str, *, from_start: bool) -> None:
    """Show a job's lines until it ends.

    Parameters
    ----------
    client, job_id
        See `tuner.cluster.submit`.
    from_start
        Whether all lines are news; else the last few of those that there are begin.

    Raises
    ------
    SearchError
        If the job failed, with the exit code of its driver.
    """
    printer = Printer()
    if not from_start:
        known = client.get_job_logs(job_id)
        printer.skip = len(known) - len("\n".join(known.split("\n")[-_LAST_LINES - 1 :]))
    lost_at: float | None = None
    while True:
        try:
            asyncio.run(_tail(client, job_id, printer))
            break
        except (OSError, RuntimeError, ConnectionError) as error:  # Ray's classes for a closed connection
            lost_at = _wait(lost_at, printer, error)
    _judge(end_of(client, job_id), printer)


async def _tail(client: JobSubmissionClient, job_id: str, printer: Printer) -> None:
    pieces: AsyncIterator[str] = client.tail_job_logs(job_id)
    async for piece in pieces:
        printer.take(piece)
        if printer.ended:
            return


def _wait(lost_at: float | None, printer: Printer, error: Exception) -> float:
    """Wait before the next attempt; say once that the connection is gone."""
    now = time.monotonic()
    if lost_at is None:
        print("the connection is lost; trying again. The study goes on", file=sys.stderr)  # noqa: T201  # as above
    elif now - lost_at > _PATIENCE:
        hint = "the study goes on there; `tuner attach` comes back to it"
        raise SearchError(f"the cluster can no longer be reached: {error}", hint=hint) from error
    printer.reconnected()
    time.sleep(2)
    return now if lost_at is None else lost_at


def end_of(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """Return how a job ended; its status follows its last line by some seconds."""
    while not (details := client.get_job_info(job_id)).status.is_terminal():
        time.sleep(_POLL)
    return details


def _judge(details: JobDetails, printer: Printer) -> None:
    """Raise what a job's end means."""
    status = str(details.status)
    if status == "SUCCEEDED":
        return
    if status == "STOPPED":
        hint = "`tuner submit` goes on with it"
        raise _FollowedError("the study was stopped; finished trials are kept", exit_code=130, hint=hint)
    said = "\n".join(printer.before[-20:]) or details.message or ""
    if "No module named" in said and "tuner" in said:
        hint = "install it there as cluster.yaml does; that `python` has to be the first on the PATH"
        raise SearchError("the cluster has no rectools-tuner: its `python` cannot import it", hint=hint)
    code = details.driver_exit_code
    if not printer.begun or code is None or code < 0:
        hint = "`tuner submit` of the same study goes on from what is stored"
        raise SearchError(f"the job's driver ended before its time: {details.message or status}", hint=hint)
    raise _FollowedError(f"the study has ended there with exit code {code}; see above", exit_code=code)
