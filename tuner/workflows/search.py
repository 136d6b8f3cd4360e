"""Runs the trials of an opened study with Ray until a budget is used up, or the search ends before that."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.errors import InterruptedSearchError, SearchError
from tuner.errors.caller import hint
from tuner.execution.session import ray_session
from tuner.execution.signals import ended_by_signals
from tuner.execution.tune import fit_by_tune
from tuner.search.capacity import at_once, trial_share
from tuner.store.hints import start_anew
from tuner.trials.status import TrialStatus
from tuner.workflows import wiring

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.monitoring.console import Progress
    from tuner.search.coordinator import Coordinator
    from tuner.trials.observer import Observer
    from tuner.workflows.opening import OpenedStudy

__all__ = ["Outcome", "refuse_without_result", "search"]


@dataclass(frozen=True)
class Outcome:
    """Why a search has ended.

    Attributes
    ----------
    reason
        Reason for programs: the key of a budget, ``exhausted`` or ``ended``.
    text
        Reason for people.
    """

    reason: str
    text: str


def search(opened: OpenedStudy) -> Outcome:
    """Run trials until a budget is used up, or the search ends for another reason.

    Raises
    ------
    SearchError
        If the first trials all fail with the same cause, or the store can no longer be written.
    InterruptedSearchError
        On Ctrl-C.
    """
    with ExitStack() as stack:
        capacity = stack.enter_context(ray_session(opened.prepared, opened.address))
        mirror = wiring.make_mirror(opened)
        if mirror is not None:
            stack.callback(mirror.bring_logs)
        opened.budget.start()  # the start of Ray does not count
        early_stopping = wiring.make_early_stopping(opened)
        progress = wiring.make_progress(opened, capacity, early_stopping)
        tensorboard = wiring.make_tensorboard(opened)
        stack.callback(tensorboard.close)
        retention = wiring.make_model_retention(opened, capacity)
        tracker = wiring.make_own_tracker(opened)
        if tracker is not None:
            stack.callback(lambda: tracker.close(last=len(opened.hold.living()) <= 1))
        observers: list[Observer] = [progress, tensorboard, wiring.make_dashboard_notes(opened), retention]
        observers += [one for one in (mirror, tracker, opened.events) if one is not None]
        coordinator = wiring.make_coordinator(
            opened, early_stopping, observers=observers, capacity=capacity, mirror=mirror
        )
        slots = at_once(capacity, trial_share(opened.study.resources))
        opened.console.print(f"search: {slots}; results in {opened.shown}")
        _fit(opened, coordinator, progress)
    return _outcome(opened, coordinator)


def refuse_without_result(opened: OpenedStudy) -> None:
    """Raise an error if no trial of the study is complete: a loop must not take such a run for a success.

    Raises
    ------
    SearchError
        With the cause of the last failure, if a trial has failed.
    """
    records = opened.store.records()
    if any(record.summary is not None for record in records):
        return
    failed = [record for record in records if record.status == TrialStatus.FAILED]
    failures = [record.failure.cause for record in failed if record.failure is not None]
    if failures:
        cure = f"the last failure: {failures[-1]}; see {opened.shown}/{layout.LOGS}"
        cure += f"; correct the cause; failed trials do not run again: {start_anew()}"
    else:
        cure = f"{_again()}, with a larger budget or a smaller model"
    raise SearchError("the search has ended without a complete trial", hint=cure)


def _again() -> str:
    return hint(command="run the same command again", python="call run(study) again")


def _fit(opened: OpenedStudy, coordinator: Coordinator, progress: Progress) -> None:
    """Let Ray Tune run the trials. If the search has an error, raise it in place of Tune's error."""
    ask_to_end = partial(_ask_to_end, coordinator, opened.console)
    with progress, ended_by_signals(ask_to_end):
        opened.stop.listen(ask_to_end)
        try:
            fit_by_tune(opened.prepared, coordinator, opened.folder, opened.hold, artifacts=opened.artifacts)
            coordinator.close()
        finally:
            if coordinator.error is not None:
                raise coordinator.error


def _outcome(opened: OpenedStudy, coordinator: Coordinator) -> Outcome:
    """Return why the search has ended, and show it."""
    if coordinator.hopeless is not None:
        cure = f"see {opened.shown}/{layout.LOGS}; correct the cause and {_again()}"
        raise SearchError(f"the first trials all failed in one way: {coordinator.hopeless}", hint=cure)
    outcome = Outcome("ended", "the search has ended")
    if coordinator.exhausted:
        text = "every point of the space has been tried: the search ends before its budget"
        outcome = Outcome("exhausted", text)
        opened.console.print(text)
    elif not coordinator.interrupted and (end := opened.end) is not None:
        outcome = Outcome(end.budget, f"the search ends: {end}")
        opened.console.print(outcome.text)
    if coordinator.interrupted:
        raise InterruptedSearchError(
            "interrupted; finished trials are kept",
            hint=hint(command="run the same command to continue", python="call run(study) again to continue"),
        )
    return outcome


def _ask_to_end(coordinator: Coordinator, console: Console) -> None:
    again = hint(command="press Ctrl-C again", python="interrupt again")
    _end(coordinator, console, f"the search ends; {again} to end it at once")


def _end(coordinator: Coordinator, console: Console, text: str) -> None:
    coordinator.interrupted = True
    console.print(text)
