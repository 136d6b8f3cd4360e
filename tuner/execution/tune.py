"""Runs a search with Ray Tune: the resources that each trial reserves, and the run itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts import layout
from tuner.artifacts.places import Artifacts
from tuner.config import Resources
from tuner.execution.memory_kills import memory_kills_are_losses
from tuner.search.capacity import Share, Shares, cpu_share, trial_share
from tuner.space import Choice, Value

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from tuner.preparation.prepare import Prepared
    from tuner.search.coordinator import Coordinator
    from tuner.store.locking.drivers import Hold

__all__ = ["fit_by_tune", "shares_of"]

#: Prefix of environment variables with credentials. Tune would send them in a runtime environment, which Ray
#: writes to its logs and shows in the list of processes. Nodes have credentials of their own.
CREDENTIALS = "AWS_"


def _share(resources: Resources, params: Mapping[str, Value]) -> Share:
    """Return the resources that a trial reserves on a node. A classic model reserves no GPU."""
    from tuner.models.build import trains_by_steps  # noqa: PLC0415  # torch

    return trial_share(resources) if trains_by_steps(params) else cpu_share(resources)


def shares_of(prepared: Prepared) -> Shares:
    """Return the resources that trials of a study can reserve on a node."""
    resources = prepared.study.resources
    of = partial(_share, resources)
    domain = next(parameter.domain for parameter in prepared.space.parameters if parameter.key == "cls")
    classes = domain.options if isinstance(domain, Choice) else [domain.only()]
    return Shares(
        of,
        queued=_distinct(trial_share(resources), cpu_share(resources)),
        sampled=_distinct(*(of({"cls": cls}) for cls in classes)),
    )


def _distinct(*shares: Share) -> list[Share]:
    return [share for index, share in enumerate(shares) if share not in shares[:index]]


def fit_by_tune(
    prepared: Prepared,
    coordinator: Coordinator,
    folder: Path,
    hold: Hold,
    *,
    artifacts: Artifacts | None,
) -> None:
    """Run trials until the coordinator has no more of them.

    Parameters
    ----------
    prepared
        The prepared study.
    coordinator
        Chooses trials, and receives their reports.
    folder
        Folder of the study.
    hold
        Lock of this driver.
    artifacts
        Place for the files of trials; None to use the folder.
    """
    from ray import tune  # noqa: PLC0415  # ray

    from tuner.execution import tune_adapters as adapters  # noqa: PLC0415  # ray

    searcher = adapters.TuneSearcher(coordinator)

    _withhold_credentials()
    with _scratch(folder, hold) as scratch, memory_kills_are_losses():
        tune.Tuner(
            _trainable(prepared, folder, artifacts),
            tune_config=tune.TuneConfig(
                search_alg=adapters.SpareWorkers(searcher),
                scheduler=adapters.WorkerScheduler(searcher),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_tune_name,
                trial_dirname_creator=_tune_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                stop=adapters.StopWhenAsked(searcher),
                verbose=0,
                callbacks=[],
                progress_reporter=adapters.NoReports(),
            ),
        ).fit()


def _withhold_credentials() -> None:
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE  # noqa: PLC0415  # ray

    withheld = {name for name in ENV_VARS_TO_PROPAGATE if name.startswith(CREDENTIALS)}
    ENV_VARS_TO_PROPAGATE.difference_update(withheld)


def _trainable(prepared: Prepared, folder: Path, artifacts: Artifacts | None) -> Any:  # noqa: ANN401  # Ray has no name for it
    """Return the function that runs a trial, with its data in the object store and its share of a node."""
    from ray import tune  # noqa: PLC0415  # ray

    from tuner.execution.trainable import run_trial  # noqa: PLC0415  # ray

    resources, training = prepared.study.resources, prepared.study.training
    trainable = tune.with_parameters(
        run_trial,
        folds=prepared.folds,
        plan=prepared.plan,
        folder=str(folder),
        artifacts=artifacts,
        threads=max(1, int(resources.cpus_per_trial)),
        timeout=training.timeout,
        keep_models=training.keep_checkpoints > 0 and artifacts is None,
    )

    def bundle(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([dict(_share(resources, config["job"].params))])

    return tune.with_resources(trainable, bundle)


@contextmanager
def _scratch(folder: Path, hold: Hold) -> Iterator[Path]:
    """Give Tune a folder for its snapshots, which nothing reads; remove those of dead drivers."""
    scratch = layout.scratch_folder(folder, hold.driver.id)
    for left in set(scratch.parent.glob("*")) - {scratch.parent / one.id for one in hold.living()}:
        shutil.rmtree(left, ignore_errors=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # other drivers of a shared study may have files there
            scratch.parent.rmdir()


def _tune_name(trial: Trial) -> str:
    return layout.tune_trial(trial.config["job"].number, trial.trial_id)
