"""Libraries' chatter goes to a file, whoever imported them first."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tuner.execution.logs import logs_to


def test_a_library_with_a_handler_of_its_own_is_silent_on_the_console_and_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Lightning, when it is imported before a root handler is there."""
    logger = logging.getLogger("tests.chatty")
    loud = logging.StreamHandler(sys.stderr)
    logger.addHandler(loud)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        with logs_to(tmp_path / "driver.log"):
            logger.info("GPU available: none")
        assert capsys.readouterr().err == ""
        assert "GPU available: none" in (tmp_path / "driver.log").read_text()
        logger.info("again")
        assert capsys.readouterr().err == "again\n"
        assert (logger.handlers, logger.propagate) == ([loud], False)
    finally:
        logger.removeHandler(loud)
        logger.propagate = True


#: Writes to stderr as C++ code does, and as Python does.
WRITES = """
import os, sys
from pathlib import Path
from tuner.execution.logs import logs_to, native_stderr_to
with logs_to(Path(sys.argv[1])) as log, native_stderr_to(log):
    os.write(2, b"of C++\\n")
    print("of Python", file=sys.stderr)
os.write(2, b"afterwards\\n")
"""


def test_what_cpp_code_writes_goes_to_the_log_and_what_python_writes_to_the_console(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITES, str(tmp_path / "driver.log")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "of Python\nafterwards\n"
    assert (tmp_path / "driver.log").read_text() == "of C++\n"
