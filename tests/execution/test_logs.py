"""Libraries' chatter goes to a file, whoever imported them first."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

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
