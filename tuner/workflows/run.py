"""`run(study)`: from a study to a leaderboard, by Ray Tune."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import yaml

from tuner.artifacts.atomic import write_file
from tuner.artifacts.places import Artifacts
from tuner.artifacts.sync import Mirror
from tuner.artifacts.user_values import drop_checkpoint, read_users, write_users
from tuner.config import SpaceSection, Study
from tuner.errors import InterruptedSearchError, Problem, SearchError, StudyError, TunerError
from tuner.execution.artifact_checks import check_from_every_node, usable_artifacts
from tuner.execution.logs import logs_to
from tuner.execution.node_health import Reach
from tuner.execution.session import ray_session
from tuner.execution.tune import fit_by_tune, shares_of
from tuner.monitoring.console import Progress, stderr_console
from tuner.monitoring.json_events import Events
from tuner.monitoring.optuna_dashboard import DashboardNotes
from tuner.monitoring.tensorboard import TensorBoardWriter
from tuner.reporting.leaderboard import Leaderboard, load_leaderboard
from tuner.search.budgets import Budget, End
from tuner.search.capacity import Capacity, at_once, trial_share
from tuner.search.early_stopping import Referee
from tuner.space import space_to_plain
from tuner.store import STUDY_FILE, StudyStore, hold_study, open_store, told_if_lost
from tuner.store.fitted_models import KeptModels
from tuner.store.space_migration import Growth
from tuner.trials.constraints import broken

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.execution.study_searcher import StudySearcher
    from tuner.preparation.prepare import Prepared
    from tuner.store.locking.drivers import Hold
    from tuner.trials.observer import Observer
    from tuner.trials.stored import TrialRecord

__all__ = ["DEFAULT_OUTPUT", "InterruptedSearchError", "run", "shown", "study_folder"]

DEFAULT_OUTPUT = Path("studies")


def run(
    study: Study,
    output: Path | str = DEFAULT_OUTPUT,
    *,
    console: Console | None = None,
    events: Events | None = None,
    address: str | None = None,
) -> Leaderboard:
    """Search until the budget is spent; go on where an earlier run of the same study ended.

    Parameters
    ----------
    study
        What to search.
    output
        Results stand in a folder of the study's name in this one.
    console
        Where to show progress; stderr by default.
    events
        Where to write what happens, for programs.
    address
        Of a Ray that runs; see `tuner.execution.session.ray_session`.

    Returns
    -------
    Leaderboard
        Of all trials.

    Raises
    ------
    UserError
        If the study, the data or the space cannot be used; before Ray starts.
    SearchError
        If the first trials all fail in one way, or the store is lost.
    InterruptedSearchError
        On Ctrl-C.
    RayStartError
        If Ray does not come up.

    Notes
    -----
    A Ray that was started here and dies under the search ends this process, with exit code 75; see
    `tuner.execution.watchdog`.
    """
    console = console or stderr_console()
    folder = study_folder(study, output)
    _refuse_itself(study, folder)
    with (
        _failure_told(events),
        told_if_lost(folder, study.storage),
        hold_study(folder, study.study, study.storage, shared=study.share) as hold,
        logs_to(folder / "logs" / (f"driver-{hold.driver.id}.log" if hold.shared else "driver.log")),
    ):
        artifacts = usable_artifacts(study)
        from tuner.preparation.prepare import prepare  # noqa: PLC0415  # torch; the study's lock comes first

        prepared = prepare(study, console.print)
        with hold.turn():
            store = _opened(prepared, folder, hold, console)
        budget = Budget(
            study.search,
            objective=study.metrics.objective.label,
            direction=study.metrics.direction,
            settled=store.is_settled,
        )
        budget.remember(store.records())
        if events is not None:
            events.study(**_facts(prepared, store, folder))
        if (end := _end(budget, store)) is None:
            from tuner.workflows.gpu_share import with_gpu_share  # noqa: PLC0415  # torch

            shared = with_gpu_share(prepared, console.print)
            how = _search(
                shared,
                store,
                budget,
                folder,
                hold=hold,
                artifacts=artifacts,
                console=console,
                events=events,
                address=address,
            )
        else:
            console.print(f"nothing left to do: {end}")
            how = (end.budget, str(end))
        if events is not None:
            events.ended(*how)
        others = [driver.words for driver in hold.living() if driver != hold.driver]
        _judge(study, store, folder, others, console=console, address=address)
    return load_leaderboard(folder)


def _opened(prepared: Prepared, folder: Path, hold: Hold, console: Console) -> StudyStore:
    """Open the study's store, with its baselines and what earlier studies bring."""
    study = prepared.study
    store = open_store(
        folder,
        name=study.study,
        direction=study.metrics.direction,
        sampler=study.search.sampler,
        seed=study.search.seed,
        facts=prepared.facts,
        storage=study.storage,
        grow=_growth(prepared, folder, hold, console),
        hold=hold,
    )
    _snapshot(study, folder)
    store.describe(prepared.description)
    store.add_baselines([(b.name, b.params, b.point) for b in prepared.baselines])
    _warm_start(prepared, store, console)
    return store


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


def _facts(prepared: Prepared, store: StudyStore, folder: Path) -> dict[str, object]:
    """Return what the first event says of a study."""
    study, (total, already) = prepared.study, _trials(prepared.study, store)
    return {
        "study": study.study,
        "folder": str(folder),
        "objective": study.metrics.objective.label,
        "direction": study.metrics.direction,
        "n_folds": len(prepared.folds),
        "trials": total,
        "ended": already,
    }


def study_folder(study: Study, output: Path | str = DEFAULT_OUTPUT) -> Path:
    """Return the folder of a study's results."""
    return Path(output).resolve() / study.study


def shown(path: Path) -> str:
    """Return a path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _refuse_itself(study: Study, folder: Path) -> None:
    """Refuse a study that is to learn from itself; it goes on with its own trials in any case."""
    for index, path in enumerate(study.search.warm_start):
        if Path(path).resolve() == folder:
            rule = f"must be the folder of another study, but got {path!r}"
            hint = "a study goes on with its own trials by itself"
            raise StudyError(study.study, [Problem(f"search.warm_start[{index}]", rule, hint)])


def _warm_start(prepared: Prepared, store: StudyStore, console: Console) -> None:
    from tuner.preparation.warm_start import warm_start  # noqa: PLC0415  # torch

    for earlier in prepared.earlier:
        console.print(warm_start(store, earlier, prepared.space, prepared.study.search.trials))


def _growth(prepared: Prepared, folder: Path, hold: Hold, console: Console) -> Growth:
    """Return how the study goes on if its space is another than before."""
    from tuner.models.build import point_of  # noqa: PLC0415  # torch

    study, space = prepared.study, prepared.space
    encode = partial(point_of, space=space, epochs=study.training.epochs)
    return Growth(folder, study.storage, space, encode, console.print, hold.check)


def _snapshot(study: Study, folder: Path) -> None:
    """Keep the study beside its results, with overrides applied."""
    plain = study.model_dump(mode="json", exclude={"space", "metrics"})
    metrics = study.metrics
    plain["metrics"] = {
        "objective": metrics.objective.plain(),
        "direction": metrics.direction,
        "report": [metric.plain() for metric in metrics.report],
        "further_objectives": metrics.further_objectives,
        "reference": metrics.reference,
    }
    space = study.space
    section = space if isinstance(space, SpaceSection) else SpaceSection(set=space_to_plain(space))
    plain["space"] = section.model_dump(mode="json")
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    write_file(folder / STUDY_FILE, text.encode("utf-8"))


def _end(budget: Budget, store: StudyStore) -> End | None:
    """Return why nothing more is to run, None if something is."""
    return (None if _unfinished(store) else budget.no_more(store.n_searched())) or budget.time_is_up()


def _unfinished(store: StudyStore) -> int:
    """Return how many trials wait, were cut off or rest."""
    return store.n_waiting() + len(store.interrupted()) + len(store.paused())


def _judge(
    study: Study,
    store: StudyStore,
    folder: Path,
    others: Sequence[str],
    *,
    console: Console,
    address: str | None,
) -> None:
    """Judge the best trials on the holdout, if the study asks for it and no trial is still to go on."""
    if others:
        console.print(f"still run by {', '.join(others)}")
    if study.final is None or others:  # the last one judges
        return
    unfinished = _unfinished(store)
    if unfinished:
        console.print(f"final: not yet; {unfinished} trials go on in the next run")
        return
    from tuner.workflows.final import judge_study  # noqa: PLC0415  # torch

    judge_study(study, folder, study.final, console, address)


def _search(
    prepared: Prepared,
    store: StudyStore,
    budget: Budget,
    folder: Path,
    *,
    hold: Hold,
    artifacts: Artifacts | None,
    console: Console,
    events: Events | None,
    address: str | None,
) -> tuple[str, str]:
    """Run trials until the budget is spent or the search ends otherwise; return why: a key, and in words."""
    study = prepared.study
    with ExitStack() as stack:
        capacity = stack.enter_context(ray_session(prepared, address))
        share = trial_share(study.resources)
        slots = capacity.slots(share)
        mirror = None if artifacts is None else Mirror(folder, artifacts)
        if artifacts is not None and mirror is not None:
            check_from_every_node(artifacts)
            mirror.bring_users()
            stack.callback(mirror.bring_logs)
        budget.start()  # Ray's start is not the search's
        steady = None if capacity.grows else slots
        progress = _progress(prepared, store, console, slots=steady, folder=folder, ends_at=budget.ends_at)
        tensorboard = TensorBoardWriter(
            folder / "tensorboard", objective=study.metrics.objective.label, direction=study.metrics.direction
        )
        stack.callback(tensorboard.close)
        kept = KeptModels.of(study, folder, store.records())
        if study.training.keep_checkpoints and artifacts is not None:
            console.print("models: none are kept, since artifacts are not in the study's folder")
        elif study.training.keep_checkpoints:
            console.print(kept.promise(slots, len(prepared.folds)))
        objectives = (study.metrics.objective.label, *study.metrics.further_objectives)
        notes = DashboardNotes(store.study, objectives, shown(folder))
        observers: list[Observer] = [progress, tensorboard, notes, kept]
        observers += [one for one in (mirror, events) if one is not None]
        searcher = _searcher(prepared, store, budget, folder, *observers, capacity=capacity, mirror=mirror)
        console.print(f"search: {at_once(capacity, share)}; results in {shown(folder)}")
        with progress, _ctrl_c(searcher, console):
            try:
                fit_by_tune(prepared, searcher, folder, hold, artifacts=artifacts)
                searcher.close()
            finally:  # what failed first is told, whatever Tune made of it
                if searcher.error is not None:
                    raise searcher.error
    if searcher.hopeless is not None:
        hint = f"see {shown(folder / 'logs')}; mend it and run the same command again"
        raise SearchError(f"the first trials all failed in one way: {searcher.hopeless}", hint=hint)
    how = ("ended", "the search has ended")
    if searcher.exhausted:
        how = ("exhausted", "every point of the space has been tried: the search ends before its budget")
        console.print(how[1])
    elif not searcher.interrupted and (end := _end(budget, store)) is not None:
        how = (end.budget, f"the search ends: {end}")
        console.print(how[1])
    if searcher.interrupted:
        raise InterruptedSearchError(
            "interrupted; finished trials are kept", hint="the same command goes on from here"
        )
    return how


def _progress(
    prepared: Prepared,
    store: StudyStore,
    console: Console,
    *,
    slots: int | None,
    folder: Path,
    ends_at: float | None,
) -> Progress:
    study, (total, already) = prepared.study, _trials(prepared.study, store)
    progress = Progress(
        console,
        total=total,
        already=already,
        n_folds=len(prepared.folds),
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        constraints=study.search.constraints,
        concurrency=slots,
        folder=shown(folder),
        ends_at=ends_at,
        paused=store.paused(),
    )
    progress.remember(store.records())
    return progress


def _trials(study: Study, store: StudyStore) -> tuple[int, int]:
    """Return how many trials and baselines there are to be, and how many of them have ended."""
    records = store.records()
    baselines = sum(record.name is not None for record in records)
    ended = sum(record.status.has_ended for record in records)
    return max(study.search.trials, store.n_searched()) + baselines, ended


def _searcher(
    prepared: Prepared,
    store: StudyStore,
    budget: Budget,
    folder: Path,
    *observers: Observer,
    capacity: Capacity,
    mirror: Mirror | None,
) -> StudySearcher:
    from tuner.execution.study_searcher import StudySearcher  # noqa: PLC0415  # ray
    from tuner.models.build import trial_params, why_infeasible  # noqa: PLC0415  # torch
    from tuner.models.cost import work_of  # noqa: PLC0415  # torch
    from tuner.search.exclusive_trials import LargeTrials  # noqa: PLC0415  # torch

    study = prepared.study
    referee = _referee(prepared, store, folder)
    large = LargeTrials(partial(work_of, n_items=len(prepared.folds[-1].catalog)))
    large.recall(store.records())
    return StudySearcher(
        store,
        prepared.space,
        budget,
        shares=shares_of(prepared),
        referee=referee,
        keep_users=partial(write_users, folder) if mirror is None else mirror.keep_users,
        drop_checkpoint=partial(drop_checkpoint, folder) if mirror is None else mirror.drop_checkpoint,
        constraints=study.search.constraints,
        n_folds=len(prepared.folds),
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        capacity=capacity,
        finish=partial(trial_params, epochs=study.training.epochs),
        refuse=why_infeasible,
        large=large,
        timeout=study.training.timeout,
        learn=partial(_remind, referee, study, folder, mirror=mirror),
        answers=Reach().answer,
        observers=observers,
    )


def _referee(prepared: Prepared, store: StudyStore, folder: Path) -> Referee:
    """Return the referee, told of all that earlier runs recorded."""
    study = prepared.study
    referee = Referee(
        study.stopping.halving,
        study.stopping.race,
        epochs=study.training.epochs,
        n_folds=len(prepared.folds),
        direction=study.metrics.direction,
    )
    for record in store.records():
        _remind(referee, study, folder, record)
    return referee


def _remind(
    referee: Referee, study: Study, folder: Path, record: TrialRecord, *, mirror: Mirror | None = None
) -> None:
    """Tell the referee what an earlier run, or another driver, recorded of a trial."""
    if mirror is not None and record.summary is not None:  # what the race compares with
        mirror.bring_users(record.number)
    objective = study.metrics.objective.label
    curve = [(e.fold, e.epoch, e.metrics[objective]) for e in record.evaluations]
    referee.remember(record.number, curve, read_users(folder, record.number))
    if record.summary is not None and not broken(study.search.constraints, record.summary):
        referee.completed(record.number, value=record.summary.mean, epoch=record.summary.epoch)


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
