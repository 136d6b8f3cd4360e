"""A search is steered by another process while it runs, and its driver is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.integration.conftest import ONE_WORKER, PATIENCE, Small
from tests.integration.test_kill import ended
from tests.integration.test_kill_rounds import session
from tuner import add_trial, exclude_trial, list_studies, stop_trial
from tuner.errors import StoreError
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records
from tuner.trials.schema import pending_requests
from tuner.trials.stored import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

TRIALS = 4
STUDY = """
study: small
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1, filter_viewed: false}
metrics: {objective: NDCG@10, direction: maximize}
space:
  set:
    cls: SASRecModel
    n_factors: {int: [8, 16]}
    n_heads: 1
    lr: {float: [1e-4, 1e-2], log: true}
    session_max_len: 8
    batch_size: 32
baselines:
  - name: endless
    params: {cls: SASRecModel, n_factors: 8, n_heads: 1, session_max_len: 8, batch_size: 32, epochs: 100000}
search: {trials: 4, seed: 60}
training: {epochs: 1}
stopping: false
"""
LIKE = {"cls": "SASRecModel", "n_heads": 1, "session_max_len": 8, "batch_size": 32, "lr": 0.003}
WANTED = {**LIKE, "n_factors": 12}


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.long)])
def run(request: pytest.FixtureRequest, small: Small) -> list[str]:
    """Write the study; return the command that runs it."""
    (small.folder / "study.yaml").write_text(STUDY)
    # Both folds of the endless baseline run at once, and the trials of the search have a third worker.
    slots = ("resources.concurrency=3", "resources.cpus_per_trial=0.5")
    command = ["run", "study.yaml", *(word for slot in slots for word in ("--set", slot))]
    if request.param == "journal":
        return command
    return [*command, "--share", "--set", f"storage={request.getfixturevalue('server').url}"]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a driver, and then what it has left."""
    left = session(process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def added(small: Small, request: str) -> TrialRecord | None:
    return next((r for r in read_records(small.results).records if r.request == request), None)


def wait_until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.2)


def assert_added_beyond_the_budget(small: Small, run: list[str]) -> None:
    last = add_trial(small.results, {**WANTED, "n_factors": 14}).id
    third = small.tuner(*run, *ONE_WORKER)
    assert third.returncode == 0, third.stderr
    assert (one := added(small, last)) is not None, "it runs although the budget is used up"
    assert one.status == "complete"
    n_trials = len(read_records(small.results).records)
    assert f"{n_trials}/{n_trials}  trial {one.number} " in third.stderr


@pytest.mark.long
def test_another_process_adds_stops_and_excludes_and_a_kill_loses_nothing(
    small: Small, run: list[str], started: list[subprocess.Popen[str]]
) -> None:
    started.append(first := small.start(*run))
    wait_until(lambda: ended(small), first)
    (small.folder / "wanted.json").write_text(json.dumps(WANTED))
    told = small.tuner("add", "study.yaml", "--params", "wanted.json", new=True)
    assert (told.returncode, told.stderr) == (0, ""), "libraries log elsewhere"
    assert f"process {first.pid} on" in told.stdout, "it says who carries it out"
    wanted = told.stdout.split()[3].rstrip(";")
    wait_until(lambda: (one := added(small, wanted)) is not None and one.status == "complete", first)
    with pytest.raises(StoreError, match="has the same params"):
        add_trial(small.results, WANTED)
    (endless,) = [r for r in read_records(small.results).records if r.name == "endless"]
    assert endless.status == "running"

    refused = small.tuner("stop", "study.yaml", new=True)
    assert refused.returncode == 2
    assert f"must be a study on a cluster, but process {first.pid} on" in refused.stderr

    later = add_trial(small.results, {**WANTED, "n_factors": 10}).id
    excluded = next(r.number for r in ended(small) if r.request is None)
    exclude_trial(small.results, excluded, "a test")
    stop_trial(small.results, str(endless.number))
    kill(first)
    assert [line.state for line in list_studies(small.results.parent)] == ["unfinished"]

    second = small.tuner(*run, *ONE_WORKER)

    assert second.returncode == 0, second.stderr
    stored = read_records(small.results)
    assert pending_requests(stored.attributes) == []
    records = {record.number: record for record in stored.records}
    assert sum(r.name is None and r.request is None for r in records.values()) == TRIALS
    stop = records.pop(endless.number).stop
    assert stop is not None
    assert (stop.rule, stop.why) == ("request", "a person asked for it")
    assert {record.status.value for record in records.values()} == {"complete"}
    both = [r for r in records.values() if r.request is not None]
    assert [(r.request, r.params["n_factors"]) for r in both] == [(wanted, 12), (later, 10)]
    board = load_leaderboard(small.results)
    assert [row.record.number for row in board.rows if row.rank is None] == [excluded, endless.number]
    assert ", excluded: a test" in second.stdout

    (line,) = list_studies(small.results.parent)
    assert (line.state, line.ended, line.trials) == ("ended", len(records) + 1, len(records) + 1)
    assert repr(line).startswith(f"small: ended, {line.ended} of {line.trials} trials have ended, best ")
    assert line.best is not None
    assert board.best is not None
    assert line.best.record.number == board.best.record.number
    with pytest.raises(StoreError, match="must be a trial that has not ended"):
        stop_trial(small.results, both[0].number)

    assert_added_beyond_the_budget(small, run)
