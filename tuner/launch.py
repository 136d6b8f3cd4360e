"""`run(study)`: the one place that starts Ray.

Everything that can be wrong with a study is found before that, in the order in which it is cheap.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import yaml

from tuner.data import load_source
from tuner.errors import Problem, SearchError, SpaceError, StudyError
from tuner.leaderboard import Leaderboard, load_leaderboard
from tuner.progress import Progress, stderr_console
from tuner.space import Space, domain_from_plain, load_space
from tuner.spec import SpaceSection, Study
from tuner.store import StudyStore, hold_lock, open_store
from tuner.tensorboard import TensorBoardWriter

if TYPE_CHECKING:
    from rich.console import Console

    from tuner.folds import Fold
    from tuner.models import NamedParams
    from tuner.search import StudySearcher

__all__ = ["Interrupted", "run", "study_folder", "study_space"]

DEFAULT_OUTPUT = Path("studies")

#: For glibc in workers: keep freed memory instead of giving it back to the kernel at each training step.
#: Numbers are unchanged; fresh pages cost many times what warm ones do.
_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
#: What Ray and Tune would say or do by themselves.
_QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "0",
}


class Interrupted(SearchError):
    """The user ended the search with Ctrl-C; all finished work is kept."""

    exit_code = 130


@dataclass(frozen=True)
class _Prepared:
    """A study that has been checked, with all that a search needs."""

    study: Study
    space: Space
    baselines: Sequence[NamedParams]
    folds: Sequence[Fold]
    facts: Mapping[str, object]


def run(study: Study, output: Path | str = DEFAULT_OUTPUT, *, console: Console | None = None) -> Leaderboard:
    """Search until the budget is spent; continue where an earlier run of the same study ended.

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
        If the first trials all fail in one way.
    Interrupted
        On Ctrl-C.
    """
    console = console or stderr_console()
    folder = study_folder(study, output)
    with hold_lock(folder), _driver_log(folder):
        prepared = _prepare(study, console)
        store = open_store(
            folder,
            name=study.study,
            direction=study.metrics.direction,
            sampler=study.search.sampler,
            seed=study.search.seed,
            facts=prepared.facts,
        )
        _snapshot(study, folder)
        store.add_baselines([(b.name, b.params, b.point) for b in prepared.baselines])
        missing = max(0, study.search.trials - store.n_searched())
        if missing or store.n_waiting() or store.cut_off():
            _search(prepared, store, folder, console)
        else:
            console.print("nothing left to do: the budget is spent; --trials N raises it")
    return load_leaderboard(folder)


def study_folder(study: Study, output: Path | str = DEFAULT_OUTPUT) -> Path:
    """Return the folder of a study's results."""
    return Path(output).resolve() / study.study


def study_space(study: Study) -> Space:
    """Return the space of a study: the one it names, with its own changes.

    Raises
    ------
    SpaceError, StudyError
        If it cannot be imported or is not well formed.
    """
    section = study.space
    if isinstance(section, Space):
        return section
    assert isinstance(section, SpaceSection), section
    domains: dict[str, object] = {}
    base = load_space(section.use) if section.use is not None else None
    for key, plain in section.set.items():
        domains[key] = _domain(study, key, plain, base)
    try:
        return Space(domains) if base is None else base.narrow(domains)
    except SpaceError as error:
        raise StudyError(
            study.study, [Problem(f"space.set.{p.where}", p.rule, p.hint) for p in error.problems]
        ) from error


def _domain(study: Study, key: str, plain: object, base: Space | None) -> object:
    known = [path for parameter in base.parameters for path in _paths(parameter.domain)] if base else []
    try:
        return domain_from_plain(key, plain, tuple(known))
    except (ValueError, TypeError) as error:
        raise StudyError(study.study, [Problem(f"space.set.{key}", str(error))]) from error


def _paths(domain: object) -> list[str]:
    options = getattr(domain, "options", None) or (getattr(domain, "value", None),)
    return [option for option in options if isinstance(option, str) and "." in option]


def _prepare(study: Study, console: Console) -> _Prepared:
    """Check everything, cheap things first, and make the folds."""
    source = load_source(study.data)
    console.print(f"data: {source.describe(study.data.duplicates)}")
    from tuner.evaluation import Plan, with_reference
    from tuner.folds import development_dataset, make_folds
    from tuner.models import reference_params, resolve_baselines, space_problems

    space = study_space(study)
    problems = space_problems(space)
    if problems:
        raise StudyError(study.study, [Problem(f"space.{p.where}", p.rule, p.hint) for p in problems])
    baselines = resolve_baselines(study, space)
    dataset = development_dataset(source, study.data, study.folds)
    folds = make_folds(dataset, study.folds)
    for fold in folds:
        console.print(f"fold {fold.index + 1}: {_fold_line(fold)}")
    if study.folds.holdout:
        held = len(source.interactions) - len(dataset.interactions.df)
        console.print(
            f"holdout: {held:,} interactions set aside, seen by no trial"
            if study.data.min_user_interactions == study.data.min_item_interactions == 1
            else "holdout: the newest interactions are set aside, seen by no trial"
        )
    reference = reference_params(study, space)
    folds = with_reference(folds, reference, Plan.of(study), study.search.seed)
    return _Prepared(study, space, baselines, folds, _facts(study, source.fingerprint, reference))


def _fold_line(fold: Fold) -> str:
    facts = fold.facts
    window = f"{str(facts['start'])[:10]} to {str(facts['end'])[:10]}, " if "start" in facts else ""
    return (
        f"{window}{facts['train']:,} train interactions of {facts['train_users']:,} users with "
        f"{facts['train_items']:,} items; {facts['test']:,} test interactions of {facts['test_users']:,} users"
    )


def _facts(study: Study, fingerprint: str, reference: object) -> dict[str, object]:
    """Return what decides whether two trials can be compared."""
    return {
        "data": fingerprint,
        "data settings": study.data.model_dump(
            mode="json",
            include={"min_user_interactions", "min_item_interactions", "duplicates", "numeric_features"},
        ),
        "folds": study.folds.model_dump(mode="json"),
        "objective": study.metrics.objective.label,
        "objective options": dict(study.metrics.objective.options),
        "direction": study.metrics.direction,
        "epochs": study.training.epochs,
        "seed": study.search.seed,
    }


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
    plain["space"] = (
        study.space.model_dump(mode="json") if isinstance(study.space, SpaceSection) else repr(study.space)
    )
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    (folder / "study.yaml").write_text(text, encoding="utf-8")


def _search(prepared: _Prepared, store: StudyStore, folder: Path, console: Console) -> None:
    study = prepared.study
    with ExitStack() as stack:
        slots = stack.enter_context(_ray(study))
        from tuner.models import trial_params
        from tuner.search import Budget, StudySearcher

        budget = Budget(
            study.search.trials,
            None if study.search.time_budget is None else time.monotonic() + study.search.time_budget,
        )
        records = store.records()
        progress = Progress(
            console,
            total=max(study.search.trials, store.n_searched())
            + sum(record.name is not None for record in records),
            already=sum(record.state in {"complete", "failed", "pruned"} for record in records),
            n_folds=len(prepared.folds),
            epochs=study.training.epochs,
            objective=study.metrics.objective.label,
            direction=study.metrics.direction,
            concurrency=slots,
            ends_at=budget.deadline,
        )
        tensorboard = TensorBoardWriter(
            folder / "tensorboard", objective=study.metrics.objective.label, direction=study.metrics.direction
        )
        stack.callback(tensorboard.close)
        searcher = StudySearcher(
            store,
            prepared.space,
            budget,
            n_folds=len(prepared.folds),
            epochs=study.training.epochs,
            objective=study.metrics.objective.label,
            direction=study.metrics.direction,
            concurrency=slots,
            finish=partial(trial_params, epochs=study.training.epochs),
            observers=(progress, tensorboard),
        )
        console.print(f"search: {slots} trial{'s' if slots > 1 else ''} at once; results in {_shown(folder)}")
        with progress, _ctrl_c(searcher, console):
            _fit(prepared, searcher, folder)
    if searcher.hopeless is not None:
        hint = f"see {_shown(folder / 'logs')}; mend it and run the same command again"
        raise SearchError(f"the first trials all failed in one way: {searcher.hopeless}", hint=hint)
    if searcher.interrupted:
        raise Interrupted("interrupted; finished trials are kept", hint="the same command goes on from here")


def _fit(prepared: _Prepared, searcher: StudySearcher, folder: Path) -> None:
    """Hand the search to Ray Tune."""
    from ray import tune

    from tuner.evaluation import Plan
    from tuner.search import StopWhenAsked
    from tuner.trial import run_trial

    resources = prepared.study.resources
    trainable = tune.with_parameters(
        run_trial,
        folds=prepared.folds,
        plan=Plan.of(prepared.study),
        logs=str(folder / "logs"),
        threads=max(1, int(resources.cpus_per_trial)),
    )
    scratch = folder / ".tune"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        tune.Tuner(
            tune.with_resources(
                trainable, {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
            ),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
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


def _tune_name(trial: Any) -> str:
    return f"trial-{trial.config['job'].number:04d}-{trial.trial_id}"


@contextmanager
def _ray(study: Study) -> Iterator[int]:
    """Start Ray, or join the cluster that the environment names; give the number of trials at once."""
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET_RAY.items()})
    import ray

    path = os.pathsep.join(
        dict.fromkeys([str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    )
    started = not ray.is_initialized()
    if started:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {**_ALLOCATOR, "PYTHONPATH": path.rstrip(os.pathsep)}},
        )
    try:
        yield _slots(study, ray.cluster_resources())
    finally:
        if started:
            ray.shutdown()


def _slots(study: Study, offered: Mapping[str, float]) -> int:
    """Return how many trials fit at once.

    Raises
    ------
    StudyError
        If not even one does.
    """
    wanted = {"CPU": study.resources.cpus_per_trial, "GPU": study.resources.gpus_per_trial}
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


@contextmanager
def _driver_log(folder: Path) -> Iterator[None]:
    """Keep what libraries say in the driver in a file: warnings and logs, but no error of ours."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "logs" / "driver.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers, root.level = [handler], logging.INFO
    logging.captureWarnings(capture=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers, root.level = before
        handler.close()


def _shown(path: Path) -> str:
    """Return a path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
