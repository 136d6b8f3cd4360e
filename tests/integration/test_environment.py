"""The quickstart where nothing is kind: no environment, no home, an odd path, a narrow latin-1 terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

#: All variables: those of `env -i`, and what a terminal sets.
BARE = {
    "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    "HOME": "/home/of/nobody",
    "LC_ALL": "C",
    "PYTHONIOENCODING": "latin-1",
    "TERM": "xterm",
}
COLUMNS = 40


def on_terminal(folder: Path, *command: str) -> tuple[int, str]:
    """Run a command on a narrow terminal, under umask 077; return its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, cwd=folder, env=BARE, umask=0o077, start_new_session=True, **ends) as run:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the last process has closed the terminal
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    return run.returncode, written.decode("latin-1")


def test_the_quickstart_works_where_nothing_is_kind(tmp_path: Path) -> None:
    folder = tmp_path / 'Zoë\'s "neue" Läden, 东京 $HOME'
    shutil.copytree(ROOT / "examples", folder / "examples")
    for command in (
        (sys.executable, "examples/movielens.py", "data/movielens.csv.gz"),
        ("tuner", "run", "examples/quickstart.yaml", "--trials", "1", "--set", "training.epochs=2"),
        ("tuner", "leaderboard", "studies/quickstart"),
        ("tuner", "show", "studies/quickstart", "best"),
        ("tuner", "report", "studies/quickstart"),
        ("tuner", "export", "studies/quickstart", "best", "--to", "studies/modèle"),
    ):
        code, written = on_terminal(folder, *command)
        assert code == 0, written
        assert "Traceback" not in written, written
    made = [*(folder / "studies").rglob("*"), *(folder / "data").iterdir()]
    assert len(made) > 30
    assert [path for path in made if path.stat().st_mode & 0o077] == []
