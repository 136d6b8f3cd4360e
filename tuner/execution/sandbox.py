"""Runs one attempt of a job in this process, with its threads, log and time limit."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import NoReturn, TextIO

import torch

from tuner.artifacts.private import private_files
from tuner.errors import RankLostError, TrialError
from tuner.evaluation import as_failure
from tuner.execution.logs import logs_to
from tuner.training.memory import keep_freed_memory, return_freed_memory
from tuner.trials.messages import Job
from tuner.trials.outcomes import Failure

__all__ = ["attempt"]

logger = logging.getLogger(__name__)


@private_files()
def attempt(
    work: Callable[[], None], job: Job, *, log: Path, threads: int, timeout: float | None
) -> Failure | None:
    """Run the work of a job, then clean up the process for the next job.

    Parameters
    ----------
    work
        Function that does the work. It raises `TrialError` if the model's or the user's code fails.
    job
        The job.
    log
        Path of the log for all output during the work.
    threads
        Number of torch's threads.
    timeout
        Seconds after which the process ends itself; None for no limit.

    Returns
    -------
    Failure or None
        Why the work failed; None if it did not.
    """
    _exempt_libraries()
    torch.set_num_threads(threads)
    keep_freed_memory()
    with _output_to(log, job, timeout):
        try:
            work()
        except TrialError as error:
            logger.exception("trial %d failed", job.number)
            return as_failure(error)
        except RankLostError:
            logger.exception("trial %d lost a process", job.number)
            _end_process()  # as if this process had died itself: Ray reports it, and the trial runs again
        finally:
            gc.collect()
            return_freed_memory()
    return None


def _end_process() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)


@cache
def _exempt_libraries() -> None:
    """Let garbage collections pass by what is alive when the first trial of a process begins.

    These are the objects of libraries, which stay alive. To check them would cost each collection 0.25 s. (To
    ask Python whether it has been done takes 0.06 s each time.)
    """
    gc.freeze()


@contextmanager
def _output_to(path: Path, job: Job, timeout: float | None) -> Iterator[None]:
    """Write all output of libraries and user modules during a trial to one file.

    If the trial takes longer than `timeout` seconds, the file gets a stack trace, and the process ends.
    """
    with logs_to(path) as file, redirect_stdout(file), redirect_stderr(file):
        file.write(f"trial {job.number}: {job.label}\nparams: {job.params}\nseeds: {list(job.seeds)}\n")
        with _ended_after(timeout, file):
            yield


@contextmanager
def _ended_after(timeout: float | None, log: TextIO) -> Iterator[None]:
    """End this process after a timeout in seconds, even during C code that lets no other thread run."""
    if timeout is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout, exit=True, file=log)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
