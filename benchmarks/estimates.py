"""Compares the estimates of `tuner check` with the measurements of a run: the guide's space on Beauty.

    python -m benchmarks.estimates [--data DIR] [--steps N] [--quick]

`tuner.workflows.estimate` finds the smallest and the largest configuration. One process makes the estimates
as `tuner check` does. Another process then runs each configuration for one epoch as a trial does, on the same
fold. It reads the fold from a file, as a worker gets it from the object store. Its `fit_seconds` and
`peak_memory` are the values that a run records.

If the estimate of an epoch is more than three minutes, only some steps are run, and the time of the epoch is
computed from the time of a step, its batch included. The first two steps warm up, and the median of the
others counts. `.../steps` is then the number of steps, otherwise 0.

`smallest/seconds` and the other figures are estimated / measured. The target is 0.5 to 2.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measuring import DATA, command_line, environment, machine, measured_apart, write_results

if TYPE_CHECKING:
    from tuner.data.folds import Fold
    from tuner.evaluation import Plan
    from tuner.workflows.estimate import Estimate

LONGEST = 180  # longest estimated epoch, in seconds, that is run completely
SIZES = ("smallest", "largest")


def study(data: str) -> dict[str, Any]:
    """Return the study whose configurations are estimated."""
    return {
        "study": "estimates",
        "data": {"interactions": str(Path(data) / "amazon-beauty-5core" / "interactions.parquet")},
        "folds": {"split": "time_range", "size": "14D", "n_folds": 2, "holdout": 1, "filter_viewed": True},
        "metrics": {"objective": {"NDCG@10": {"divide_by_achievable": True}}, "direction": "maximize"},
        "space": "search_spaces.guide",
        "training": {"epochs": 1},
        "resources": {"cpus_per_trial": 1},
    }


def estimate_all(data: str, folder: str) -> dict[str, Any]:
    """Make the estimates, and write the fold and the plan to a file for the runs."""
    import yaml

    from tuner.config import Study
    from tuner.preparation.prepare import prepare
    from tuner.workflows.estimate import estimates

    path = Path(folder) / "study.yaml"
    path.write_text(yaml.safe_dump(study(data)), encoding="utf-8")
    prepared = prepare(Study.load(path), lambda _line: None)
    found: dict[str, Estimate] = {one.size: one for one in estimates(prepared)}
    work = (prepared.folds[-1], prepared.plan, {size: found[size].params for size in SIZES})
    (Path(folder) / "work.pickle").write_bytes(pickle.dumps(work))
    return {
        size: {"epoch_seconds": found[size].epoch_seconds, "peak_memory": found[size].peak_memory}
        for size in SIZES
    }


def run_one(folder: str, size: str, steps: int) -> dict[str, Any]:
    """Run a configuration as a trial does, for some steps of an epoch (0: for the whole epoch)."""
    import torch

    from tuner.training.memory import keep_freed_memory

    fold, plan, params = pickle.loads((Path(folder) / "work.pickle").read_bytes())  # noqa: S301  # a file of this benchmark
    torch.set_num_threads(1)
    keep_freed_memory()
    if steps:
        return run_steps(params[size], fold, plan, steps)
    from tuner.evaluation import evaluate_fold
    from tuner.trials.records import Evaluation

    reports: list[Evaluation] = []
    evaluate_fold(params[size], fold, plan, 60, reports.append)
    return {"epoch_seconds": reports[-1].fit_seconds, "peak_memory": reports[-1].peak_memory}


def run_steps(params: dict[str, Any], fold: Fold, plan: Plan, steps: int) -> dict[str, Any]:
    """Run some steps and recommend to all test users; compute the time of the epoch from that of a step."""
    from pytorch_lightning import Callback, seed_everything

    from tuner.evaluation import recommend
    from tuner.models.build import build_model
    from tuner.training.fast_paths import accelerate
    from tuner.training.memory import peak_memory, reset_peak

    class Clock(Callback):
        """Records the times at which steps end."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def __deepcopy__(self, _memo: dict[int, object]) -> Clock:
            return self

        def on_train_batch_end(self, *_arguments: object) -> None:
            self.times.append(time.perf_counter())

    reset_peak()
    model: Any = build_model(params)
    accelerate(model)
    clock = Clock()
    model._trainer.callbacks.append(clock)  # noqa: SLF001  # as in `tuner.training.fast_paths`
    model._trainer.limit_train_batches = steps  # noqa: SLF001  # there is no public way to shorten an epoch
    seed_everything(60, workers=True, verbose=False)
    model.fit(fold.train)
    recommend(model, fold, plan.k, filter_viewed=plan.filter_viewed)
    step = median(np.diff(clock.times)[1:].tolist())
    n_batches = len(model.data_preparator.get_dataloader_train())
    return {"epoch_seconds": step * n_batches, "peak_memory": peak_memory()}


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return estimated / measured."""
    found: dict[str, float] = {}
    for run in runs:
        for name, key in (("seconds", "epoch_seconds"), ("memory", "peak_memory")):
            found[f"{run['size']}/{name}"] = round(run["estimated"][key] / run["measured"][key], 3)
        found[f"{run['size']}/steps"] = run["steps"]
    return found


def table(runs: list[dict[str, Any]], found: dict[str, float]) -> str:
    """Return a table of estimates, measurements and their ratios."""
    lines = [f"{'estimated / measured':<22}{'epoch, s':>18}{'ratio':>8}{'peak, GB':>16}{'ratio':>8}"]
    for run in runs:
        size, guess, real = run["size"], run["estimated"], run["measured"]
        seconds = f"{guess['epoch_seconds']:.1f} / {real['epoch_seconds']:.1f}"
        memory = f"{guess['peak_memory'] / 1e9:.2f} / {real['peak_memory'] / 1e9:.2f}"
        ratios = found[f"{size}/seconds"], found[f"{size}/memory"]
        lines.append(f"{size:<22}{seconds:>18}{ratios[0]:>8.2f}{memory:>16}{ratios[1]:>8.2f}")
    return "\n".join(lines)


def main() -> None:
    """Estimate, run, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--steps", type=int, default=12, help="number of steps if an epoch takes too long")
    arguments = parser.parse_args()
    if arguments.job:
        job = arguments.job
        print(json.dumps(run_one(**job) if "size" in job else estimate_all(**job)))
        return
    facts, runs = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        job = {"data": str(arguments.data.resolve()), "folder": folder}
        estimated = measured_apart("benchmarks.estimates", job, environment())
        for size in SIZES[:1] if arguments.quick else SIZES:
            guess = estimated[size]
            steps = arguments.steps if guess["epoch_seconds"] > LONGEST else 0
            job = {"folder": folder, "size": size, "steps": steps}
            print(f"{size}: an epoch of about {guess['epoch_seconds']:.0f} s", file=sys.stderr, flush=True)
            measured = measured_apart("benchmarks.estimates", job, environment())
            runs.append({"size": size, "estimated": guess, "measured": measured, "steps": steps})
    found = figures(runs)
    print(table(runs, found))
    results = {"machine": facts, "quick": arguments.quick, "figures": found, "runs": runs}
    print(write_results("estimates", results))


if __name__ == "__main__":
    main()
