"""Kill whatever runs at random moments, again and again: every trial is there once, as if nothing had been.

By default one round for each kind of process. `TUNER_KILL_ROUNDS=20` is the whole test, `TUNER_KILL_SEED`
another course of it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.conftest import Small
from tests.integration.test_kill import check_complete, ended
from tuner.execution.watchdog import RAY_DIED
from tuner.store import read_records
from tuner.trials.stored import TrialRecord

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

ROUNDS = int(os.environ.get("TUNER_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("TUNER_KILL_SEED", "60"))
TRIALS = 30
KINDS = ("driver", "worker", "raylet", "group")
#: Of the journal, over which the kills are spread; in the end it has more.
LINES = 450

STUDY = """
study: small
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10]
space:
  set:
    cls: [SASRecModel, EASEModel]
    regularization: {float: [1, 1000], log: true, when: {cls: EASEModel}}
    n_factors: {choice: [8, 16], when: {cls: SASRecModel}}
    n_heads: {choice: [1, 2], when: {cls: SASRecModel}}
    n_blocks: {int: [1, 2], when: {cls: SASRecModel}}
    lr: {float: [1e-4, 1e-2], log: true, when: {cls: SASRecModel}}
    session_max_len: {choice: [8], when: {cls: SASRecModel}}
baselines: [popular, sasrec]
search: {trials: 30, seed: 60}
training: {epochs: 2}
stopping: false
"""


@dataclass
class Course:
    """Runs of one study, and what was done to them."""

    small: Small
    random: random.Random
    driver: subprocess.Popen[bytes] | None = None
    sessions: list[int] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    finished: dict[int, TrialRecord] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        return self.driver is not None and self.driver.poll() is None

    @property
    def said(self) -> str:
        return (self.small.folder / "stderr.txt").read_text()

    def start(self) -> None:
        """Start the driver in a session of its own, which all its processes belong to."""
        with (self.small.folder / "stderr.txt").open("ab") as stderr:
            self.driver = subprocess.Popen(
                self.small.command("run", "study.yaml"),
                cwd=self.small.folder,
                env=self.small.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self.sessions.append(self.driver.pid)

    def kill(self, kind: str, *, starts: bool) -> None:
        """Wait for a random moment, and kill a process of this kind; as a run starts, perhaps at once."""
        if starts and self.random.random() < 0.3:
            time.sleep(self.random.uniform(0, 5))
        else:
            self.await_lines(self.random.randint(1, LINES // ROUNDS))
        victims = self.await_victims(kind)
        if not victims or not self.runs:
            return
        self.kills[kind] += 1
        if kind == "group":
            os.killpg(victims[0], signal.SIGKILL)
        else:
            os.kill(self.random.choice(victims), signal.SIGKILL)
        if kind != "worker":
            assert self.driver is not None
            expected = {RAY_DIED, 0} if kind == "raylet" else {-signal.SIGKILL}  # 0: it had just ended
            assert self.driver.wait(180) in expected, self.said
        self.finished |= {record.number: record for record in ended(self.small)}

    def await_lines(self, more: int) -> None:
        """Wait until the journal has grown by so many lines, or the run has ended."""
        journal = self.small.results / "journal.log"

        def length() -> int:
            return journal.read_bytes().count(b"\n") if journal.exists() else 0

        until = length() + more
        while self.runs and length() < until:
            time.sleep(0.02)

    def await_victims(self, kind: str) -> list[int]:
        """Return processes of this kind as soon as there are any; none if the run ends before."""
        assert self.driver is not None
        pid = self.driver.pid
        find = {
            "driver": lambda: [pid],
            "group": lambda: [pid],
            "worker": lambda: busy_workers(pid),
            "raylet": lambda: [found for found in session(pid) if name(found) == "raylet"],
        }[kind]
        while self.runs:
            if victims := find():
                return victims
            time.sleep(0.02)
        return []


def session(leader: int) -> Iterator[int]:
    """Yield the processes of a session, zombies left out."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if os.getsid(int(entry.name)) == leader and "\nState:\tZ" not in (entry / "status").read_text():
                yield int(entry.name)


def name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


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


@pytest.mark.timeout(600 + 150 * ROUNDS)
def test_random_kills_lose_nothing_and_change_nothing(small: Small, one_thread, monkeypatch) -> None:
    (small.folder / "study.yaml").write_text(STUDY)
    print(f"seed {SEED}, {ROUNDS} rounds")
    began = time.monotonic()
    course = Course(small, random.Random(SEED))
    kinds: list[str] = []
    for _ in range(ROUNDS):
        kinds = kinds or course.random.sample(KINDS, len(KINDS))
        if starts := not course.runs:
            course.start()
        course.kill(kinds.pop(), starts=starts)
    if not course.runs:
        course.start()
    assert course.driver is not None
    assert course.driver.wait(900) == 0, course.said

    assert course.kills.total() == ROUNDS, "the study was over before"
    assert "Traceback" not in course.said
    records = check_complete(small, TRIALS)
    for number, record in course.finished.items():
        assert records[number] == record, "what was finished stays as it was"
    again = course.said.count("was interrupted and starts again")
    print(f"killed: {dict(course.kills)}; {len(course.sessions)} runs; trials begun again: {again}")
    print(f"{time.monotonic() - began:.0f} s")
    check_metrics(small, monkeypatch)
    deadline = time.monotonic() + 120
    while left := [pid for leader in course.sessions for pid in session(leader)]:
        assert time.monotonic() < deadline, f"left behind: {[(pid, name(pid)) for pid in left]}"
        time.sleep(0.1)
    assert not list((small.results / "checkpoints").glob("*")), "all trials have ended"


def check_metrics(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every trial against an evaluation of its params and seeds in this process, undisturbed."""
    from tuner.config import Study
    from tuner.evaluation import evaluate_folds
    from tuner.preparation.prepare import prepare
    from tuner.trials.records import Evaluation

    monkeypatch.chdir(small.folder)
    prepared = prepare(Study.load("study.yaml"), print)
    for record in read_records(small.results).records:
        undisturbed: list[Evaluation] = []
        evaluate_folds(record.params, prepared.folds, prepared.plan, record.seeds, undisturbed.append)
        made = [(e.fold, e.epoch, e.metrics, e.train_loss) for e in record.evaluations]
        assert made == [(e.fold, e.epoch, e.metrics, e.train_loss) for e in undisturbed]
