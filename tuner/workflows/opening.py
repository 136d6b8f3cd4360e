"""Opens a study for a search: checks it, opens its store, and adds baselines and earlier results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.artifacts.atomic import write_file
from tuner.artifacts.user_values import write_groupings
from tuner.config import Study
from tuner.config.snapshot import snapshot
from tuner.errors import Problem, StudyError
from tuner.execution.artifact_checks import usable_artifacts
from tuner.execution.logs import logs_to, native_stderr_to
from tuner.execution.user_modules import cell_modules, shadow_lines
from tuner.monitoring.trackers import check_tracking
from tuner.search.budgets import Budget, End
from tuner.store import StudyStore, hold_study, open_store, report_lost_store
from tuner.store.space_migration import Growth
from tuner.trials.requests import RequestKind
from tuner.workflows.measured_before import changes_of_metrics

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.artifacts.places import Artifacts
    from tuner.monitoring.json_events import Events
    from tuner.preparation.prepare import Prepared
    from tuner.store.locking.drivers import Hold
    from tuner.store.open import Grow
    from tuner.workflows.background import StopRequest

__all__ = [
    "NOTHING_TO_RUN",
    "OpenedStudy",
    "locked",
    "n_unfinished",
    "nothing_to_run",
    "open_prepared",
    "open_study",
]


#: A study that has nothing to run and no trials from before.
NOTHING_TO_RUN = Problem(
    "search.trials",
    "must be at least 1 in a study without baselines, but got 0",
    "give it trials, or models under `baselines`",
)


def nothing_to_run(study: Study) -> bool:
    """Tell whether a study gives a search no trial, so that it can only continue those from before."""
    return study.search.trials == 0 and not study.baselines


@dataclass(frozen=True)
class OpenedStudy:
    """A study that this driver has locked, checked and opened.

    Attributes
    ----------
    prepared
        The checked study, with its space, baselines and folds.
    store
        Store with the trials of the study.
    budget
        Budget of the search. It includes the resource usage of earlier runs.
    folder, shown
        Folder of the results, and the same folder as the user would type it.
    hold
        The lock of the study.
    artifacts
        Place for the files of trials, None for the folder.
    console
        Where to show progress.
    events
        Observer that writes the events of the run for programs, None for no events.
    address
        Address of a running Ray; see `tuner.execution.session.ray_session`.
    stop
        Asks the search to end, from another thread.
    """

    prepared: Prepared
    store: StudyStore
    budget: Budget
    folder: Path
    shown: str
    hold: Hold
    artifacts: Artifacts | None
    console: Console
    events: Events | None
    address: str | None
    stop: StopRequest

    @property
    def study(self) -> Study:
        """The study, as the user gave it."""
        return self.prepared.study

    @property
    def end(self) -> End | None:
        """Why no more trials are run; None if there are trials to run."""
        return end_of(self.budget, self.store)

    def count_trials(self) -> tuple[int, int]:
        """Return the number of all planned trials and baselines, and how many of them have ended."""
        records = self.store.records()
        others = sum(record.name is not None or record.request is not None for record in records)
        others += n_asked(self.store)
        ended = sum(record.status.has_ended for record in records)
        return max(self.study.search.trials, self.store.n_searched()) + others, ended


@contextmanager
def locked(study: Study, folder: Path) -> Iterator[Hold]:
    """Hold the lock of the study, and write log messages to the driver's log."""
    with (
        report_lost_store(folder, study.storage),
        hold_study(folder, study.study, study.storage, shared=study.share) as hold,
        logs_to(layout.driver_log(folder, hold.driver.id if hold.shared else None)) as log,
        native_stderr_to(log),
    ):
        yield hold


def end_of(budget: Budget, store: StudyStore) -> End | None:
    """Return why no more trials are run; None if there are trials to run."""
    return (None if n_unfinished(store) else budget.no_more(store.n_searched())) or budget.time_is_up()


def n_unfinished(store: StudyStore) -> int:
    """Return the number of trials that are queued, interrupted or paused, or asked for by `tuner add`."""
    return store.n_waiting() + len(store.interrupted()) + len(store.paused()) + n_asked(store)


def n_asked(store: StudyStore) -> int:
    """Return the number of trials that `tuner add` asks for and that are not in the store yet."""
    return sum(request.kind is RequestKind.ADD for request in store.requests.read())


def open_study(
    study: Study,
    folder: Path,
    hold: Hold,
    *,
    shown: str,
    console: Console,
    events: Events | None,
    address: str | None,
    stop: StopRequest,
) -> OpenedStudy:
    """Check a study that this driver has locked, and open its store; see `OpenedStudy`."""
    artifacts = usable_artifacts(study)
    for line in shadow_lines([Path.cwd()]):
        console.print(line)
    refuse_tracking(study)
    from tuner.preparation.prepare import prepare  # noqa: PLC0415  # torch; the study's lock comes first

    prepared = prepare(study, console.print)
    with hold.turn():
        store = _open_for_search(prepared, folder, hold, console)
    if nothing_to_run(study) and not store.records() and not n_unfinished(store):
        raise study.refusal([NOTHING_TO_RUN])
    budget = Budget(
        study.search,
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        settled=store.is_settled,
    )
    budget.remember(store.records())
    return OpenedStudy(
        prepared, store, budget, folder, shown, hold, artifacts, console, events, address, stop
    )


def refuse_tracking(study: Study) -> None:
    """Refuse a tracker that is not installed, or cannot be imported, at its place in the study file."""
    try:
        if study.tracking is not None:
            check_tracking(study.tracking)
    except StudyError as error:
        raise study.refusal(error.problems) from error


def _open_for_search(prepared: Prepared, folder: Path, hold: Hold, console: Console) -> StudyStore:
    """Open the store; add the baselines and the results or hints of earlier studies."""
    from tuner.data.segments import groupings_of  # noqa: PLC0415  # rectools
    from tuner.preparation.warm_start import warm_start  # noqa: PLC0415  # torch

    changes = changes_of_metrics(prepared.study, folder)
    store = open_prepared(prepared, folder, hold=hold, grow=_growth(prepared, folder, hold, console))
    for line in changes:
        console.print(line)
    keep_cells(prepared, folder)
    write_snapshot(prepared.study, folder)
    if not layout.segments(folder).exists():
        write_groupings(folder, [groupings_of(fold.alone()) for fold in prepared.folds])
    store.describe(prepared.description)
    store.add_baselines([(b.name, b.params, b.point) for b in prepared.baselines])
    for earlier in prepared.earlier:
        console.print(warm_start(store, earlier, prepared.space, prepared.study.search.trials))
    return store


def open_prepared(
    prepared: Prepared, folder: Path, *, hold: Hold | None = None, grow: Grow | None = None
) -> StudyStore:
    """Open the store of a study that was prepared; see `tuner.store.open_store`."""
    study = prepared.study
    return open_store(
        folder,
        name=study.study,
        direction=study.metrics.direction,
        sampler=study.search.sampler,
        seed=study.search.seed,
        facts=prepared.facts,
        space=prepared.space,
        storage=study.storage,
        grow=grow,
        hold=hold,
        former=prepared.former,
    )


def _growth(prepared: Prepared, folder: Path, hold: Hold, console: Console) -> Growth:
    """Return the function that moves the study to another space if its space has changed."""
    from tuner.models.build import point_of  # noqa: PLC0415  # torch

    study, space = prepared.study, prepared.space
    encode = partial(point_of, space=space, epochs=study.training.epochs)
    return Growth(folder, study.storage, space, encode, console.print, hold.check)


def write_snapshot(study: Study, folder: Path) -> None:
    """Write the study as a file into the folder of its results."""
    write_file(folder / layout.STUDY_FILE, snapshot(study).encode("utf-8"))


def keep_cells(prepared: Prepared, folder: Path) -> None:
    """Copy what was made of code of a notebook beside the study's file, from where it can be imported."""
    splitter = prepared.study.folds.splitter
    named: list[Mapping[str, object]] = [baseline.params for baseline in prepared.baselines]
    named.append({"metrics": prepared.study.metrics.own, "splitter": splitter.use if splitter else None})
    for source in cell_modules(prepared.space, named):
        target = layout.cell_module(folder, source.stem)
        if target != source:
            write_file(target, source.read_bytes())
