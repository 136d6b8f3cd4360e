"""Evaluates a fold on several devices: starts a process for each, called a rank, and passes on their reports.

This process does not train. So it can end all ranks at once when one has failed or died, or when the driver
stops the trial, whatever the others are waiting for. The ranks end by themselves when this process dies.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.data.folds import Fold
from tuner.errors import RankLostError
from tuner.evaluation.failures import RankFailedError
from tuner.evaluation.measure import Report
from tuner.evaluation.plan import Plan
from tuner.models.signatures import model_class
from tuner.space import Value
from tuner.training.checkpoints import Checkpoint
from tuner.training.ranks import Ranks
from tuner.trials.outcomes import Failure
from tuner.trials.records import Evaluation, Users

__all__ = [
    "HAS_CHECKPOINT",
    "HAS_ENDED",
    "Failed",
    "KeepModel",
    "RankJob",
    "ReportAllUsers",
    "ReportUsers",
    "Takers",
    "evaluate_on_devices",
    "several_devices",
]

ReportUsers = Callable[[Users], None]
KeepModel = Callable[[int, ModelBase[Any]], None]
ReportAllUsers = Callable[[Mapping[str, NDArray[np.float32]]], None]

#: Messages of a rank: it has written a checkpoint, it has ended. And the answer to an evaluation.
HAS_CHECKPOINT, HAS_ENDED, _HEARD = "checkpoint", "ended", "heard"
#: Seconds that other ranks have to say why they failed, after one has gone without a word.
_GRACE = 5.0
#: The code that a rank runs. Nothing is imported before the path is that of this process.
_CODE = (
    "import sys; fd = int(sys.argv[1]); sys.path[:] = sys.argv[2:]; "
    "from tuner.evaluation.rank_process import main; main(fd)"
)
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
#: Environment variables by which ranks, which are all on one machine, do not listen on its network.
_LOCAL = {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}


@dataclass(frozen=True)
class Takers:
    """What takes the results of a fold; see `tuner.evaluation.evaluate_fold`. None takes nothing."""

    report: Report
    report_users: ReportUsers | None = None
    report_all_users: ReportAllUsers | None = None
    keep_model: KeepModel | None = None


@dataclass(frozen=True)
class RankJob:
    """The work of one rank.

    Attributes
    ----------
    ranks
        Which rank it is, and of how many.
    store
        Path of a file by which the ranks find each other.
    threads
        Number of torch's threads.
    params, fold, plan, seed, checkpoint, keep_model
        See `tuner.evaluation.evaluate_fold`.
    """

    ranks: Ranks
    store: Path
    threads: int
    params: Mapping[str, Value]
    fold: Fold
    plan: Plan
    seed: int
    checkpoint: Checkpoint | None
    keep_model: KeepModel | None


@dataclass(frozen=True)
class Failed:
    """A rank has failed.

    Attributes
    ----------
    failure
        Why it failed.
    by_others
        Whether it says only that another rank has gone.
    """

    failure: Failure
    by_others: bool


@dataclass(frozen=True)
class _Rank:
    """A rank as this process sees it."""

    process: subprocess.Popen[bytes]
    connection: Connection

    def received(self) -> object:
        """Return the next message; None if the process has died."""
        try:
            return pickle.loads(self.connection.recv_bytes())  # noqa: S301  # from a process of our own
        except (EOFError, OSError):
            return None

    def send(self, message: object) -> None:
        """Send a message. A process that has died is found at the next `received`."""
        with suppress(OSError):
            self.connection.send_bytes(pickle.dumps(message))  # `send` would share the memory of tensors

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


def several_devices(params: Mapping[str, Value], plan: Plan) -> bool:
    """Whether a model trains on several devices. Only the transformers of RecTools do."""
    cls = model_class(params.get("cls"))
    return plan.devices > 1 and cls is not None and issubclass(cls, TransformerModelBase)


def evaluate_on_devices(
    params: Mapping[str, Value],
    fold: Fold,
    plan: Plan,
    seed: int,
    *,
    takers: Takers,
    checkpoint: Checkpoint | None,
) -> None:
    """Evaluate one fold on the devices of the plan; see `evaluate_fold`. `keep_model` must be picklable."""
    on_kept = checkpoint.on_kept if checkpoint is not None else _nothing
    by_type: dict[type, Callable[[Any], None]] = {
        Evaluation: takers.report,
        Users: takers.report_users or _nothing,
        dict: takers.report_all_users or _nothing,
    }
    with _started(plan.devices) as ranks, TemporaryDirectory(prefix="tuner-ranks-") as folder:
        for number, rank in enumerate(ranks):
            rank.send(
                RankJob(
                    ranks=Ranks(number, plan.devices),
                    store=Path(folder, "store"),
                    threads=max(1, torch.get_num_threads() // plan.devices),
                    params=dict(params),
                    fold=fold,
                    plan=plan,
                    seed=seed,
                    checkpoint=None if checkpoint is None else replace(checkpoint, on_kept=_nothing),
                    keep_model=takers.keep_model,
                )
            )
        _pass_on(ranks, by_type, on_kept)


def _nothing(*_: object) -> None:
    """Do nothing."""


def _pass_on(
    ranks: list[_Rank], takers: Mapping[type, Callable[[Any], None]], on_kept: Callable[[], None]
) -> None:
    """Give what the ranks report to its takers, until all have ended.

    Raises
    ------
    RankFailedError
        If a rank has failed.
    RankLostError
        If a rank has died.
    """
    running = {rank.connection: rank for rank in ranks}
    while running:
        for connection in wait(list(running)):
            rank = running[connection]  # type: ignore[index]  # one of those given
            message = rank.received()
            if message == HAS_ENDED:
                del running[rank.connection]
            elif message == HAS_CHECKPOINT:
                on_kept()
                rank.send(_HEARD)
            elif type(message) in takers:
                takers[type(message)](message)
                rank.send(_HEARD)
            else:
                raise _why(ranks, rank, message if isinstance(message, Failed) else None)


def _why(ranks: list[_Rank], first: _Rank, failed: Failed | None) -> RankFailedError | RankLostError:
    """Return the error for a rank that has failed or died; one may have done so because of another.

    If a process dies, the others fail by the lost connection. If a rank fails, others may die of it.
    """
    lost = [first] if failed is None else []
    others = {rank.connection: rank for rank in ranks if rank is not first}
    until = time.monotonic() + _GRACE
    while (failed is None or failed.by_others) and others:
        ready = wait(list(others), timeout=max(0.0, until - time.monotonic()))
        if not ready:
            break
        for connection in ready:
            rank = others[connection]  # type: ignore[index]  # one of those given
            message = rank.received()
            if isinstance(message, Failed) and (failed is None or not message.by_others):
                failed = message
            if message is None:
                lost.append(rank)
            if message is None or isinstance(message, Failed):
                del others[rank.connection]
    if lost and (failed is None or failed.by_others):
        return RankLostError(_end_of(lost[0], ranks))
    assert failed is not None, "the first one has failed or is lost"
    return RankFailedError(failed.failure)


def _end_of(rank: _Rank, ranks: list[_Rank]) -> str:
    """Return in words how a process has ended."""
    number = next(index for index, one in enumerate(ranks, 1) if one is rank)
    try:
        code = rank.process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        code = None
    how = f"ended with {code}" if code is None or code >= 0 else f"was ended by {signal.Signals(-code).name}"
    return f"the process of device {number} of {len(ranks)} {how}"


@contextmanager
def _started(count: int) -> Iterator[list[_Rank]]:
    """Start the processes of ranks, and end them after the context, whatever they do."""
    with ExitStack() as stack:
        ranks = []
        for _ in range(count):
            rank = _start()
            stack.callback(rank.kill)
            ranks.append(rank)
        yield ranks


def _start() -> _Rank:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(  # noqa: S603  # this Python, and a module of this project
            [sys.executable, "-c", _CODE, str(theirs.fileno()), *sys.path],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=_file_of(sys.stdout),
            stderr=_file_of(sys.stderr),
            env={**_LOCAL, **os.environ},
            start_new_session=True,  # Ctrl-C goes to the driver alone
        )
    return _Rank(process, ours)


def _file_of(stream: TextIO) -> int | None:
    """Return the file to which a stream writes, such as the log of a trial; None for that of this process."""
    try:
        stream.flush()
        return stream.fileno()
    except (AttributeError, ValueError, io.UnsupportedOperation):
        return None
