"""Measures a fit of EASE and recommendations to all users, by RecTools and by the fast paths.

    python -m benchmarks.ease [--data FOLDER_OF_DATA_SETS] [--rounds N] [--items N ...] [--quick]

The data are Amazon Beauty's most popular items, and there is one thread. Figures are ratios of medians of CPU
time, RecTools divided by ours, because other work on the machine changes CPU time less than wall time.
`memory` is the ratio of the peaks. Each measurement is a process of its own. The results are written to
results/ease.json.
"""

from __future__ import annotations

import json
import resource
import time
import warnings
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from rectools.dataset import Dataset
from rectools.models import EASEModel

from benchmarks.measuring import DATA, command_line, machine, measured_apart, middle_and_spread, write_results
from tuner.training.fast_paths import accelerate

ITEMS = (1_500, 3_000, 6_000)
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WAYS = ("stock", "fast")
TASKS = ("fit", "recommend", "memory")


def main() -> None:
    """Measure, print a table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, nargs="+", default=ITEMS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(**arguments.job)))
        return
    facts = machine()
    rounds, items = (1, [500]) if arguments.quick else (arguments.rounds, arguments.items)
    runs: dict[int, dict[str, list[dict[str, float]]]] = {}
    for n_items in items:
        runs[n_items] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, found in runs[n_items].items():
                job = {"data": str(arguments.data), "n_items": n_items, "fast": way == "fast"}
                found.append(measured_apart("benchmarks.ease", job, THREADS))
        print_rows(n_items, runs[n_items])
    result = {"machine": facts, "quick": arguments.quick, "figures": figures(runs), "runs": runs}
    write_results("ease", result)


def measure(data: str, n_items: int, *, fast: bool) -> dict[str, float]:
    """Return CPU seconds of a fit and of recommendations, and the peak of memory in bytes."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = pd.read_parquet(Path(data) / "amazon-beauty-5core" / "interactions.parquet")
    rows = rows[rows["item_id"].isin(rows["item_id"].value_counts().index[:n_items])]
    dataset, users = Dataset.construct(rows), rows["user_id"].unique()
    model = EASEModel(regularization=500.0, recommend_n_threads=1)
    if fast:
        accelerate(model)
    began = time.process_time()
    model.fit(dataset)
    fitted = time.process_time()
    model.recommend(users, dataset, k=10, filter_viewed=True)
    ended = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"fit": fitted - began, "recommend": ended - fitted, "memory": float(peak)}


def figures(runs: dict[int, dict[str, list[dict[str, float]]]]) -> dict[str, float]:
    """Return the ratios of the medians, by task and number of items."""
    found: dict[str, float] = {}
    for task in TASKS:
        for n_items, of in runs.items():
            stock, fast = (median(one[task] for one in of[way]) for way in WAYS)
            found[f"{task}/{n_items:,} items"] = round(stock / fast, 2)
    return found


def print_rows(n_items: int, of: dict[str, list[dict[str, float]]]) -> None:
    for task in TASKS:
        scale, unit = (2**20, "MB") if task == "memory" else (1, "s")
        stock, fast = ([one[task] / scale for one in of[way]] for way in WAYS)
        ratio = median(stock) / median(fast)
        both = "  ".join(f"{middle_and_spread(values)} {unit}" for values in (stock, fast))
        print(f"{n_items:6,} items  {task:9}  {both}  {ratio:.2f} x", flush=True)


if __name__ == "__main__":
    main()
