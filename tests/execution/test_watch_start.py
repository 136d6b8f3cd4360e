"""A Ray that dies or hangs while it starts ends the driver with the exit code of a passing fault."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tuner.execution.watchdog import RAY_DIED

HANGS = """
import time
from tuner.execution.watchdog import watch_start
with watch_start(longest=0.1):
    time.sleep(600)
"""
DIES = """
import subprocess, sys, time
from tuner.execution.watchdog import watch_start
with watch_start():
    subprocess.Popen([sys.argv[1], "2"])
    time.sleep(600)
"""
REPORTS = """
import time
from tuner.execution.watchdog import watch_start
with watch_start():
    pass
"""


def started(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_start_that_hangs_and_one_that_succeeds() -> None:
    done = started(HANGS)
    assert done.returncode == RAY_DIED
    assert done.stderr.startswith("Ray could not be started: it took too long\n")
    assert started(REPORTS).returncode == 0


@pytest.mark.skipif(shutil.which("sleep") is None, reason="needs the program sleep")
def test_a_process_of_ray_that_dies_while_it_starts(tmp_path: Path) -> None:
    named = tmp_path / "gcs_server"
    shutil.copy(str(shutil.which("sleep")), named)
    done = started(DIES, str(named))
    assert done.returncode == RAY_DIED
    assert "Ray could not be started: its control service (process " in done.stderr
