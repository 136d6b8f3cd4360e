"""Short jobs that read a study's results on the head: its leaderboard, and its whole folder."""

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

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["ask", "fetch"]

_POLL = 0.3
#: Seconds that an archive may take to be made, and to be sent.
_PACKING, _SENDING = 900, 3600


def ask(client: JobSubmissionClient, *words: str) -> str:
    """Run a question of `tuner.cluster.on_head` on the head; return its answer.

    Raises
    ------
    ClusterError
        With what it said if it failed.
    """
    job_id = _start(client, *words)
    status = str(end_of(client, job_id).status)
    said = client.get_job_logs(job_id)
    with suppress(RuntimeError):
        client.delete_job(job_id)
    if status != "SUCCEEDED":
        raise _failed(client, said)
    return _between(said, RESULT, RESULT_ENDS)


def fetch(client: JobSubmissionClient, folder: str, target: Path) -> int:
    """Bring a study's folder from the head, in place of what was fetched before.

    The head packs it where its API hands out logs, and removes the archive when this has ended.

    Parameters
    ----------
    client
        See `tuner.cluster.connection.connect`.
    folder
        Of the study, on the head.
    target
        Folder here that is to be like it.

    Returns
    -------
    int
        Bytes of the archive.

    Raises
    ------
    StoreError
        If `target` holds anything that was not fetched.
    ClusterError
        If there is no such study there, or the archive did not come whole.
    """
    if target.exists() and not (target / layout.FETCHED).exists():
        rule = "must be free or fetched before, but holds results of this machine"
        raise StoreError(str(target), [Problem("", rule, "name another folder with --to")])
    job_id = _start(client, "pack", folder)
    try:
        name, n_bytes, expected = _wait_packed(client, job_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as work:
            archive = Path(work) / "archive.tar.gz"
            _download(client, job_id, name, archive)
            if digest(archive) != expected:
                rule = f"must send all {n_bytes:,} bytes of {folder}, but {archive.stat().st_size:,} came"
                raise ClusterError(client.get_address(), [Problem("", rule, "fetch again")])
            unpack_folder(archive, target, source=f"{client.get_address()} {folder}")
        return n_bytes
    finally:
        with suppress(RuntimeError):
            client.stop_job(job_id)


def _start(client: JobSubmissionClient, *words: str) -> str:
    command = shlex.join(["python", "-um", "tuner.cluster.on_head", *words])
    return client.submit_job(entrypoint=f"exec {command}", submission_id=f"ask-{uuid.uuid4().hex[:12]}")


def _failed(client: JobSubmissionClient, said: str) -> ClusterError:
    words = said.partition(f"{BEGIN}\n")[2].strip() or said.strip().rpartition("\n")[2]
    return ClusterError(client.get_address(), [Problem("", f"must answer, but its head says: {words}")])


def _between(said: str, begin: str, end: str) -> str:
    return said.partition(f"{begin}\n")[2].rpartition(f"{end}\n")[0]


def _wait_packed(client: JobSubmissionClient, job_id: str) -> tuple[str, int, str]:
    """Return the name, size and SHA-256 of the archive, once it is made."""
    deadline = time.monotonic() + _PACKING
    while time.monotonic() < deadline:
        said = client.get_job_logs(job_id)
        for line in said.splitlines():
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
    response = client._do_request("GET", f"/api/v0/logs/file?{query}", stream=True)  # noqa: SLF001  # with its token; it has no public way to files
    if response.status_code != 200:  # noqa: PLR2004  # OK, of HTTP
        raise _failed(client, f"{BEGIN}\n{response.text}")
    with archive.open("wb") as file:
        for piece in response.iter_content(2**20):
            file.write(piece)
