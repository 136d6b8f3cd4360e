"""MLflow on a real server, W&B as offline files: runs, states and curves are those of the search."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.monitoring.test_optuna_dashboard import free_port
from tuner.config.tracking import Tracking
from tuner.errors import StudyError
from tuner.monitoring.trackers import check_tracking
from tuner.monitoring.trackers.background import BackgroundTracker
from tuner.monitoring.trackers.make import _Guarded
from tuner.monitoring.trackers.mlflow_runs import MlflowRuns
from tuner.monitoring.trackers.wandb_runs import WandbRuns
from tuner.trials.messages import Job
from tuner.trials.objective import summarise
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Attempt, Failure, Pause, Stop
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

#: The server may be in an environment of its own: its requirements conflict with what we pin.
SERVER = os.environ.get("TUNER_MLFLOW") or shutil.which("mlflow")
S = TrialStatus
FOLDS, EPOCHS = 2, 3


def job(number: int) -> Job:
    params = {"cls": "rectools.models.SASRecModel", "n_factors": 8 * (number + 1), "net": ("a", "b")}
    return Job(number, params, (1, 2), "SASRecModel")


def evaluation(number: int, fold: int, epoch: int) -> Evaluation:
    metrics = {"NDCG@10": 0.1 * number + 0.01 * epoch + 0.001 * fold, "HitRate@10": 0.5}
    return Evaluation(fold, epoch, metrics, 2.5 / epoch, 1.5, 0.5, 99)


def all_of(number: int) -> list[Evaluation]:
    return [evaluation(number, fold, epoch) for fold in range(FOLDS) for epoch in range(1, EPOCHS + 1)]


def summary(number: int) -> Summary:
    return summarise(all_of(number), "NDCG@10", "maximize")


def record(number: int, status: TrialStatus, evaluations: list[Evaluation], **more: Any) -> TrialRecord:
    one = job(number)
    begun = (Attempt("here", 1),)
    return TrialRecord(number, status, None, one.params, tuple(evaluations), attempts=begun, **more)


def first_run(tracker: BackgroundTracker) -> None:
    """Play the events of a driver: one trial each complete, stopped, failed, paused; one in its midst."""
    for number in range(5):
        tracker.started(job(number), again=False)
    for one in all_of(0):
        tracker.evaluated(job(0), one)
    tracker.finished(job(0), summary(0), 2.0)
    for number in (1, 2, 3, 4):
        tracker.evaluated(job(number), evaluation(number, 0, 1))
    tracker.stopped(job(1), Stop("request", 0, 1, {}), 1.0)
    tracker.failed(job(2), "it had no luck", "logs/x.log")
    tracker.paused(job(3), Pause(0, 1, 1))


def stored() -> list[TrialRecord]:
    """Return what the store has after that run."""
    return [
        record(0, S.COMPLETE, all_of(0), summary=summary(0)),
        record(1, S.STOPPED, [evaluation(1, 0, 1)], stop=Stop("request", 0, 1, {})),
        record(2, S.FAILED, [evaluation(2, 0, 1)], failure=Failure("it had no luck", "E")),
        record(3, S.PAUSED, [evaluation(3, 0, 1)], pause=Pause(0, 1, 1)),
        record(4, S.RUNNING, [evaluation(4, 0, 1)]),
    ]


def second_run(tracker: BackgroundTracker) -> None:
    """Play the driver that continues: the paused and the interrupted trial complete."""
    for number in (3, 4):
        tracker.started(job(number), again=True)
        for one in all_of(number):  # the first epoch is reported a second time
            tracker.evaluated(job(number), one)
        tracker.finished(job(number), summary(number), 2.0)


# ####  --------------  MLflow  --------------  #### #


@dataclass
class MlflowServer:
    """A server with its database, which can be stopped and started."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert SERVER is not None
        command = [SERVER, "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
        )
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except (URLError, ConnectionError, TimeoutError):
                assert time.monotonic() < end, "the server does not answer"
                assert self.process.poll() is None
                time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    if SERVER is None:
        pytest.skip("needs the program mlflow on the PATH, or its path in TUNER_MLFLOW")
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), free_port())
    server.start()
    yield server
    server.stop()


def tracked(uri: str, folder: Path, identity: str, records: list[TrialRecord]) -> BackgroundTracker:
    sink = MlflowRuns("shop", identity, folder, uri=uri)
    return BackgroundTracker("mlflow", sink, records, direction="maximize", say=print)


def killed_driver(uri: str, folder: Path, identity: str) -> None:
    """Run a driver that is killed as soon as the tracker has its trials."""
    tracker = tracked(uri, folder, identity, [])
    first_run(tracker)
    while tracker._changed:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


def runs_of(client: Any, identity: str) -> list[Any]:
    experiment = client.get_experiment_by_name("shop").experiment_id
    found: list[Any] = client.search_runs([experiment], f"tags.`tuner.study` = '{identity}'")
    return found


@pytest.mark.slow
def test_runs_states_and_curves_are_those_of_the_store(
    mlflow_server: MlflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A driver is killed, and the server is down while the next one works."""
    process = multiprocessing.get_context("spawn").Process(
        target=killed_driver, args=(mlflow_server.uri, tmp_path, "kill")
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    models = tmp_path / "models" / "trial-0004"
    models.mkdir(parents=True)
    (models / "fold-0.pickle").write_bytes(b"a model")

    mlflow_server.stop()
    tracker = tracked(mlflow_server.uri, tmp_path, "kill", stored())
    second_run(tracker)  # returns at once: a server that is down slows nothing
    mlflow_server.start()
    while tracker._changed:
        assert tracker._thread.is_alive()
        time.sleep(0.1)
    tracker.close(last=True)
    assert not tracker._thread.is_alive()
    assert capsys.readouterr().out == "", "MLflow prints no addresses among the results"

    from mlflow import MlflowClient

    client = MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name("shop")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    runs = client.search_runs([experiment.experiment_id], "tags.`tuner.study` = 'kill'")
    found = {run.data.tags["tuner.trial"]: run for run in runs}
    assert len(runs) == len(found) == 6, "no run is doubled"
    parent = found.pop("study")
    assert (parent.info.status, parent.data.tags["tuner.best"]) == ("FINISHED", "4")
    assert {number: run.info.status for number, run in found.items()} == {
        "0": "FINISHED",
        "1": "KILLED",
        "2": "FAILED",
        "3": "FINISHED",
        "4": "FINISHED",
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert found["1"].data.tags["tuner.note"] == "request: a person asked for it"
    assert "tuner.note" not in found["0"].data.tags
    for number, run in found.items():
        wanted = all_of(int(number)) if number in {"0", "3", "4"} else [evaluation(int(number), 0, 1)]
        for fold in range(FOLDS):
            history = client.get_metric_history(run.info.run_id, f"fold{fold + 1}/NDCG_at_10")
            curve = [(one.step, one.value) for one in sorted(history, key=lambda one: one.step)]
            assert curve == [(e.epoch, e.metrics["NDCG@10"]) for e in wanted if e.fold == fold], number
        assert run.data.params["n_factors"] == str(8 * (int(number) + 1))
    assert found["4"].data.metrics["objective_mean"] == summary(4).mean
    assert [one.path for one in client.list_artifacts(found["4"].info.run_id, "model")] == [
        "model/fold-0.pickle"
    ]


@pytest.mark.slow
def test_two_drivers_have_one_run_of_the_study_and_what_is_interrupted_waits(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    both = [tracked(mlflow_server.uri, tmp_path, "two", []) for _ in range(2)]
    for number, tracker in enumerate(both):
        tracker.started(job(number), again=False)
        tracker.evaluated(job(number), evaluation(number, 0, 1))
    both[0].close(last=False)
    both[1].close(last=True)

    from mlflow import MlflowClient

    client = MlflowClient(mlflow_server.uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("shop").experiment_id], "tags.`tuner.study` = 'two'"
    )
    states = sorted((run.data.tags["tuner.trial"], run.info.status) for run in runs)
    assert states == [("0", "SCHEDULED"), ("1", "SCHEDULED"), ("study", "FINISHED")]


def test_a_server_that_never_answers_slows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Down:
        def open(self) -> None:
            raise ConnectionError("no route")

        def push(self, trial: object) -> None: ...

        def close(self, best: object, *, last: bool) -> None: ...

    monkeypatch.setattr("tuner.monitoring.trackers.background.LAST_WAIT", 0.01)
    said: list[str] = []
    tracker = BackgroundTracker("mlflow", Down(), [], direction="maximize", say=said.append)
    first_run(tracker)
    tracker.close(last=True)
    assert "the next run brings what is missing" in caplog.text
    assert said[-1] == "warning: mlflow has not got everything; the next run brings what is missing"


# ####  --------------  W&B  --------------  #### #


@pytest.mark.slow
def test_wandb_writes_offline_files_with_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    sink = WandbRuns("shop", "abc", tmp_path, mode="offline")
    tracker = BackgroundTracker("wandb", sink, [], direction="maximize", say=print)
    first_run(tracker)
    while tracker._changed:
        assert tracker._thread.is_alive()
        time.sleep(0.05)
    tracker.close(last=True)

    runs = {path.name.rpartition("-")[2]: path for path in (tmp_path / "wandb").glob("offline-run-*")}
    assert sorted(runs) == ["0", "1", "2", "3", "4"]
    found = offline(next(runs["0"].glob("*.wandb")))
    assert found["group"] == "shop"
    assert found["id"] == "abc-0"
    assert found["exit"] == 0
    assert [row["fold1/NDCG@10"] for row in found["rows"] if "fold1/NDCG@10" in row] == [
        one.metrics["NDCG@10"] for one in all_of(0) if one.fold == 0
    ]
    assert offline(next(runs["2"].glob("*.wandb")))["exit"] == 1


def offline(path: Path) -> dict[str, Any]:
    """Read an offline file as `wandb sync` does."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, Any] = {"rows": []}
    for data in log_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {"group": record.run.run_group, "id": record.run.run_id}
        elif kind == "history":
            items = record.history.item
            row = {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in items}
            found["rows"].append(row)
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def log_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log in the format of LevelDB: blocks of 32 KiB, 7 bytes before each part."""
    at, parts = 7, b""  # the file has a header of its own
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            yield parts
            parts = b""


# ####  --------------  Classes of the user's  --------------  #### #


class Mine(Observer):
    """An observer that fails when a trial ends."""

    seen: list[str] = []  # noqa: RUF012  # of this test

    def __init__(self, channel: str) -> None:
        self.seen.append(channel)

    def started(self, job: Job, *, again: bool) -> None:
        self.seen.append(f"started {job.number}")

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        raise ConnectionError("it is down")

    def close(self) -> None:
        self.seen.append("closed")


def test_an_observer_of_the_users_is_told_until_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    cls = check_tracking(Tracking(use=f"{__name__}.Mine", options={"channel": "#team"}))
    Mine.seen.clear()
    said: list[str] = []
    observer = _Guarded(cls(channel="#team"), said.append)
    observer.started(job(1), again=False)
    observer.finished(job(1), summary(1), 1.0)
    observer.started(job(2), again=False)
    observer.close(last=True)
    assert Mine.seen == ["#team", "started 1"]
    assert said == [
        "warning: the tracker Mine gets no more events: finished raised ConnectionError: it is down"
    ]
    assert said[0].removeprefix("warning: ") in caplog.text


@pytest.mark.parametrize(
    ("use", "options", "problem"),
    [
        ("nowhere.Observer", {}, "must be importable"),
        ("collections.Counter", {}, "has no started"),
        ("wandb", {"projct": "x"}, "must be an option of wandb, but is not"),
    ],
)
def test_a_tracker_that_cannot_be_used_is_refused(use: str, options: dict[str, Any], problem: str) -> None:
    if use == "wandb":
        pytest.importorskip("wandb")
    with pytest.raises(StudyError, match=problem):
        check_tracking(Tracking(use=use, options=options))


def test_a_misspelt_tracker_is_refused_by_the_study() -> None:
    with pytest.raises(StudyError, match="did you mean 'mlflow'"):
        Tracking(use="mlflov")
