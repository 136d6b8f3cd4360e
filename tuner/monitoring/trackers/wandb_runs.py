"""Weights & Biases: a run for each trial, all in one group; online or as offline files.

A run has an id that is derived from the study and the trial. So a trial that continues, also in another
driver, goes on in its run; of several offline files with one id, `wandb sync` makes one run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.monitoring.trackers.tracked import TrackedTrial, values_of
from tuner.trials.status import TrialStatus

__all__ = ["WandbRuns"]


class WandbRuns:
    """The runs of one study in Weights & Biases.

    Parameters
    ----------
    study, identity
        Name of the study, and an id that no other study has.
    folder
        Folder of the study. W&B puts its files there, into ``wandb``.
    project, entity, mode
        Arguments of ``wandb.init``; the project is the name of the study by default.
    """

    def __init__(
        self,
        study: str,
        identity: str,
        folder: Path,
        *,
        project: str | None = None,
        entity: str | None = None,
        mode: str | None = None,
    ) -> None:
        self._study = study
        self._identity = identity
        self._options = {"project": project or study, "entity": entity, "mode": mode, "dir": str(folder)}
        self._running: dict[int, Any] = {}
        self._pushed: dict[int, set[tuple[int, int]]] = {}
        self._done: dict[int, str] = {}

    def open(self) -> None:
        """Check that the package is there."""
        import wandb  # noqa: F401, PLC0415  # of an extra

    def push(self, trial: TrackedTrial) -> None:
        """Bring the run of a trial up to date; close it unless the trial runs."""
        if self._done.get(trial.number) == trial.state:
            return
        run = self._running.get(trial.number) or self._begin(trial)
        pushed = self._pushed.setdefault(trial.number, set())
        epochs = max((epoch for _, epoch in trial.evaluations), default=0)
        for place, evaluation in trial.evaluations.items():
            if place not in pushed:
                step = evaluation.fold * (int(str(trial.params.get("epochs", epochs))) + 1) + evaluation.epoch
                run.log({**dict(values_of(evaluation)), "epoch": evaluation.epoch}, step=step)
                pushed.add(place)
        if trial.status is TrialStatus.RUNNING:
            return
        if trial.summary is not None:
            run.summary.update(dict(trial.summary.metrics))
            run.summary.update({"objective_mean": trial.summary.mean, "objective_std": trial.summary.std})
        run.summary.update({"status": str(trial.status), "note": trial.note})
        run.finish(exit_code=1 if trial.status is TrialStatus.FAILED else 0)
        del self._running[trial.number]
        self._done[trial.number] = trial.state

    def _begin(self, trial: TrackedTrial) -> Any:  # noqa: ANN401  # a run of W&B
        import wandb  # noqa: PLC0415  # as above

        run = wandb.init(
            **self._options,
            id=f"{self._identity}-{trial.number}",
            name=f"{trial.number} {trial.label}",
            group=self._study,
            config={key: list(v) if isinstance(v, tuple) else v for key, v in trial.params.items()},
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, init_timeout=30),
        )
        self._running[trial.number] = run
        return run

    def close(self, best: TrackedTrial | None, *, last: bool) -> None:
        """Do nothing: every run is closed with its trial."""
