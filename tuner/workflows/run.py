"""`run(study)`: runs the search of a study with Ray Tune and returns its leaderboard.

If this process started Ray, and Ray ends during the search, this process ends with exit code 75; see
`tuner.execution.watchdog`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from tuner.artifacts import layout
from tuner.config import Study
from tuner.errors import InterruptedSearchError, Problem, TunerError
from tuner.execution.one_run import begin_run
from tuner.monitoring.console import stderr_console
from tuner.reporting.leaderboard import Leaderboard
from tuner.workflows.background import BackgroundRun, StopRequest
from tuner.workflows.opening import OpenedStudy, locked, n_unfinished, open_study
from tuner.workflows.results import board_of, find_results, given_study
from tuner.workflows.search import Outcome, refuse_without_result, search

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.monitoring.json_events import Events

__all__ = ["run"]


@overload
def run(
    study: Study | Path | str,
    output: Path | str = ...,
    *,
    console: Console | None = ...,
    events: Events | None = ...,
    address: str | None = ...,
    background: Literal[False] = ...,
) -> Leaderboard: ...


@overload
def run(
    study: Study | Path | str,
    output: Path | str = ...,
    *,
    console: Console | None = ...,
    events: Events | None = ...,
    address: str | None = ...,
    background: Literal[True],
) -> BackgroundRun: ...


def run(
    study: Study | Path | str,
    output: Path | str = layout.DEFAULT_OUTPUT,
    *,
    console: Console | None = None,
    events: Events | None = None,
    address: str | None = None,
    background: bool = False,
) -> Leaderboard | BackgroundRun:
    """Search until a budget is used up. An earlier run of the same study is continued.

    Parameters
    ----------
    study, output
        The study to run or its file, and the folder in which its results get a folder with its name.
    console, events
        Where to show progress, by default stderr or a notebook's cell; and a writer of the run's events.
    address
        Address of a running Ray; see `tuner.execution.session.ray_session`.
    background
        Whether to return at once with a `BackgroundRun`: `status()`, `board()`, `stop()`, `wait()`.

    Raises
    ------
    UserError
        If the study, the data or the space cannot be used, or this process runs a study. Ray is not started.
    SearchError
        If the search cannot continue, no trial is complete in the end, or Ray does not start.
    InterruptedSearchError
        On Ctrl-C, or the stop button of a notebook.

    Examples
    --------
    >>> board = run("shop.yaml")  # doctest: +SKIP
    """
    given = given_study(study)
    folder = layout.study_folder(given.study, output)
    _refuse_itself(given, folder)
    place = find_results(given, output)
    with _failure_reported(events):
        end = begin_run(given.study)  # not in the thread: what is called second is to be refused

    def search_and_judge(stop: StopRequest) -> Leaderboard:
        with ExitStack() as stack:
            stack.callback(end)
            stack.enter_context(_failure_reported(events))
            _run(given, folder, console=console, events=events, address=address, stop=stop)
        return board_of(place)

    return BackgroundRun(place, search_and_judge) if background else search_and_judge(StopRequest())


def _run(
    study: Study,
    folder: Path,
    *,
    console: Console | None,
    events: Events | None,
    address: str | None,
    stop: StopRequest,
) -> None:
    """Lock and open a study, search, and judge if the study asks for it."""
    console = console or stderr_console()
    with locked(study, folder) as hold:
        shown = layout.shown(folder)
        opened = open_study(
            study, folder, hold, shown=shown, console=console, events=events, address=address, stop=stop
        )
        _search(opened)
        _judge(opened)


@contextmanager
def _failure_reported(events: Events | None) -> Iterator[None]:
    """If the run fails, write the error as its last event."""
    try:
        yield
    except TunerError as error:
        if events is not None:
            interrupted = isinstance(error, InterruptedSearchError)
            events.ended("interrupted" if interrupted else "failed", str(error))
        raise


def _refuse_itself(study: Study, folder: Path) -> None:
    """Refuse a warm start of a study from itself. A study continues with its own trials anyway."""
    for index, path in enumerate(study.search.warm_start):
        if Path(path).resolve() == folder:
            rule = f"must be the folder of another study, but got {path!r}"
            hint = "a study always continues with its own trials"
            raise study.refusal([Problem(f"search.warm_start[{index}]", rule, hint)])


def _search(opened: OpenedStudy) -> None:
    """Search if the budget is not used up; write the first and the last event."""
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
    refuse_without_result(opened)
    if opened.events is not None:
        opened.events.ended(outcome.reason, outcome.text)


def _facts(opened: OpenedStudy) -> dict[str, object]:
    """Return the facts of the study for the first event."""
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
    """Judge the best trials on the holdout if the study asks for it, and all its trials have ended."""
    study, console, hold = opened.study, opened.console, opened.hold
    others = [driver.words for driver in hold.living() if driver != hold.driver]
    if others:
        console.print(f"other drivers still run this study: {', '.join(others)}")
    if study.final is None or others:  # the last driver judges
        return
    unfinished = n_unfinished(opened.store)
    if unfinished:
        console.print(f"final: not yet; {unfinished} trials have not ended and continue in the next run")
        return
    from tuner.workflows.final import judge_study  # noqa: PLC0415  # torch

    judge_study(study, opened.folder, study.final, console, opened.address)
