"""Kill what runs, run the command again: every trial is there once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.conftest import Small
from tuner.records import TrialRecord
from tuner.store import read_records, store_exists

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def ended(small: Small) -> list[TrialRecord]:
    if not store_exists(small.results):
        return []
    return [r for r in read_records(small.results).records if r.state in {"complete", "failed"}]


def wait_for(small: Small, process: subprocess.Popen[str], trials: int) -> None:
    deadline = time.monotonic() + 120
    while len(ended(small)) < trials:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "the run made no progress"
        time.sleep(0.1)


def check_complete(small: Small, trials: int) -> list[TrialRecord]:
    records = read_records(small.results).records
    assert [record.state for record in records] == ["complete"] * (trials + 2)
    searched = [repr(sorted(record.params.items())) for record in records if record.name is None]
    assert len(searched) == len(set(searched)) == trials
    return records


def test_sigkill_of_the_driver(small: Small) -> None:
    process = small.start("run", "study.yaml", "--trials", "6")
    wait_for(small, process, 3)
    process.kill()
    process.communicate()
    before = {record.number: record for record in ended(small)}

    again = small.tuner("run", "study.yaml", "--trials", "6")

    assert again.returncode == 0, again.stderr
    records = check_complete(small, 6)
    for number, record in before.items():  # what was finished is as it was
        assert records[number] == record


def test_sigkill_of_the_whole_group_twice_gives_the_metrics_of_an_undisturbed_run(small: Small) -> None:
    for trials in (1, 3):
        process = small.start("run", "study.yaml")
        wait_for(small, process, trials)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert small.tuner("run", "study.yaml").returncode == 0
    records = check_complete(small, 4)

    (small.folder / "studies").rename(small.folder / "disturbed")
    for record in records:
        if record.name is None:  # the same params and seeds, undisturbed
            params = {key: value for key, value in record.params.items() if key != "epochs"}
            override = f"baselines=[{{name: again, params: {params!r}}}]".replace("'", '"')
            small.tuner(
                "run",
                "study.yaml",
                "--trials",
                "0",
                "--set",
                override.replace("True", "true").replace("False", "false"),
            )
            (twin,) = read_records(small.results).records
            assert twin.seeds == record.seeds
            assert [e.metrics for e in twin.evaluations] == [e.metrics for e in record.evaluations]
            break


def test_sigkill_of_a_worker(small: Small) -> None:
    process = small.start("run", "study.yaml", "--trials", "6")
    wait_for(small, process, 2)
    busy = busy_workers(os.getsid(process.pid))
    assert busy, "no worker was found"
    os.kill(busy[0], signal.SIGKILL)

    _, stderr = process.communicate(timeout=240)

    assert process.returncode == 0, stderr
    check_complete(small, 6)


def busy_workers(session: int) -> list[int]:
    """Return the Ray workers of a session that run a trial; Ray names its processes after what they do."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            title = (entry / "cmdline").read_bytes()
            trial = title.startswith(b"ray::ImplicitFunc")
            if trial and os.getsid(int(entry.name)) == session:
                found.append(int(entry.name))
    return found


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(small: Small) -> None:
    process = small.start("run", "study.yaml", "--trials", "6")
    wait_for(small, process, 2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert stdout == ""
    assert "interrupted; finished trials are kept\n  the same command goes on from here" in stderr
    assert "Traceback" not in stderr

    again = small.tuner("run", "study.yaml", "--trials", "6")
    assert again.returncode == 0, again.stderr
    check_complete(small, 6)


def test_a_second_driver_is_refused(small: Small) -> None:
    process = small.start("run", "study.yaml")
    wait_for(small, process, 1)
    second = small.tuner("run", "study.yaml")
    assert second.returncode == 2
    assert f"process {process.pid} on" in second.stderr
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr


def test_a_time_budget_ends_the_run_and_a_later_one_goes_on(small: Small) -> None:
    short = small.tuner("run", "study.yaml", "--trials", "200", "--time-budget", "12s")
    assert short.returncode == 0, short.stderr
    n_begun = sum(record.name is None for record in read_records(small.results).records)
    assert n_begun < 200
    again = small.tuner("run", "study.yaml", "--trials", str(n_begun))
    assert again.returncode == 0, again.stderr
    check_complete(small, n_begun)
