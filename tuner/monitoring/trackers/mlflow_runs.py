"""MLflow: a run for the study, and under it a run for each trial.

A run is found by its tags, so an interrupted or paused trial continues in its run, also after a driver was
killed or in another driver. If two drivers make the same run at once, both keep the older one.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.monitoring.trackers.tracked import TrackedTrial, values_of
from tuner.trials.records import Evaluation
from tuner.trials.status import TrialStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

__all__ = ["MlflowRuns"]

#: Tags of runs: id of the study, number of the trial (or `_WHOLE`), its status, and how much the run has.
_STUDY, _TRIAL, _STATUS, _STATE, _NOTE = (
    f"tuner.{name}" for name in ("study", "trial", "status", "state", "note")
)
_WHOLE = "study"
#: MLflow's states of a run by the status of the trial.
_RUN_STATES = {
    TrialStatus.COMPLETE: "FINISHED",
    TrialStatus.STOPPED: "KILLED",
    TrialStatus.FAILED: "FAILED",
    TrialStatus.RUNNING: "RUNNING",
}
#: State of a run whose trial is paused, or was interrupted: it may continue.
_WAITS = "SCHEDULED"
#: Tag of an experiment that trains models: newer pages of MLflow show its runs first, not traces of agents.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
#: Tags of a run by which MLflow's pages show what made it.
_MADE_BY = {"mlflow.source.name": "rectools-tuner", "mlflow.source.type": "LOCAL"}
_MOST_PARAMS, _MOST_METRICS, _LONGEST_VALUE = 100, 1000, 500


class MlflowRuns:
    """The runs of one study in MLflow.

    Parameters
    ----------
    study, identity
        Name of the study, and an id that no other study has.
    folder
        Folder of the study, which may have the fitted models of the best trial.
    uri
        URI of the server; None for MLflow's own default.
    experiment
        Name of the experiment; None for the name of the study.
    """

    def __init__(
        self,
        study: str,
        identity: str,
        folder: Path,
        *,
        uri: str | None = None,
        experiment: str | None = None,
    ) -> None:
        self._study = study
        self._identity = identity
        self._folder = folder
        self._uri = uri
        self._experiment_name = experiment or study
        self._runs: dict[str, str] = {}  # ids of runs, by the tag of their trial
        self._pushed: dict[str, set[tuple[int, int]]] = {}  # fold and epoch of evaluations, by run

    def open(self) -> None:
        """Find or make the experiment and the run of the study."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the thread repeats by itself
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for results
        from mlflow import MlflowClient  # noqa: PLC0415  # of an extra

        self._client: MlflowClient = MlflowClient(self._uri)
        self._experiment = self._find_experiment()
        run, _ = self._run(_WHOLE, self._study)
        self._client.update_run(run, status="RUNNING")

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415  # as above

        known = self._client.get_experiment_by_name(self._experiment_name)
        if known is not None:
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(self._experiment_name, tags=_KIND))
        except MlflowException:  # another driver has made it since
            return str(self._client.get_experiment_by_name(self._experiment_name).experiment_id)

    def _run(self, trial: str, name: str) -> tuple[str, Run | None]:
        """Return the id of the run with a tag, and the run itself if it was there before."""
        if trial in self._runs:
            return self._runs[trial], None
        found = self._search(trial)
        existing = found[0] if found else None
        if existing is None:
            parent = {} if trial == _WHOLE else {"mlflow.parentRunId": self._runs[_WHOLE]}
            tags = {_STUDY: self._identity, _TRIAL: trial, "mlflow.runName": name, **_MADE_BY, **parent}
            own = self._client.create_run(self._experiment, tags=tags, run_name=name)
            found = self._search(trial) or [own]
            for double in found[1:]:
                if double.info.run_id == own.info.run_id:  # another driver's is older
                    self._client.delete_run(own.info.run_id)
        self._runs[trial] = found[0].info.run_id
        return self._runs[trial], existing

    def _search(self, trial: str) -> list[Run]:
        """Return the runs with a tag, the oldest first."""
        wanted = f"tags.`{_STUDY}` = '{self._identity}' and tags.`{_TRIAL}` = '{trial}'"
        found = self._client.search_runs([self._experiment], wanted)
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def push(self, trial: TrackedTrial) -> None:
        """Bring the run of a trial up to date."""
        run, existing = self._run(str(trial.number), f"{trial.number} {trial.label}")
        if existing is not None and existing.data.tags.get(_STATE) == trial.state:
            self._pushed[run] = set(trial.evaluations)
            return
        if run not in self._pushed:
            self._pushed[run] = self._known(run, trial) if existing is not None else set()
            self._push_params(run, trial)
        self._push_curves(run, trial)
        self._push_outcome(run, trial)

    def _known(self, run: str, trial: TrackedTrial) -> set[tuple[int, int]]:
        """Return the evaluations that a run has from an earlier driver."""
        found: set[tuple[int, int]] = set()
        first = next(iter(trial.evaluations.values()), None)
        for fold in {fold for fold, _ in trial.evaluations} if first is not None else ():
            one = next(one for one in trial.evaluations.values() if one.fold == fold)
            key = _name(next(iter(values_of(one)))[0])
            found |= {(fold, metric.step) for metric in self._client.get_metric_history(run, key)}
        return found

    def _push_params(self, run: str, trial: TrackedTrial) -> None:
        from mlflow.entities import Param  # noqa: PLC0415  # as above

        params = [Param(_name(key), str(value)[:_LONGEST_VALUE]) for key, value in trial.params.items()]
        for at in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(run, params=params[at : at + _MOST_PARAMS])

    def _push_curves(self, run: str, trial: TrackedTrial) -> None:
        """Send the evaluations that the run does not have. MLflow stores all values of one or none."""
        for place, evaluation in trial.evaluations.items():
            if place not in self._pushed[run]:
                self._client.log_batch(run, metrics=_metrics(evaluation))
                self._pushed[run].add(place)

    def _push_outcome(self, run: str, trial: TrackedTrial) -> None:
        from mlflow.entities import Metric, RunTag  # noqa: PLC0415  # as above

        metrics: list[Metric] = []
        if trial.summary is not None:
            values = {
                **trial.summary.metrics,
                "objective_mean": trial.summary.mean,
                "objective_std": trial.summary.std,
            }
            metrics = [Metric(_name(key), value, 0, 0) for key, value in values.items()]
        tags = {_STATUS: str(trial.status), _STATE: trial.state}
        if trial.note:
            tags[_NOTE] = trial.note
        status = _RUN_STATES.get(trial.status, _WAITS)
        if trial.status.has_ended:
            self._client.set_terminated(run, status=status)
        else:
            self._client.update_run(run, status=status)
        self._client.log_batch(run, metrics=metrics, tags=[RunTag(key, text) for key, text in tags.items()])

    def close(self, best: TrackedTrial | None, *, last: bool) -> None:
        """Mark the best trial, keep its fitted models as artifacts, and end the run of the study."""
        parent = self._runs[_WHOLE]
        if best is not None and best.summary is not None:
            self._client.set_tag(parent, "tuner.best", str(best.number))
            self._client.log_metric(parent, "best_objective_mean", best.summary.mean, step=best.number)
            models = layout.model_path(self._folder, best.number, 0).parent
            if models.is_dir():
                self._client.log_artifacts(self._runs[str(best.number)], str(models), "model")
        if last:
            self._client.set_terminated(parent)


def _metrics(evaluation: Evaluation) -> list[Metric]:
    from mlflow.entities import Metric  # noqa: PLC0415  # as above

    now = int(time.time() * 1000)
    return [Metric(_name(key), value, now, evaluation.epoch) for key, value in values_of(evaluation)][
        :_MOST_METRICS
    ]


def _name(key: str) -> str:
    """Return a name that MLflow accepts: ``NDCG@10`` becomes ``NDCG_at_10``."""
    return re.sub(r"[^\w\-. :/]", "_", key.replace("@", "_at_"))
