"""One run at a time in a process: its end shuts Ray down, and Ray is one for the whole process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tuner.errors import Problem, UserError

__all__ = ["begin_run", "one_run"]

#: The run that is going, by the process: a process that was forked has none of its parent's.
_going: dict[int, _Run] = {}


class _Run:
    """A run or a judgement that is going."""

    def __init__(self, study: str) -> None:
        self.study = study


def begin_run(study: str) -> Callable[[], None]:
    """Keep other runs out of this process. Nothing waits: a second run would wait for hours.

    Parameters
    ----------
    study
        Name of the study that is run or judged.

    Returns
    -------
    Callable
        To be called when the run has ended, from any thread.

    Raises
    ------
    UserError
        If a run is going in this process.
    """
    process, run = os.getpid(), _Run(study)
    going = _going.setdefault(process, run)  # one step, so that of two threads only one begins
    if going is not run:
        rule = f"must be the only run in this process, but this process runs study {going.study!r} already"
        hint = "wait for its end or stop it first (going.wait() or going.stop()), or take another process"
        raise UserError(study, [Problem("", rule, hint)])

    def end() -> None:
        _going.pop(process, None)

    return end


@contextmanager
def one_run(study: str) -> Iterator[None]:
    """Keep other runs out of this process meanwhile; see `begin_run`."""
    end = begin_run(study)
    try:
        yield
    finally:
        end()
