"""Measures the report of a long study: the time to write it, its size, and the time until a browser shows it.

    python -m benchmarks.report [--trials N] [--rounds N] [--quick]

- write_s: `tuner report` in a separate process, on a study of 1,000 trials over a conditional space;
- write_cpu_s: the time of the processor that this takes, which other processes change less;
- size_mb: the HTML file, in millions of bytes;
- first_paint_s: from the begin of the navigation to the first contentful paint, in headless Chromium;
- loaded_s: to the end of its scripts, when the leaderboard can be used;
- in_sight_s: until the figures in the window are drawn, if the page is opened at "What mattered". These are
  drawn first;
- drawn_s: until the last figure is drawn. The others are drawn one after the other, from the top;
- drawn_cpu_s: the time of the processor that the page's main thread takes for all this, which other processes
  change less;
- code_lines: lines of Python, HTML, CSS and JavaScript of the figures and of the page.

`benchmarks.made_study` makes the study. A Chromium has to be on the PATH.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.made_study import make_study
from benchmarks.measuring import command_line, environment, machine, middle_and_spread, write_results
from tests.browser import open_browser

REPORTING = Path(__file__).resolve().parents[1] / "tuner" / "reporting"
#: What the code of the report is: folders, modules beside them, and endings of files.
CODE, MODULES = ("figures", "html"), ("clock", "dimensions", "plot", "report_data")
KINDS = {".py", ".js", ".css", ".jinja"}
#: Milliseconds since the begin of the navigation.
PAINT = """new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))
    .observe({type: "paint", buffered: true}))"""
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
IN_SIGHT = """new Promise(done => {
    const rooms = [...document.querySelectorAll("[data-figure]")];
    const places = room => room.getBoundingClientRect();
    const seen = () => rooms.filter(room => places(room).bottom > 0 && places(room).top < innerHeight);
    const look = () => seen().every(room => room.querySelector("svg"))
        ? done(performance.now()) : requestAnimationFrame(look);
    look();
})"""


def measure(folder: Path) -> dict[str, float]:
    """Measure each figure once."""
    began, used = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "tuner.cli", "report", str(folder)]
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    taken, now = time.perf_counter() - began, os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    path = folder / "report.html"
    return {
        "write_s": taken,
        "write_cpu_s": cpu,
        "size_mb": path.stat().st_size / 1e6,
        **_shown(path),
        "in_sight_s": _in_sight(path),
    }


def _shown(path: Path) -> dict[str, float]:
    """Measure a page in a new browser."""
    with open_browser() as browser:
        browser.call("Performance.enable", timeDomain="threadTicks")
        browser.open(path.as_uri())
        found = {
            "first_paint_s": float(browser.run(PAINT)) / 1000,
            "drawn_s": float(browser.run("drawn")) / 1000,
            "loaded_s": float(browser.run(LOADED)) / 1000,
        }
        metrics = browser.call("Performance.getMetrics")["metrics"]
        used = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
        return {**found, "drawn_cpu_s": float(used)}


def _in_sight(path: Path) -> float:
    """Measure when the reader of a section sees its figures, in a new browser."""
    with open_browser() as browser:
        browser.open(f"{path.as_uri()}#params")
        return float(browser.run(IN_SIGHT)) / 1000


def code_lines() -> int:
    """Return how many lines the code of the report has."""
    files = [path for name in CODE for path in (REPORTING / name).rglob("*") if path.suffix in KINDS]
    files += [REPORTING / f"{name}.py" for name in MODULES]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def main() -> None:
    """Measure, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = make_study(Path(name) / "made", arguments.trials)
        runs = [measure(folder) for _ in range(1 if arguments.quick else arguments.rounds)]
    for figure in runs[0]:
        print(f"{figure:<16}{middle_and_spread([run[figure] for run in runs]):>22}")
    found = {figure: round(median(run[figure] for run in runs), 2) for figure in runs[0]}
    found["code_lines"] = code_lines()
    results = {
        "machine": facts,
        "quick": arguments.quick,
        "trials": arguments.trials,
        "figures": found,
        "runs": runs,
    }
    print(write_results("report", results))


if __name__ == "__main__":
    main()
