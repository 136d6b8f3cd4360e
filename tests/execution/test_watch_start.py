"""A Ray that dies or hangs while it starts ends the driver with the code of a passing fault, or its cause."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tuner.execution.session import _start_error
from tuner.execution.start_failure import LOGS, lasting_cause
from tuner.execution.watchdog import CANNOT_START, RAY_DIED

HANGS = """
import time
from pathlib import Path
from tuner.execution.watchdog import watch_start
with watch_start(Path(), longest=0.1):
    time.sleep(600)
"""
DIES = """
import logging, subprocess, sys, time
from pathlib import Path
logging.basicConfig(stream=sys.stdout)
from tuner.execution.watchdog import watch_start
with watch_start(Path(sys.argv[2])):
    subprocess.Popen([sys.argv[1], *sys.argv[3:]])
    time.sleep(600)
"""
REPORTS = """
from pathlib import Path
from tuner.execution.watchdog import watch_start
with watch_start(Path()):
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


def program(folder: Path, name: str) -> str:
    """Return a program that Ray has, by its name; it does what another program does."""
    other = shutil.which(name)
    if other is None:
        pytest.skip(f"needs the program {name}")
    shutil.copy(other, folder / "gcs_server")
    return str(folder / "gcs_server")


def test_a_process_of_ray_that_dies_while_it_starts(tmp_path: Path) -> None:
    done = started(DIES, program(tmp_path, "sleep"), str(tmp_path), "2")
    assert done.returncode == RAY_DIED
    assert "Ray could not be started: its control service (process " in done.stderr
    assert "the same command tries again" in done.stderr


def log(folder: Path, name: str, text: str) -> None:
    logs = folder / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    (logs / name).write_text(text, encoding="utf-8")


TRACEBACK = """\
Traceback (most recent call last):
  File "agent.py", line 947, in <module>
    state.__doc__ += f
{}
"""


def test_a_cause_that_lasts_is_told_and_does_not_ask_for_another_try(tmp_path: Path) -> None:
    log(tmp_path, "dashboard_agent.log", TRACEBACK.format("TypeError: unsupported operand"))
    done = started(DIES, program(tmp_path, "sleep"), str(tmp_path), "2")
    assert done.returncode == CANNOT_START
    assert "has died: TypeError: unsupported operand\n  this lasts until its cause is removed" in done.stderr
    assert "the last lines of Ray's dashboard_agent.log:\nTraceback" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems number signals otherwise")
def test_a_limit_that_ends_a_process_lasts(tmp_path: Path) -> None:
    done = started(DIES, program(tmp_path, "dash"), str(tmp_path), "-c", "sleep 1; kill -XFSZ $$")
    assert done.returncode == CANNOT_START
    assert "has died: the signal SIGXFSZ: File size limit exceeded\n" in done.stderr


@pytest.mark.parametrize(
    "last",
    [
        "MemoryError",
        "RuntimeError: can't start new thread: Resource temporarily unavailable",
        "SystemExit: 1",
    ],
)
def test_a_fault_that_may_pass_is_no_lasting_cause(tmp_path: Path, last: str) -> None:
    log(tmp_path, "raylet.out", "[2026-11-28 12:18:59] (raylet) exits\n")
    log(tmp_path, "dashboard_agent.log", TRACEBACK.format(last))
    assert lasting_cause(tmp_path) is None
    assert lasting_cause(tmp_path / "nowhere") is None


def test_an_error_of_rays_own_code_lasts_and_a_late_start_does_not(tmp_path: Path) -> None:
    lasting = _start_error(ModuleNotFoundError("No module named 'no'"), tmp_path)
    assert (lasting.exit_code, lasting.message) == (
        CANNOT_START,
        "Ray could not be started: ModuleNotFoundError: No module named 'no'",
    )
    assert _start_error(RuntimeError("Timed out waiting for file"), tmp_path).exit_code == RAY_DIED


def test_a_python_without_docstrings_is_refused_before_ray_is_imported() -> None:
    code = """
import sys
from tuner.errors import UserError
from tuner.execution.session import ray_session
try:
    with ray_session(None):
        pass
except UserError as error:
    print(error)
assert "ray" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-OO", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "must keep docstrings" in done.stdout
    assert "unset PYTHONOPTIMIZE" in done.stdout
