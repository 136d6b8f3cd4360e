"""Runs short jobs that read the results of a study on the head: the leaderboard, the whole folder."""

from __future__ import annotations

import shlex
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.cluster.archive import digest, unpack_folder
from tuner.cluster.follow import end_of
from tuner.cluster.job_output import BEGIN, PACKED, RESULT, RESULT_ENDS
from tuner.errors import ClusterError, Problem, StoreError
from tuner.errors.caller import argument

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["ask", "fetch"]

_POLL = 0.3
#: Timeouts in seconds: to pack an archive, and to send it.
_PACKING, _SENDING = 900, 3600


def ask(client: JobSubmissionClient, *command: str) -> str:
    """Run a command of `tuner.cluster.on_head` on the head, and return its result.

    Parameters
    ----------
    client
        See `tuner.cluster.connection.connect`.
    *command
        Name of the command and its arguments.

    Raises
    ------
    ClusterError
        If the command fails. The message has the command's output.
    """
    job_id = _start(client, *command)
    status = str(end_of(client, job_id).status)
    output = client.get_job_logs(job_id)
    with suppress(RuntimeError):
        client.delete_job(job_id)
    if status != "SUCCEEDED":
        raise _failed(client, output)
    return _between(output, RESULT, RESULT_ENDS)


def fetch(client: JobSubmissionClient, folder: str, target: Path) -> int:
    """Copy the folder of a study from the head. It replaces a folder that was fetched before.

    The head writes an archive to the folder of job logs, from which Ray's API can send files. The archive is
    removed when this function ends.

    Parameters
    ----------
    client
        See `tuner.cluster.connection.connect`.
    folder
        Folder of the study on the head.
    target
        Folder on this machine.

    Returns
    -------
    int
        Size of the archive in bytes.

    Raises
    ------
    StoreError
        If `target` exists and was not fetched.
    ClusterError
        If there is no such folder on the head, or the archive is incomplete.
    """
    if target.exists() and not (target / layout.FETCHED).exists():
        rule = "must be a new or a fetched folder, but has results of this machine"
        raise StoreError(str(target), [Problem("", rule, f"name another folder with {argument('--to')}")])
    job_id = _start(client, "pack", folder)
    try:
        name, n_bytes, expected = _wait_packed(client, job_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as work:
            archive = Path(work) / "archive.tar.gz"
            _download(client, job_id, name, archive)
            if digest(archive) != expected:
                rule = f"must send all {n_bytes:,} bytes of {folder}, but sent {archive.stat().st_size:,}"
                raise ClusterError(client.get_address(), [Problem("", rule, "fetch again")])
            unpack_folder(archive, target, source=f"{client.get_address()} {folder}")
        return n_bytes
    finally:
        with suppress(RuntimeError):
            client.stop_job(job_id)


def _start(client: JobSubmissionClient, *command: str) -> str:
    line = shlex.join(["python", "-um", "tuner.cluster.on_head", *command])
    return client.submit_job(entrypoint=f"exec {line}", submission_id=f"ask-{uuid.uuid4().hex[:12]}")


def _failed(client: JobSubmissionClient, output: str) -> ClusterError:
    text = output.partition(f"{BEGIN}\n")[2].strip() or output.strip().rpartition("\n")[2]
    return ClusterError(client.get_address(), [Problem("", f"must answer, but its head says: {text}")])


def _between(output: str, begin: str, end: str) -> str:
    return output.partition(f"{begin}\n")[2].rpartition(f"{end}\n")[0]


def _wait_packed(client: JobSubmissionClient, job_id: str) -> tuple[str, int, str]:
    """Wait for the archive, and return its name, size in bytes and SHA-256."""
    deadline = time.monotonic() + _PACKING
    while time.monotonic() < deadline:
        output = client.get_job_logs(job_id)
        for line in output.splitlines():
            if line.startswith(PACKED):
                name, n_bytes, digest = line[len(PACKED) :].split()
                return name, int(n_bytes), digest
        if client.get_job_info(job_id).status.is_terminal():
            raise _failed(client, client.get_job_logs(job_id))
        time.sleep(_POLL)
    raise _failed(client, f"{BEGIN}\nthe archive was not made within {_PACKING} seconds")


def _download(client: JobSubmissionClient, job_id: str, name: str, archive: Path) -> None:
    node = client.get_job_info(job_id).driver_node_id
    query = f"node_id={node}&filename={name}&lines=-1&timeout={_SENDING}"
    response = client._do_request("GET", f"/api/v0/logs/file?{query}", stream=True)  # noqa: SLF001  # it sends the token; the client has no public method for files
    if response.status_code != 200:  # noqa: PLR2004  # OK, of HTTP
        raise _failed(client, f"{BEGIN}\n{response.text}")
    with archive.open("wb") as file:
        for piece in response.iter_content(2**20):
            file.write(piece)
