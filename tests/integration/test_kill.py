"""A search that ends early goes on: every trial is there once. Kills: test_kill_rounds.py."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.integration.conftest import PATIENCE, Small
from tuner.store import read_records, store_exists
from tuner.trials.stored import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def ended(small: Small) -> list[TrialRecord]:
    if not store_exists(small.results):
        return []
    return [r for r in read_records(small.results).records if r.status in {"complete", "failed"}]


def wait_for(small: Small, process: subprocess.Popen[str], trials: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(ended(small)) < trials:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "the run made no progress"
        time.sleep(0.1)


def check_complete(small: Small, trials: int, *, added: int = 0) -> list[TrialRecord]:
    records = read_records(small.results).records
    assert [record.status for record in records] == ["complete"] * (trials + 2 + added)
    own = [record for record in records if record.name is None and record.request is None]
    searched = [repr(sorted(record.params.items())) for record in own]
    assert len(searched) == len(set(searched)) == trials
    return records


@pytest.mark.long
def test_a_time_budget_ends_the_run_and_a_later_one_goes_on(small: Small) -> None:
    short = small.tuner("run", "study.yaml", "--trials", "200", "--time-budget", "12s")
    assert short.returncode == 0, short.stderr
    n_begun = sum(record.name is None for record in read_records(small.results).records)
    assert n_begun < 200
    again = small.tuner("run", "study.yaml", "--trials", str(n_begun))
    assert again.returncode == 0, again.stderr
    check_complete(small, n_begun)
