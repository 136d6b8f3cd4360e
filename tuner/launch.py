"""`run(study)`: the one place that starts Ray."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import yaml

from tuner.errors import Problem, SearchError, StudyError
from tuner.leaderboard import Leaderboard, load_leaderboard
from tuner.logs import logs_to
from tuner.per_user import drop_checkpoint, read_users, write_users
from tuner.progress import Progress, stderr_console
from tuner.shipping import own_modules
from tuner.space import Choice, space_to_plain
from tuner.spec import SpaceSection, Study
from tuner.stopping import Referee
from tuner.store import STUDY_FILE, StudyStore, hold_study, open_store, told_if_lost
from tuner.tensorboard import TensorBoardWriter
from tuner.watchdog import RAY_DIED, watch_ray

if TYPE_CHECKING:
    from ray.tune.experiment import Trial
    from rich.console import Console

    from tuner.prepare import Prepared
    from tuner.search import StudySearcher

__all__ = ["DEFAULT_OUTPUT", "InterruptedSearchError", "RayStartError", "run", "shown", "study_folder"]

DEFAULT_OUTPUT = Path("studies")

#: For glibc in workers: keep freed memory instead of giving it back to the kernel at each training step.
#: Numbers are unchanged; fresh pages cost many times what warm ones do.
_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
#: Keep Ray and Tune from saying or writing what nobody asked for, and leave Ctrl-C to us.
_QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}


class InterruptedSearchError(SearchError):
    """The user ended the search; all finished work is kept."""

    exit_code = 130


class RayStartError(SearchError):
    """Ray did not come up; nothing has been run."""

    exit_code = RAY_DIED


def run(study: Study, output: Path | str = DEFAULT_OUTPUT, *, console: Console | None = None) -> Leaderboard:
    """Search until the budget is spent; go on where an earlier run of the same study ended.

    Parameters
    ----------
    study
        What to search.
    output
        Results stand in a folder of the study's name in this one.
    console
        Where to show progress; stderr by default.

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
    `tuner.watchdog`.
    """
    console = console or stderr_console()
    folder = study_folder(study, output)
    with (
        told_if_lost(folder, study.storage),
        hold_study(folder, study.study, study.storage),
        logs_to(folder / "logs" / "driver.log"),
    ):
        from tuner.prepare import prepare  # noqa: PLC0415  # torch; the study's lock comes first

        prepared = prepare(study, console.print)
        store = open_store(
            folder,
            name=study.study,
            direction=study.metrics.direction,
            sampler=study.search.sampler,
            seed=study.search.seed,
            facts=prepared.facts,
            storage=study.storage,
        )
        _snapshot(study, folder)
        store.add_baselines([(b.name, b.params, b.point) for b in prepared.baselines])
        if study.search.trials > store.n_searched() or store.n_waiting() or store.cut_off():
            _search(_with_gpu_share(prepared, console), store, folder, console)
        else:
            console.print("nothing left to do: the budget is spent; --trials N raises it")
    return load_leaderboard(folder)


def study_folder(study: Study, output: Path | str = DEFAULT_OUTPUT) -> Path:
    """Return the folder of a study's results."""
    return Path(output).resolve() / study.study


def shown(path: Path) -> str:
    """Return a path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _snapshot(study: Study, folder: Path) -> None:
    """Keep the study beside its results, with overrides applied."""
    plain = study.model_dump(mode="json", exclude={"space", "metrics"})
    metrics = study.metrics
    plain["metrics"] = {
        "objective": metrics.objective.plain(),
        "direction": metrics.direction,
        "report": [metric.plain() for metric in metrics.report],
        "reference": metrics.reference,
    }
    space = study.space
    section = space if isinstance(space, SpaceSection) else SpaceSection(set=space_to_plain(space))
    plain["space"] = section.model_dump(mode="json")
    unfinished = folder / f".{STUDY_FILE}.tmp"  # so that a full disk leaves the one before as it is
    unfinished.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(unfinished, folder / STUDY_FILE)  # noqa: PTH105  # atomic by its documentation


def _search(prepared: Prepared, store: StudyStore, folder: Path, console: Console) -> None:
    """Run trials until the budget is spent or the search ends otherwise."""
    study = prepared.study
    with ExitStack() as stack:
        slots = stack.enter_context(_ray(prepared))
        budget = study.search.time_budget  # Ray's start is not the search's
        budget_ends = None if budget is None else time.monotonic() + budget
        progress = _progress(prepared, store, console, slots=slots, folder=folder, ends_at=budget_ends)
        tensorboard = TensorBoardWriter(
            folder / "tensorboard", objective=study.metrics.objective.label, direction=study.metrics.direction
        )
        stack.callback(tensorboard.close)
        searcher = _searcher(
            prepared, store, folder, progress, tensorboard, slots=slots, budget_ends=budget_ends
        )
        console.print(f"search: {slots} trial{'s' if slots > 1 else ''} at once; results in {shown(folder)}")
        with progress, _ctrl_c(searcher, console):
            try:
                _fit(prepared, searcher, folder, slots)
            finally:  # what failed first is told, whatever Tune made of it
                if searcher.error is not None:
                    raise searcher.error
    if searcher.hopeless is not None:
        hint = f"see {shown(folder / 'logs')}; mend it and run the same command again"
        raise SearchError(f"the first trials all failed in one way: {searcher.hopeless}", hint=hint)
    if searcher.exhausted:
        console.print("every point of the space has been tried: the search ends before its budget")
    if searcher.interrupted:
        raise InterruptedSearchError(
            "interrupted; finished trials are kept", hint="the same command goes on from here"
        )


def _with_gpu_share(prepared: Prepared, console: Console) -> Prepared:
    """Measure the share of a GPU that a trial needs, where the study leaves that to us."""
    if prepared.study.resources.gpus_per_trial != "auto":
        return prepared
    from tuner.estimate import measure_gpu_share  # noqa: PLC0415  # torch

    share, why = measure_gpu_share(prepared)
    console.print(f"gpus_per_trial: {share:g}; {why}")
    resources = prepared.study.resources.model_copy(update={"gpus_per_trial": share})
    return replace(prepared, study=prepared.study.model_copy(update={"resources": resources}))


def _progress(
    prepared: Prepared,
    store: StudyStore,
    console: Console,
    *,
    slots: int,
    folder: Path,
    ends_at: float | None,
) -> Progress:
    study = prepared.study
    records = store.records()
    baselines = sum(record.name is not None for record in records)
    return Progress(
        console,
        total=max(study.search.trials, store.n_searched()) + baselines,
        already=sum(record.state in {"complete", "failed", "pruned"} for record in records),
        n_folds=len(prepared.folds),
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        concurrency=slots,
        folder=shown(folder),
        ends_at=ends_at,
    )


def _searcher(
    prepared: Prepared,
    store: StudyStore,
    folder: Path,
    *observers: Progress | TensorBoardWriter,
    slots: int,
    budget_ends: float | None,
) -> StudySearcher:
    from tuner.alone import LargeTrials  # noqa: PLC0415  # torch
    from tuner.models import trial_params, why_infeasible  # noqa: PLC0415  # torch
    from tuner.search import Budget, StudySearcher  # noqa: PLC0415  # ray
    from tuner.work import work_of  # noqa: PLC0415  # torch

    study = prepared.study
    large = LargeTrials(partial(work_of, n_items=len(prepared.folds[-1].catalog)))
    large.recall(store.records())
    return StudySearcher(
        store,
        prepared.space,
        Budget(study.search.trials, budget_ends),
        referee=_referee(prepared, store, folder),
        keep_users=partial(write_users, folder),
        drop_checkpoint=partial(drop_checkpoint, folder),
        n_folds=len(prepared.folds),
        objective=study.metrics.objective.label,
        direction=study.metrics.direction,
        concurrency=slots,
        finish=partial(trial_params, epochs=study.training.epochs),
        refuse=why_infeasible,
        large=large,
        timeout=study.training.timeout,
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
    objective = study.metrics.objective.label
    for record in store.records():
        curve = [(e.fold, e.epoch, e.metrics[objective]) for e in record.evaluations]
        referee.remember(record.number, curve, read_users(folder, record.number))
        if record.summary is not None:
            referee.completed(record.number, value=record.summary.mean, epoch=record.summary.epoch)
    return referee


def _fit(prepared: Prepared, searcher: StudySearcher, folder: Path, slots: int) -> None:
    """Hand the search to Ray Tune."""
    from ray import tune  # noqa: PLC0415  # ray

    from tuner.search import NoteLostWorkers, StopWhenAsked  # noqa: PLC0415  # ray
    from tuner.trial import run_trial  # noqa: PLC0415  # ray

    resources = prepared.study.resources
    trainable = tune.with_parameters(
        run_trial,
        folds=prepared.folds,
        plan=prepared.plan,
        folder=str(folder),
        threads=max(1, int(resources.cpus_per_trial)),
        timeout=prepared.study.training.timeout,
    )
    share = {"CPU": resources.cpus_per_trial, "GPU": resources.gpu_share}
    scratch = folder / ".tune"  # Tune wants a place for its snapshots; nothing reads them
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        tune.Tuner(
            tune.with_resources(trainable, share),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=NoteLostWorkers(searcher),
                num_samples=-1,
                # Without it Tune starts one worker at a time, and drops it when an earlier one is free first:
                # trials shorter than a worker's start would run one by one.
                max_concurrent_trials=slots,
                reuse_actors=True,
                trial_name_creator=_tune_name,
                trial_dirname_creator=_tune_name,
            ),
            run_config=tune.RunConfig(
                name="tune", storage_path=str(scratch), stop=StopWhenAsked(searcher), verbose=0, callbacks=[]
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tune_name(trial: Trial) -> str:
    return f"trial-{trial.config['job'].number:04d}-{trial.trial_id}"


@contextmanager
def _ray(prepared: Prepared) -> Iterator[int]:
    """Start Ray on this machine unless it runs; give the number of trials at once."""
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET_RAY.items()})
    import ray  # noqa: PLC0415  # ray

    _quiet_loggers()
    started = not ray.is_initialized()
    if started:
        runtime_env = _runtime_env(prepared)
        try:
            ray.init(
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=runtime_env,
            )
        except Exception as error:  # Ray has no class for it
            hint = "is the machine overloaded, or out of memory? the same command tries again"
            raise RayStartError(f"Ray could not be started: {error}", hint=hint) from error
    try:
        with watch_ray() if started else nullcontext():
            yield _slots(prepared.study, dict(ray.cluster_resources()))  # type: ignore[no-untyped-call]  # Ray's own
    finally:
        if started:
            ray.shutdown()


def _runtime_env(prepared: Prepared) -> dict[str, object]:
    """Return what workers need: settings, where modules are on this machine, and the user's own modules.

    Workers of other hosts see none of the user's folders, so the modules that the study names are sent to
    them. Where it names none, nothing is sent, and no time is spent.
    """
    installed = (sys.prefix, sys.base_prefix)
    folders = [path for path in (str(Path.cwd()), *sys.path) if path and not path.startswith(installed)]
    path = os.pathsep.join(dict.fromkeys(folders))
    domains = [parameter.domain for parameter in prepared.space.parameters]
    options = [domain.options if isinstance(domain, Choice) else domain.only() for domain in domains]
    given = [tuple(baseline.params.values()) for baseline in prepared.baselines]
    shipped = own_modules([*options, *given])
    sent = {"py_modules": shipped, "excludes": ["**/__pycache__"]} if shipped else {}
    return {"env_vars": {**_ALLOCATOR, "PYTHONPATH": path}, **sent}


def _quiet_loggers() -> None:
    """Let Ray's loggers speak to the driver's log like all others, not to the console."""
    for name in ["ray", *logging.root.manager.loggerDict]:
        if name == "ray" or name.startswith("ray."):
            ray_logger = logging.getLogger(name)
            ray_logger.handlers.clear()
            ray_logger.propagate = True


def _slots(study: Study, offered: Mapping[str, float]) -> int:
    """Return how many trials fit at once.

    Raises
    ------
    StudyError
        If not even one does.
    """
    wanted = {"CPU": study.resources.cpus_per_trial, "GPU": study.resources.gpu_share}
    problems = [
        Problem(
            f"resources.{kind.lower()}s_per_trial",
            f"must be at most what there is, but got {amount:g} and there are {offered.get(kind, 0):g}",
        )
        for kind, amount in wanted.items()
        if amount > offered.get(kind, 0)
    ]
    if problems:
        raise StudyError(study.study, problems)
    fits = min(int(offered[kind] / amount + 1e-9) for kind, amount in wanted.items() if amount)
    return min(fits, study.resources.concurrency or fits)


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
