"""What a search writes to fails under it, or Ray does: one clear error, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import ONE_WORKER, PATIENCE, SECRET, Server, Small
from tests.integration.test_kill import check_complete, wait_for
from tests.integration.test_kill_rounds import name, session
from tuner.execution.logs import logs_to
from tuner.execution.watchdog import RAY_DIED

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GOES_ON = "then run the same command again: it continues the search, and no recorded result is lost"


def ended_with(code: int, process: subprocess.Popen[str]) -> str:
    """Return what a run said in its end, which is no stack trace."""
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    return stderr


# ####  --------------  A full disk  --------------  #### #


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Make a file system of a megabyte."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounts a tmpfs, which only root on Linux can")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounts a tmpfs, which this container forbids")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Write a file until there is no room left."""
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**21))
    assert filler.stat().st_size > 0
    return filler


@pytest.mark.long
def test_a_full_disk_ends_the_search_and_with_room_it_goes_on(small: Small, tiny_disk: Path) -> None:
    (small.folder / "studies").symlink_to(tiny_disk)
    process = small.start("run", "study.yaml", "--trials", "6")
    wait_for(small, process, 2)
    filler = fill(tiny_disk)

    stderr = ended_with(1, process)

    journal = tiny_disk / "small" / "journal.log"
    assert f"{journal} cannot be written: No space left on device\n" in stderr
    assert f"  free disk space there, or correct the cause; {GOES_ON}\n" in stderr
    filler.unlink()
    again = small.tuner("run", "study.yaml", "--trials", "6")
    assert again.returncode == 0, again.stderr
    check_complete(small, 6)


@pytest.mark.long
def test_no_room_for_all_but_the_store_is_a_warning(small: Small, tiny_disk: Path) -> None:
    small.results.mkdir(parents=True)
    for folder in ("checkpoints", "tensorboard", "users"):
        (tiny_disk / folder).mkdir()
        (small.results / folder).symlink_to(tiny_disk / folder)
    fill(tiny_disk)
    done = small.tuner("run", "study.yaml", "--trials", "1")
    assert done.returncode == 0, done.stderr
    check_complete(small, 1)
    said = (small.results / "logs" / "driver.log").read_text()
    assert said.count("TensorBoard's files cannot be written, so its curves end here") == 1
    assert said.count("cannot be written, so a later run will not race with it") == 3 * 2
    assert "cannot write a checkpoint" in (small.results / "logs" / "trial-0000.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("log", ["/dev/full", "/dev/full/trial.log"])
def test_a_log_that_takes_nothing_stops_nobody(log: str) -> None:
    with logs_to(Path(log)) as file:
        print("lost " * 10_000, file=file)


# ####  --------------  A database that goes away  --------------  #### #


@pytest.mark.long
def test_a_database_that_goes_away_ends_the_search_and_back_again_it_goes_on(
    small: Small, server: Server
) -> None:
    run = ("run", "study.yaml", "--trials", "4", "--set", f"storage={server.url}")
    process = small.start(*run)
    wait_for(small, process, 2)
    server.control.stop()

    stderr = ended_with(1, process)

    assert f"{server.url} can no longer be used: " in stderr
    assert f"  check that it runs and has free disk space; {GOES_ON}\n" in stderr
    kept = [path.read_text(errors="replace") for path in small.results.rglob("*") if path.is_file()]
    for text in (stderr, *kept):
        assert SECRET not in text
        assert "s3cret%2Fp%40ss" not in text

    server.control.ensure_postgres_running()
    again = small.tuner(*run)
    assert again.returncode == 0, again.stderr
    check_complete(small, 4)


# ####  --------------  Ray  --------------  #### #


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_ray_that_dies_ends_the_search_with_a_word_on_how_to_go_on(small: Small) -> None:
    """Its control service dies here; that of its raylet is among the random kills."""
    process = small.start("run", "study.yaml", "--trials", "30", *ONE_WORKER)
    wait_for(small, process, 1)
    (victim,) = [pid for pid in session(process.pid) if name(pid) == "gcs_server"]
    os.kill(victim, signal.SIGKILL)

    stderr = ended_with(RAY_DIED, process)

    assert f"Ray's control service (process {victim}) has died during the search" in stderr
    assert stderr.endswith("\n  run the same command again to continue; all finished work is in the store\n")
    deadline = time.monotonic() + PATIENCE
    while left := [name(pid) for pid in session(process.pid)]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)


def test_a_folder_that_ray_cannot_use_is_told(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray that dies or hangs while it starts: tests/execution/test_watch_start.py."""
    monkeypatch.setenv("RAY_TMPDIR", "/proc")
    stderr = ended_with(2, small.start("run", "study.yaml"))
    assert "\n/proc/tuner-ray-" in stderr
    assert ": must be usable, but got the error: " in stderr


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_ray_starts_interrupts_the_run(small: Small, number: signal.Signals) -> None:
    """A process that leaves Ray's start midway would crash at its end, or end without a word."""
    process = small.start("run", "study.yaml")
    deadline = time.monotonic() + PATIENCE
    while "gcs_server" not in {name(pid) for pid in session(process.pid)}:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    assert ended_with(130, process).splitlines()[-1].startswith(("interrupted", "  run the same command"))
