"""Measures whether the memory of a worker grows: many small trials in one process, as in a reused actor.

    python -m benchmarks.workers [--trials N] [--quick]

Each trial is another random point of the guide's space with the smallest sizes, evaluated on two folds. It
runs inside `tuner.execution.sandbox.attempt`, as a trial of a search does: that function keeps freed memory,
writes the log to a file and cleans up. The environment is that of a worker. Resident memory is read after
each clean-up.

`growth_mb_per_100_trials` is the slope of a straight line through all but the first quarter of the trials.
oneDNN caches compiled operators, one for each shape, so memory grows while trials bring new shapes.
`ONEDNN_PRIMITIVE_CACHE_CAPACITY=0` shows the memory without that cache. `first_mb` and `last_mb` are the
memory after the first and the last trial. Also draws `results/workers.svg`.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measuring import (
    RESULTS,
    command_line,
    environment,
    machine,
    measured_apart,
    write_results,
)

if TYPE_CHECKING:
    from tuner.data.folds import Fold
    from tuner.evaluation import Plan
    from tuner.trials.messages import Job

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 240, 60, 40


def resident_mb() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(n_trials: int) -> dict[str, list[float]]:
    """Run the trials in this process; return the memory in MB after each of them."""
    from benchmarks.small_study import SMALL_STUDY, write_study
    from tuner.config import Study
    from tuner.models.build import trial_params
    from tuner.models.feasibility import infeasible
    from tuner.preparation.prepare import prepare
    from tuner.space.describe import sample
    from tuner.trials.messages import Job

    memory: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_study(folder, {**SMALL_STUDY, "training": {"epochs": 1}})
        os.chdir(folder)
        prepared = prepare(Study.load(path), lambda _line: None)
        generator = random.Random(60)
        while len(memory) < n_trials:
            params = sample(prepared.space, generator)
            if infeasible(params):
                continue
            job = Job(len(memory), trial_params(params, 1), (60, 61), "trial")
            _run(job, prepared.folds, prepared.plan, folder / f"{job.number}.log")
            memory.append(resident_mb())
    return {"memory_mb": [round(value, 2) for value in memory]}


def _run(job: Job, folds: Sequence[Fold], plan: Plan, log: Path) -> None:
    """Run one trial as a worker does.

    Raises
    ------
    RuntimeError
        If the trial failed: the memory of a failed trial says nothing.
    """
    from tuner.evaluation import evaluate_folds
    from tuner.execution.sandbox import attempt

    work = partial(evaluate_folds, job.params, folds, plan, job.seeds, _ignore, report_users=_ignore)
    failure = attempt(work, job, log=log, threads=1, timeout=None)
    if failure is not None:
        raise RuntimeError(f"trial {job.number} failed: {failure.cause}")


def _ignore(_result: object) -> None:
    """Accept a report and drop it."""


def figures(memory: Sequence[float]) -> dict[str, float]:
    """Return the growth of the memory, and its first and last value."""
    settled = memory[len(memory) // 4 :]
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    return {
        "growth_mb_per_100_trials": round(100 * slope, 2),
        "first_mb": round(memory[0], 1),
        "last_mb": round(memory[-1], 1),
    }


def draw(memory: Sequence[float]) -> str:
    """Return resident memory over trials as SVG. The axis of memory begins at zero."""
    top = 1.1 * max(memory)

    def place(index: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - 10) * index / max(1, len(memory) - 1)
        return round(x, 1), round((HEIGHT - BOTTOM) * (1 - value / top), 1)

    line = " ".join(f"{x},{y}" for x, y in (place(index, value) for index, value in enumerate(memory)))
    marks = []
    for share in (0, 0.5, 1):
        value = share * max(memory)
        _, y = place(0, value)
        marks.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.0f} MB</text>')
        marks.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - 10}" y2="{y}" stroke="#ccc"/>')
    for index in (0, len(memory) // 2, len(memory) - 1):
        x, y = place(index, 0)
        marks.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{index + 1}</text>')
    title = f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">trials in one worker</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
        + "\n".join([*marks, title])
        + f'\n<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="1.5"/>\n</svg>\n'
    )


def main() -> None:
    """Measure, print the table, write the results and the picture."""
    parser = command_line(__doc__)
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(**arguments.job)))
        return
    from tuner.execution.session import ALLOCATOR

    facts = machine()
    job = {"n_trials": 12 if arguments.quick else arguments.trials}
    run: dict[str, Any] = measured_apart("benchmarks.workers", job, environment() | ALLOCATOR)
    found = figures(run["memory_mb"])
    for name, value in found.items():
        print(f"{name:<28}{value:>10}")
    results = {"machine": facts, "quick": arguments.quick, "figures": found, "runs": [run]}
    print(write_results("workers", results))
    (RESULTS / "workers.svg").write_text(draw(run["memory_mb"]), encoding="utf-8")


if __name__ == "__main__":
    main()
