"""What a killed driver leaves of its Ray is ended, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tuner.execution.environment import environment
from tuner.execution.reaper import kill_marked, marks, reaper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: A driver that starts a process in a session of its own, tells its number, and waits to be killed.
DRIVER = """
import subprocess, sys, time
from tuner.execution.environment import environment
from tuner.execution.reaper import marks, reaper
with reaper() as mark:
    sleep = ["sleep", "600"]
    with environment(marks(mark)):
        left = subprocess.Popen(sleep, start_new_session=True)
    kept = subprocess.Popen(sleep, start_new_session=True)
    print(left.pid, kept.pid, flush=True)
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_after_a_killed_driver_only_what_was_marked_is_ended() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    left, kept = map(int, driver.stdout.readline().split())
    try:
        assert is_alive(left)
        driver.send_signal(signal.SIGKILL)
        while is_alive(left):  # the test's own timeout ends it
            time.sleep(0.05)
        assert is_alive(kept)
    finally:
        os.kill(kept, signal.SIGKILL)
        driver.communicate()


def test_the_environment_is_as_before_and_kills_end_at_once_if_there_is_nothing() -> None:
    before = dict(os.environ)
    with reaper() as mark:
        with environment(marks(mark)):
            assert dict(os.environ) != before
        assert dict(os.environ) == before
        kill_marked(mark)
