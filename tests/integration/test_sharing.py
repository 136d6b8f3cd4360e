"""Two drivers on one study in a database: they share its budget, and one goes on where another has died."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.integration.conftest import ONE_WORKER, PATIENCE, Server, Small
from tests.integration.test_kill import check_complete, ended
from tests.integration.test_kill_rounds import STUDY, session
from tests.store.test_contract import ask, made
from tuner.errors import SearchError
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import hold_study, study_drivers

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TRIALS = 10


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.long), "postgres"])
def storage(request: pytest.FixtureRequest, small: Small) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{small.folder}/trials.db"
    return request.getfixturevalue("server").url


@pytest.fixture
def started(small: Small) -> Iterator[list[subprocess.Popen[str]]]:
    """Keep processes, to end with the test what is left of them."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait_until(holds, processes: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        for process in processes:
            assert process.poll() in {None, 0}, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.2)


@pytest.mark.long
def test_one_of_two_drivers_is_killed_and_the_other_ends_with_the_budget(
    small: Small, storage: str, started: list[subprocess.Popen[str]]
) -> None:
    (small.folder / "study.yaml").write_text(STUDY)
    run = (
        "run", "study.yaml", "--share", "--trials", str(TRIALS), "--set", f"storage={storage}",
        *ONE_WORKER,
    )  # fmt: skip
    started += [small.start(*run), small.start(*run)]
    wait_until((small.results / "study.yaml").exists, started)

    def both_run() -> bool:
        runners = {row.record.driver for row in load_leaderboard(small.results).rows}
        return len(ended(small)) >= 2 and len(runners - {None}) == 2

    wait_until(both_run, started)
    killed, other = started
    board = small.tuner("leaderboard", str(small.results))
    for process in started:
        assert f"run by process {process.pid} on " in board.stderr
    left = session(killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    stdout, stderr = other.communicate(timeout=PATIENCE)

    assert other.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert stdout.startswith("rank")
    records = check_complete(small, TRIALS)
    assert sorted(r.name for r in records if r.name) == ["popular", "sasrec"]
    assert study_drivers(small.results) == ()


@pytest.mark.parametrize("shared", [True, False])
def test_a_driver_whose_lock_went_with_a_restart_of_the_database_writes_nothing_more(
    small: Small, server: Server, *, shared: bool
) -> None:
    place = made(small.folder / "shop", server.url)
    with hold_study(place.folder, "shop", server.url, shared=shared) as hold:
        store = place.opened(hold=hold)
        ask(store)
        server.control.stop()
        server.control.ensure_postgres_running()
        with pytest.raises(SearchError, match="the connection that held the study's lock was lost"):
            ask(store)
    with hold_study(place.folder, "shop", server.url, shared=shared) as hold:
        again = place.opened(hold=hold)
        assert [trial.number for trial in again.study.trials] == again.interrupted() == [0]
