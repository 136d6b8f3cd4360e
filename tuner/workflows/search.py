"""Runs the trials of an opened study under Ray, until a budget is used up or the search ends otherwise."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.errors import InterruptedSearchError, SearchError
from tuner.execution.session import ray_session
from tuner.execution.tune import fit_by_tune
from tuner.search.capacity import at_once, trial_share
from tuner.workflows import wiring

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.execution.study_searcher import StudySearcher
    from tuner.monitoring.console import Progress
    from tuner.trials.observer import Observer
    from tuner.workflows.opening import OpenedStudy

__all__ = ["Outcome", "search"]


@dataclass(frozen=True)
class Outcome:
    """Why a search has ended.

    Attributes
    ----------
    reason
        For programs: the key of a budget, ``exhausted`` or ``ended``.
    text
        For people.
    """

    reason: str
    text: str


def search(opened: OpenedStudy) -> Outcome:
    """Run trials until a budget is used up, or the search ends otherwise.

    Raises
    ------
    SearchError
        If the first trials all fail in one way, or the store is lost.
    InterruptedSearchError
        On Ctrl-C.
    """
    with ExitStack() as stack:
        capacity = stack.enter_context(ray_session(opened.prepared, opened.address))
        mirror = wiring.make_mirror(opened)
        if mirror is not None:
            stack.callback(mirror.bring_logs)
        opened.budget.start()  # Ray's start does not count
        progress = wiring.make_progress(opened, capacity)
        tensorboard = wiring.make_tensorboard(opened)
        stack.callback(tensorboard.close)
        kept = wiring.make_kept_models(opened, capacity)
        observers: list[Observer] = [progress, tensorboard, wiring.make_dashboard_notes(opened), kept]
        observers += [one for one in (mirror, opened.events) if one is not None]
        searcher = wiring.make_searcher(opened, observers, capacity, mirror)
        slots = at_once(capacity, trial_share(opened.study.resources))
        opened.console.print(f"search: {slots}; results in {opened.shown}")
        _fit(opened, searcher, progress)
    return _outcome(opened, searcher)


def _fit(opened: OpenedStudy, searcher: StudySearcher, progress: Progress) -> None:
    """Let Ray Tune run the trials; raise the search's own error, whatever Tune made of it."""
    with progress, _ctrl_c(searcher, opened.console):
        try:
            fit_by_tune(opened.prepared, searcher, opened.folder, opened.hold, artifacts=opened.artifacts)
            searcher.close()
        finally:
            if searcher.error is not None:
                raise searcher.error


def _outcome(opened: OpenedStudy, searcher: StudySearcher) -> Outcome:
    """Return why the search has ended, and say it."""
    if searcher.hopeless is not None:
        hint = f"see {opened.shown}/{layout.LOGS}; mend it and run the same command again"
        raise SearchError(f"the first trials all failed in one way: {searcher.hopeless}", hint=hint)
    outcome = Outcome("ended", "the search has ended")
    if searcher.exhausted:
        text = "every point of the space has been tried: the search ends before its budget"
        outcome = Outcome("exhausted", text)
        opened.console.print(text)
    elif not searcher.interrupted and (end := opened.end) is not None:
        outcome = Outcome(end.budget, f"the search ends: {end}")
        opened.console.print(outcome.text)
    if searcher.interrupted:
        raise InterruptedSearchError(
            "interrupted; finished trials are kept", hint="the same command goes on from here"
        )
    return outcome


@contextmanager
def _ctrl_c(searcher: StudySearcher, console: Console) -> Iterator[None]:
    """End the search calmly on the first Ctrl-C or SIGTERM, at once on the second."""

    def ask_to_end(_signal: int, _frame: FrameType | None) -> None:
        if searcher.interrupted:
            raise KeyboardInterrupt
        searcher.interrupted = True
        console.print("ending; once more to end at once")

    before = {number: signal.signal(number, ask_to_end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
