"""Where results go: a full disk, a closed stdout, and a terminal that lacks characters."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tuner.cli import main
from tuner.cli.streams import why_unusable

#: Prints what its argument says through the command line's own streams.
PRINTS = """
import sys
from tuner.cli import streams
streams.usable_streams()
print(sys.argv[1])
open(sys.argv[2], "w").write("of a file")
"""


def printed(text: str, encoding: str, tmp_path: Path) -> bytes:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", PRINTS, text, str(tmp_path / "file")]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def test_a_terminal_that_lacks_characters_gets_others(tmp_path: Path) -> None:
    assert printed("long te… 0.1 ± 0.2 Ж", "ascii", tmp_path) == b"long te~ 0.1 +- 0.2 \\u0416\n"
    assert printed("long te… 0.1 ± 0.2", "latin-1", tmp_path) == b"long te~ 0.1 \xb1 0.2\n"
    assert printed("long te…", "utf-8", tmp_path) == "long te…\n".encode()


def test_with_a_closed_stdout_no_file_gets_what_is_printed(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -c "$0" result "$1" >&-'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-c", command, PRINTS, str(tmp_path / "file")], env=environment, check=True)
    assert (tmp_path / "file").read_text() == "of a file"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_an_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tuner", "--version"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == "the output cannot be written: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/x"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1),
        (OSError(errno.EIO, "Input/output error"), 1),
        (OSError(errno.ECONNREFUSED, "Connection refused"), None),
    ],
)
def test_errors_of_places_are_told_and_others_are_not(error: OSError, told: int | None) -> None:
    found = why_unusable(error)
    assert (found and found[1]) == told


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("/dev/null/x", "Not a directory"),
        ("/proc/x", "No such file or directory"),
        ("a" * 300, "File name too long"),
        ("a/" * 3000, "File name too long"),
    ],
)
def test_an_output_that_cannot_be_used_is_the_users_to_correct(
    output: str,
    cause: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(
        "study: shop\ndata: {interactions: clicks.csv}\nfolds: {split: last_n, size: 1}\n"
        "metrics: {objective: NDCG@10, direction: maximize}\nspace: {set: {cls: EASEModel}}\n"
    )
    assert main(["run", "study.yaml", "--output", output]) == 2
    assert cause in capsys.readouterr().err
