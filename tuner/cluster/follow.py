"""Shows the output of a job while it runs, until it ends or the user interrupts."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuner.cluster.job_output import BEGIN, ENDS, RESULT, RESULT_ENDS
from tuner.errors import SearchError
from tuner.errors.caller import hint as hint_for
from tuner.formatting import visible

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

__all__ = ["Printer", "end_of", "follow"]

#: Seconds without a connection after which `follow` gives up. The job continues.
_PATIENCE = 600.0
#: Number of earlier lines that are shown when a user returns to a job.
_LAST_LINES = 20
_POLL = 0.3


class _FollowedError(SearchError):
    """A followed job has failed. This process ends with the exit code of the job's driver."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


@dataclass
class Printer:
    """Receives a job's output in pieces. It writes progress to stderr and the result to stdout.

    Attributes
    ----------
    skip
        Number of characters at the start of the output that are not printed, because they were printed
        before.
    seen
        Number of characters received so far.
    before
        Ray's lines before the first line of `on_head`. They are in the message if that line never comes.
    begun
        Whether the first line of `on_head` has come.
    ended
        Whether the last line of `on_head` has come.
    """

    skip: int = 0
    seen: int = 0
    before: list[str] = field(default_factory=list)
    begun: bool = False
    ended: bool = False
    _unfinished: str = ""
    _in_result: bool = False

    def take(self, piece: str) -> None:
        """Receive the next piece, and print its complete lines."""
        self._unfinished += piece
        *lines, self._unfinished = self._unfinished.split("\n")
        for line in lines:
            self.seen += len(line) + 1
            self._line(line.rstrip("\r"), quiet=self.seen <= self.skip)

    def reconnected(self) -> None:
        """Prepare to receive the output from its first line again, without printing anything twice."""
        self.skip, self.seen, self._unfinished = max(self.skip, self.seen), 0, ""
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
            print(
                visible(line), file=sys.stdout if self._in_result else sys.stderr, flush=True
            )  # the purpose of this class


def follow(client: JobSubmissionClient, job_id: str, *, from_start: bool) -> None:
    """Show the output of a job until it ends.

    Parameters
    ----------
    client
        See `tuner.cluster.connection.connect`.
    job_id
        Submission id of the job.
    from_start
        Whether to show all lines from the first. If false, only the last few of the earlier lines are shown.

    Raises
    ------
    SearchError
        If the job failed or was stopped. It has the exit code of the job's driver.
    """
    printer = Printer()
    if not from_start:
        known = client.get_job_logs(job_id)
        printer.skip = len(known) - len("\n".join(known.split("\n")[-_LAST_LINES - 1 :]))
    lost_at: float | None = None
    while True:
        try:
            _run(_tail(client, job_id, printer))
            break
        except (OSError, RuntimeError, ConnectionError) as error:  # Ray's classes for a closed connection
            lost_at = _wait(lost_at, printer, error)
    _judge(end_of(client, job_id), printer)


def _run(output: Coroutine[None, None, None]) -> None:
    """Run a coroutine to its end. A notebook has a loop of its own, so this takes another thread there."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(output)
        return
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as pool:
        task = loop.create_task(output)
        running = pool.submit(loop.run_until_complete, task)
        try:
            running.result()
        except BaseException:  # the stop button of the notebook
            loop.call_soon_threadsafe(task.cancel)
            raise


async def _tail(client: JobSubmissionClient, job_id: str, printer: Printer) -> None:
    pieces: AsyncIterator[str] = client.tail_job_logs(job_id)
    async for piece in pieces:
        printer.take(piece)
        if printer.ended:
            return


def _wait(lost_at: float | None, printer: Printer, error: Exception) -> float:
    """Wait before the next connection. The first time, print that the connection is lost."""
    now = time.monotonic()
    if lost_at is None:
        print("the connection is lost; connecting again. The study continues", file=sys.stderr)  # noqa: T201  # as above
    elif now - lost_at > _PATIENCE:
        again = hint_for(command="`tuner attach`", python="attach(name).wait()")
        hint = f"the study continues on the cluster; {again} follows it again"
        raise SearchError(f"the cluster can no longer be reached: {error}", hint=hint) from error
    printer.reconnected()
    time.sleep(2)
    return now if lost_at is None else lost_at


def end_of(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """Wait until a job has ended, and return its details. Its status changes seconds after its last line."""
    while not (details := client.get_job_info(job_id)).status.is_terminal():
        time.sleep(_POLL)
    return details


def _submit() -> str:
    """Return what begins or continues a study on a cluster."""
    return hint_for(command="`tuner submit`", python="submit(study)")


def _judge(details: JobDetails, printer: Printer) -> None:
    """Raise an error if a job failed or was stopped."""
    status = str(details.status)
    if status == "SUCCEEDED":
        return
    if status == "STOPPED":
        hint = f"{_submit()} continues it"
        raise _FollowedError("the study was stopped; finished trials are kept", exit_code=130, hint=hint)
    said = "\n".join(printer.before[-20:]) or details.message or ""
    if "No module named" in said and "tuner" in said:
        hint = "install it there as cluster.yaml does, and make that `python` the first on the PATH"
        raise SearchError("the cluster has no rectools-tuner: its `python` cannot import it", hint=hint)
    code = details.driver_exit_code
    if not printer.begun or code is None or code < 0:
        hint = f"{_submit()} of the same study continues from the results in the store"
        raise SearchError(f"the job's driver ended too early: {details.message or status}", hint=hint)
    raise _FollowedError(f"the study ended with exit code {code} on the cluster; see above", exit_code=code)
