"""`run(study)`: from a study to a leaderboard, by Ray Tune.

A Ray that was started here and dies under the search ends this process, with exit code 75; see
`tuner.execution.watchdog`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.config import Study
from tuner.errors import InterruptedSearchError, Problem, StudyError, TunerError
from tuner.execution.logs import logs_to
from tuner.monitoring.console import stderr_console
from tuner.reporting.leaderboard import Leaderboard, load_leaderboard
from tuner.store import hold_study, report_lost_store
from tuner.workflows.opening import OpenedStudy, n_unfinished, open_study
from tuner.workflows.search import Outcome, search

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.monitoring.json_events import Events
    from tuner.store.locking.drivers import Hold

__all__ = ["InterruptedSearchError", "run"]


def run(
    study: Study,
    output: Path | str = layout.DEFAULT_OUTPUT,
    *,
    console: Console | None = None,
    events: Events | None = None,
    address: str | None = None,
) -> Leaderboard:
    """Search until a budget is used up. Continue where an earlier run of the same study ended.

    Parameters
    ----------
    study
        What to search.
    output
        Folder in which the results get a folder of the study's name.
    console
        Where to show progress; stderr by default.
    events
        Where to write what happens, for programs.
    address
        Address of a running Ray; see `tuner.execution.session.ray_session`.

    Raises
    ------
    UserError
        If the study, the data or the space cannot be used; before Ray starts.
    SearchError
        If the first trials all fail in one way, or the store is lost.
    InterruptedSearchError
        On Ctrl-C.
    RayStartError
        If Ray does not start.
    """
    folder = layout.study_folder(study.study, output)
    _refuse_itself(study, folder)
    with _failure_told(events), _locked(study, folder) as hold:
        opened = open_study(
            study,
            folder,
            hold,
            shown=layout.shown(folder),
            console=console or stderr_console(),
            events=events,
            address=address,
        )
        _search(opened)
        _judge(opened)
    return load_leaderboard(folder)


@contextmanager
def _failure_told(events: Events | None) -> Iterator[None]:
    """Write as the last event how a run has failed."""
    try:
        yield
    except TunerError as error:
        if events is not None:
            interrupted = isinstance(error, InterruptedSearchError)
            events.ended("interrupted" if interrupted else "failed", str(error))
        raise


@contextmanager
def _locked(study: Study, folder: Path) -> Iterator[Hold]:
    """Give this process the lock on the study, and its messages a log."""
    with (
        report_lost_store(folder, study.storage),
        hold_study(folder, study.study, study.storage, shared=study.share) as hold,
        logs_to(layout.driver_log(folder, hold.driver.id if hold.shared else None)),
    ):
        yield hold


def _refuse_itself(study: Study, folder: Path) -> None:
    """Refuse a study that is to learn from itself; it goes on with its own trials in any case."""
    for index, path in enumerate(study.search.warm_start):
        if Path(path).resolve() == folder:
            rule = f"must be the folder of another study, but got {path!r}"
            hint = "a study goes on with its own trials by itself"
            raise StudyError(study.study, [Problem(f"search.warm_start[{index}]", rule, hint)])


def _search(opened: OpenedStudy) -> None:
    """Search if there is something left to run; write the first and the last event."""
    if opened.events is not None:
        opened.events.study(**_facts(opened))
    end = opened.end
    if end is None:
        from tuner.workflows.gpu_share import with_gpu_share  # noqa: PLC0415  # torch

        prepared = with_gpu_share(opened.prepared, opened.console.print)
        outcome = search(replace(opened, prepared=prepared))
    else:
        opened.console.print(f"nothing left to do: {end}")
        outcome = Outcome(end.budget, str(end))
    if opened.events is not None:
        opened.events.ended(outcome.reason, outcome.text)


def _facts(opened: OpenedStudy) -> dict[str, object]:
    """Return what the first event says of a study."""
    study, (total, already) = opened.study, opened.count_trials()
    return {
        "study": study.study,
        "folder": str(opened.folder),
        "objective": study.metrics.objective.label,
        "direction": study.metrics.direction,
        "n_folds": len(opened.prepared.folds),
        "trials": total,
        "ended": already,
    }


def _judge(opened: OpenedStudy) -> None:
    """Judge the best trials on the holdout, if the study asks for it and all its trials have ended."""
    study, console, hold = opened.study, opened.console, opened.hold
    others = [driver.words for driver in hold.living() if driver != hold.driver]
    if others:
        console.print(f"still run by {', '.join(others)}")
    if study.final is None or others:  # the last driver judges
        return
    unfinished = n_unfinished(opened.store)
    if unfinished:
        console.print(f"final: not yet; {unfinished} trials go on in the next run")
        return
    from tuner.workflows.final import judge_study  # noqa: PLC0415  # torch

    judge_study(study, opened.folder, study.final, console, opened.address)
