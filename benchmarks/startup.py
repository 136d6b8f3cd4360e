"""Measures how long a person waits: for the first report of a small study, the help, and the leaderboard.

    python -m benchmarks.startup [--rounds N] [--quick]

- first_report: from the command `tuner run` to the first evaluation in the study's store. This includes
  imports, data, folds, the start of Ray and of a worker, and the first baseline on one fold;
- help: `tuner --help`;
- leaderboard: `tuner leaderboard` on that study when it is done.

All figures are wall time in seconds, in separate processes. After the first round, programs and data are in
the file cache.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.measuring import command_line, environment, machine, middle_and_spread, write_results
from benchmarks.small_study import SMALL_STUDY, write_study

REPORT = '"evaluation:'  # first part of the key of an evaluation in the journal


def tuner(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the command line as a user does, without its output."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def seconds_of(folder: Path, *arguments: str) -> float:
    """Return the seconds that a command takes."""
    began = time.perf_counter()
    code = tuner(folder, *arguments).wait()
    taken = time.perf_counter() - began
    if code:
        raise RuntimeError(f"`tuner {' '.join(arguments)}` ended with {code}")
    return taken


def first_report(folder: Path) -> float:
    """Run the small study to its end; return the seconds until its first evaluation was stored."""
    journal = folder / "studies" / "small" / "journal.log"
    began = time.perf_counter()
    process = tuner(folder, "run", "study.yaml")
    while not (journal.exists() and REPORT in journal.read_text(encoding="utf-8")):
        if process.poll() is not None:
            raise RuntimeError(f"`tuner run` ended with {process.returncode} before its first report")
        time.sleep(0.02)
    taken = time.perf_counter() - began
    if process.wait():
        raise RuntimeError(f"`tuner run` ended with {process.returncode}")
    return taken


def measure() -> dict[str, float]:
    """Measure each time once, on a new study."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, SMALL_STUDY)
        return {
            "first_report_s": first_report(folder),
            "help_s": seconds_of(folder, "--help"),
            "leaderboard_s": seconds_of(folder, "leaderboard", "studies/small"),
        }


def main() -> None:
    """Measure, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    facts = machine()
    runs = [measure() for _ in range(1 if arguments.quick else arguments.rounds)]
    for name in runs[0]:
        print(f"{name:<16}{middle_and_spread([run[name] for run in runs]):>22}")
    found = {name: round(median(run[name] for run in runs), 2) for name in runs[0]}
    results = {"machine": facts, "quick": arguments.quick, "figures": found, "runs": runs}
    print(write_results("startup", results))


if __name__ == "__main__":
    main()
