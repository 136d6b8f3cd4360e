"""Whether a release would work: build it, look into it, install it and search with it.

    make release-check

1. Builds the source distribution, and the wheel from it, into dist/.
2. Checks their metadata, and that each holds the files that it should.
3. Unpacks the source distribution and runs some of its tests there.
4. Installs the wheel into an empty environment, and runs a study of two trials from a folder outside.

Needs `.[dev]` and a package index. Ends with an error at the first step that fails.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGES = ("tuner", "search_spaces")
PINNED = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
#: Files of the repository that no release needs.
LEFT_OUT = {".gitattributes", ".gitignore"}
#: Tests of what the source distribution holds beside the packages: pages, examples, benchmarks, metadata.
TESTS = ("tests/test_packaging.py", "tests/test_docs.py", "tests/benchmarks", "tests/cluster", "tests/cli")

STUDY = """\
study: small
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 1, holdout: 1, filter_viewed: false}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
space:
  use: search_spaces.guide
  set: {n_factors: [8, 16], n_heads: 1, n_blocks: 1, session_max_len: 8, batch_size: 64}
baselines: [popular]
search: {trials: 2, seed: 60}
training: {epochs: 1}
stopping: false
"""


def main() -> None:
    """Run the steps, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        source, wheel = build()
        check_contents(source, wheel)
        test_source(source, folder)
        search(wheel, folder)
    print(f"{source.name} and {wheel.name} can be released ({time.monotonic() - began:.0f} s)")


def say(step: str) -> None:
    """Print the step that begins."""
    print(f"== {step}", flush=True)


def run(*command: str | Path, folder: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    """Run a command in a folder.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env={**os.environ, **(env or {})}, check=False)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(words)}")


def build() -> tuple[Path, Path]:
    """Build both files; return their paths."""
    say("build")
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT, env=PINNED)
    (source,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", source, wheel)
    return source, wheel


def check_contents(source: Path, wheel: Path) -> None:
    """Compare the files inside with those of the repository."""
    say("contents")
    files = set(repository_files())
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if ".dist-info/" not in name}
    compare(wheel.name, inside, {name for name in files if name.startswith(tuple(f"{p}/" for p in PACKAGES))})
    with tarfile.open(source) as opened:
        names = {member.name.partition("/")[2] for member in opened if member.isfile()}
    compare(source.name, names - {"PKG-INFO", ".gitignore"}, files - LEFT_OUT)


def repository_files() -> Sequence[str]:
    """Return the paths of all files that git knows."""
    # In a container the files may belong to another user; git then wants to be told that they are safe.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


def compare(name: str, found: set[str], expected: set[str]) -> None:
    """Compare the files of a distribution with the expected ones.

    Raises
    ------
    SystemExit
        If files are missing, or some are there that git does not know.
    """
    if found != expected:
        sys.exit(f"{name}: missing {sorted(expected - found)}, unknown to git {sorted(found - expected)}")
    print(f"{name}: {len(found)} files")


def test_source(source: Path, folder: Path) -> None:
    """Unpack the source distribution; collect all of its tests and run some, on the code that it holds."""
    say("tests of the source distribution")
    with tarfile.open(source) as opened:
        opened.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    pytest = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    env = {"PYTHONPATH": str(unpacked)}
    where = f"import tuner; assert tuner.__file__.startswith({str(unpacked)!r}), tuner.__file__"
    run(sys.executable, "-c", where, folder=unpacked, env=env)
    run(*pytest, "--collect-only", "-qq", "--no-summary", "-m", "", folder=unpacked, env=env)
    run(*pytest, "-m", "not slow and not long and not gpu", *TESTS, folder=unpacked, env=env)


def search(wheel: Path, folder: Path) -> None:
    """Install the wheel alone and run a study with it.

    Raises
    ------
    SystemExit
        If the study does not end with its baseline and two trials.
    """
    say("a search with the wheel")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-qq", "--upgrade", "pip", env=PINNED)
    run(python, "-m", "pip", "install", "-qq", wheel, env=PINNED)
    outside = folder / "outside"
    outside.mkdir()
    write_clicks(outside / "clicks.csv")
    (outside / "study.yaml").write_text(STUDY, encoding="utf-8")
    tuner = folder / "venv" / "bin" / "tuner"
    alone = {"PYTHONPATH": "", "PATH": f"{tuner.parent}{os.pathsep}{os.environ['PATH']}"}
    run(python, "-m", "tuner", "--version", folder=outside, env=alone)
    run(tuner, "run", "study.yaml", folder=outside, env=alone)
    table = ("leaderboard", "studies/small", "--format", "csv")
    done = subprocess.run([tuner, *table], cwd=outside, check=True, capture_output=True, text=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    if [row["status"] for row in rows] != ["complete"] * 3:
        sys.exit(f"the study should end with three complete trials, but has:\n{done.stdout}")


def write_clicks(path: Path) -> None:
    """Write interactions of 60 users with 30 items, who mostly go from one item to the next."""
    generator = random.Random(60)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "datetime"])
        for user in range(60):
            item = generator.randrange(30)
            for day in range(1, 13):
                item = (item + 1) % 30 if generator.random() < 0.8 else generator.randrange(30)
                rows.writerow([f"u{user}", item, f"2024-01-{day:02}"])


if __name__ == "__main__":
    main()
