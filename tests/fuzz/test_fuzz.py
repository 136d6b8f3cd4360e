"""Mistakes by the thousand: no traceback, no hang, only the exit codes that the docs name.

By default as many as fit into a minute. `TUNER_FUZZ=20000` makes so many of each kind, and `TUNER_FUZZ_SEED`
begins another course of them. A failure names its seed, which makes the same case again.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.fuzz.grammar import BASE, damage_export, override_text, study_bytes, written
from tests.integration.conftest import ROOT, write_interactions
from tests.warm import run_warm
from tuner.cli import main
from tuner.config import Study
from tuner.config.snapshot import snapshot
from tuner.errors import UserError

N = int(os.environ.get("TUNER_FUZZ", "0"))
SEED = int(os.environ.get("TUNER_FUZZ_SEED", "60"))
N_STUDIES, N_OVERRIDES, N_EXPORTS, N_COMMANDS = N or 1000, N or 600, N or 300, N or 12
#: Exit codes that docs/running.md names.
CODES = {0, 1, 2, 75, 130}
#: Most seconds of the processor, and most bytes, that reading a study takes; and seconds of anything longer.
SECONDS, BYTES, LONGER = 2.0, 200 * 2**20, 20.0
#: So many commands run in processes that Python starts, the others in copies of one that has its imports.
N_NEW = 3
#: A device on which there is never room.
FULL = Path("/dev/full")
#: One of so many studies that can be read is also prepared with its data.
PREPARED = 40


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise an error in what takes more time of the processor."""

    def over(_signal: int, _frame: FrameType | None) -> None:
        msg = f"took more than {seconds} s"
        raise AssertionError(msg)

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def room(more: int) -> Iterator[None]:
    """Leave this process so many more bytes."""
    if sys.platform != "linux":
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with data and a valid study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "base.yaml").write_text(written(BASE), encoding="utf-8")
    return tmp_path


@contextmanager
def named(case: str) -> Iterator[None]:
    """Print the case in which an error is raised, so that it can be made again."""
    try:
        yield
    except BaseException:
        print(case)
        raise


def read(path: Path, overrides: list[str], case: str) -> Study | None:
    """Read a study and write its snapshot, which is read as the same study; None if the study is refused."""
    with named(case):
        try:
            with limit(SECONDS), room(BYTES):
                study = Study.load(path, overrides)
                text = snapshot(study)
        except UserError as error:
            said(error)
            return None
        again = path.with_name("again.yaml")
        again.write_text(text, encoding="utf-8")
        assert snapshot(Study.load(again)) == text
        return study


def said(error: UserError) -> None:
    """Check that an error says something, in few lines."""
    text = str(error)
    assert 0 < len(text) < 1_000_000
    assert text.count("\n") < 10_000


def prepare_it(study: Study, case: str) -> str:
    """Prepare a study as a run does before Ray starts."""
    from tuner.preparation.prepare import prepare
    from tuner.space.describe import draw_tree

    with named(case):
        try:
            with limit(LONGER):
                draw_tree(prepare(study, lambda line: None).space)
        except UserError as error:
            said(error)
            return "refused later"
    return "prepared"


def test_study_files(folder: Path) -> None:
    counts: Counter[str] = Counter()
    for number in range(N_STUDIES):
        path = folder / "study.yaml"
        path.write_bytes(study_bytes(random.Random(f"study {SEED} {number}")))
        study = read(path, [], f"study {SEED} {number}")
        counts["refused" if study is None else "read"] += 1
        if study is not None and counts["read"] % PREPARED == 0:
            counts[prepare_it(study, f"study {SEED} {number}")] += 1
    print(dict(counts))
    assert min(counts["refused"], counts["read"]) > N_STUDIES // 50, "the mistakes are too many or too few"


def test_overrides(folder: Path) -> None:
    counts: Counter[str] = Counter()
    for number in range(N_OVERRIDES):
        override = override_text(random.Random(f"set {SEED} {number}"))
        study = read(folder / "base.yaml", [override], f"set {SEED} {number}")
        counts["refused" if study is None else "read"] += 1
    print(dict(counts))
    assert min(counts["refused"], counts["read"]) > N_OVERRIDES // 50


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the export of a small model."""
    from rectools.models import EASEModel

    from tuner.data.source import load_source, make_dataset
    from tuner.workflows.export.fit import Fitted
    from tuner.workflows.export.make import write_model

    above = tmp_path_factory.mktemp("export")
    write_interactions(above / "clicks.csv")
    study = Study.model_validate(
        {
            "study": "rows",
            "data": {"interactions": str(above / "clicks.csv")},
            "folds": {"split": "last_n", "size": 1},
            "metrics": {"objective": "NDCG@5", "direction": "maximize"},
            "space": {"set": {"cls": "EASEModel"}},
        }
    )
    source = load_source(study.data)
    dataset = make_dataset(source.interactions, None, study.data)
    fitted = EASEModel(regularization=1.0).fit(dataset)
    target = above / "model"
    target.mkdir()
    fit = Fitted(fitted, {"cls": "EASEModel"}, 1, None, 1, (), "float32", 0.0)
    write_model(target, fit, dataset, source, study)
    return target


def damaged(model: Path, copy: Path, rng: random.Random) -> list[str]:
    """Damage a copy of an export; return a command for it."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model, copy)
    files = sorted(str(path.relative_to(model)) for path in model.rglob("*") if path.is_file())
    name = damage_export(rng, copy, files)
    command = ["recommend", str(copy), *rng.choice([["--users", "u1,u2"], ["--check"], ["--users", ""]])]
    trusted = rng.random() < 0.5 and not name.endswith((".py", ".pickle"))  # those can do anything
    return [*command, "-k", rng.choice(["3", "1000000000000000000000"]), *(["--changed"] if trusted else [])]


def test_exports(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[int] = Counter()
    for number in range(N_EXPORTS):
        command = damaged(model, tmp_path / "copy", random.Random(f"export {SEED} {number}"))
        case = f"export {SEED} {number}: {command}"
        with named(case), limit(LONGER):
            code = main(command)
        message = capsys.readouterr().err
        assert code in CODES, case
        assert code == 0 or (message and "Traceback" not in message), case
        counts[code] += 1
    print(dict(counts))
    assert counts[2] > N_EXPORTS // 4


@contextmanager
def streams(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield where a command writes, and in which encoding, as arguments of `run_warm`."""
    encoding = rng.choice(["utf-8", "latin-1", "ascii"])
    how = {"env": {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}}
    kind = rng.choice(["pipe", "pipe", "full", "closed"])
    if kind == "full" and FULL.exists():
        with FULL.open("wb") as full:
            yield {**how, "stdout": full.fileno()}
    else:
        yield {**how, "closed": [1] if kind == "closed" else []}


def run_new(
    command: list[str],
    *,
    cwd: Path,
    env: dict[str, str],
    stdout: int = subprocess.PIPE,
    closed: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process that Python starts; otherwise as `run_warm` does."""
    return subprocess.run(
        [sys.executable, "-m", "tuner", *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: [os.close(number) for number in closed],
        timeout=120,
        check=False,
    )


def commands(folder: Path, model: Path) -> Iterator[tuple[str, list[str], random.Random]]:
    """Yield commands that end before a search would begin."""
    for number in range(N_COMMANDS):
        rng = random.Random(f"command {SEED} {number}")
        case = f"command {SEED} {number}"
        kind = rng.choice(
            ["study", "study", "set", "export", "export", "export", "export"]
        )  # the fastest most
        if kind == "study":
            (folder / "study.yaml").write_bytes(study_bytes(rng))
            yield case, ["leaderboard", "study.yaml"], rng
        elif kind == "export":
            yield case, damaged(model, folder / "copy", rng), rng
        else:
            override = override_text(rng).replace("\0", "")
            with suppress(UserError):
                Study.load(folder / "base.yaml", [override])
                override = "search.trails=1"
            yield case, ["run", "base.yaml", "--set", override], rng


@pytest.mark.timeout(300 + 5 * N_COMMANDS)
def test_the_real_command(folder: Path, model: Path) -> None:
    counts: Counter[int] = Counter()
    began = time.monotonic()
    for number, (case, command, rng) in enumerate(commands(folder, model)):
        run = run_new if number < N_NEW else run_warm
        with named(f"{case} {command}"), streams(rng) as how:
            done = run(command, cwd=folder, **how)
            message = done.stderr.decode(errors="replace")
            assert done.returncode in CODES, message
            assert "Traceback" not in message, message
            assert "Exception ignored" not in message, message
        counts[done.returncode] += 1
    print(dict(counts), f"{time.monotonic() - began:.0f} s")
