"""One attempt at a job in this process: its threads, its log, its time limit, and what it fails with."""

from __future__ import annotations

import faulthandler
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

import torch

from tuner.errors import TrialError
from tuner.execution.logs import logs_to
from tuner.training.memory import (
    is_out_of_memory,
    keep_freed_memory,
    peak_gpu_memory,
    peak_memory,
    return_freed_memory,
)
from tuner.trials.messages import Job
from tuner.trials.outcomes import OUT_OF_MEMORY, Failure

__all__ = ["attempt"]

logger = logging.getLogger(__name__)


def attempt(
    work: Callable[[], None], job: Job, *, log: Path, threads: int, timeout: float | None
) -> Failure | None:
    """Do the work of a job and leave the process as it was; return why the work failed, None if it did not.

    Parameters
    ----------
    work
        Raises `TrialError` if the model's or the user's code fails.
    job
        Whose work it is.
    log
        File for all that is said meanwhile.
    threads
        For torch.
    timeout
        Seconds after which the process ends itself; None: no limit.
    """
    if not gc.get_freeze_count():
        gc.freeze()  # what the libraries brought stays; looking through it costs each clean-up 0.25 s
    torch.set_num_threads(threads)
    keep_freed_memory()
    with _said_to(log, job, timeout):
        try:
            work()
        except TrialError as error:
            logger.exception("trial %d failed", job.number)
            return _failure(error)
        finally:
            gc.collect()
            return_freed_memory()
    return None


def _failure(error: TrialError) -> Failure:
    if is_out_of_memory(error):
        return Failure(error.message, OUT_OF_MEMORY, peak_memory(), peak_gpu_memory())
    return Failure(error.message, _kind(error))


def _kind(error: TrialError) -> str:
    """Return the class of the root cause: failures of one kind are told as one."""
    return type(error.__cause__).__name__ if error.__cause__ is not None else "TrialError"


@contextmanager
def _said_to(path: Path, job: Job, timeout: float | None) -> Iterator[None]:
    """Keep all that the libraries and the user's modules say during a trial in one file.

    If the trial takes longer than `timeout` seconds, that is where it hangs, and then the process ends.
    """
    with logs_to(path) as file, redirect_stdout(file), redirect_stderr(file):
        file.write(f"trial {job.number}: {job.label}\nparams: {job.params}\nseeds: {list(job.seeds)}\n")
        with _ended_after(timeout, file):
            yield


@contextmanager
def _ended_after(timeout: float | None, log: TextIO) -> Iterator[None]:
    """End this process if what it does takes too long, also within C code that lets no other thread run."""
    if timeout is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout, exit=True, file=log)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
