"""Records the table that `search_quality` replays: random configurations with every epoch of every fold.

    python -m benchmarks.record_table FOLDER [--table NAME] [--data DIR] [--rows N] [--begin ROW]
    python -m benchmarks.record_table FOLDER [--table NAME] --pack

Each configuration is evaluated in the same way as a trial, in this process with one thread, and written to
its own file in FOLDER. Configurations that have a file already are skipped. So the recording can be
interrupted at any time, and a second process can begin in the middle with `--begin`. `--pack` makes
`benchmarks/recorded/NAME.npz` from the files.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler

from benchmarks.measuring import DATA, machine
from benchmarks.recording import Table, epochs_compared, save_table, table_path
from benchmarks.table_data import dense_sample, stored, walks

if TYPE_CHECKING:
    import pandas as pd

    from tuner.data.folds import Fold
    from tuner.evaluation import Plan
    from tuner.space import Space, Value

__all__ = ["TABLES", "Recorded", "points"]


#: Small sizes of the transformers.
_SMALL = {
    "n_factors": [16, 32, 64],
    "n_heads": [1, 2, 4],
    "n_blocks": {"int": [1, 2]},
    "batch_size": [64, 128],
    "lr": {"float": [1e-3, 2e-2], "log": True},
    "item_net_constructor_kwargs.emb_factors": [8, 16, 32],
    "n_negatives": {"int": [4, 32], "log": True},
    "similarity_module_type": ["DistanceSimilarityModule", "TwoTowerSimilarityModule"],
    "similarity_module_kwargs.tower_factors": [16, 32],
}
METRICS = {"objective": {"NDCG@10": {"divide_by_achievable": True}}, "direction": "maximize"}


@dataclass(frozen=True)
class Recorded:
    """Data and study of a table.

    Attributes
    ----------
    interactions
        Returns the interactions, or the path of their file, given the folder of the data sets.
    source
        Name of the data set and its licence.
    study
        The study without its interactions. Its space is narrowed so that one core evaluates a configuration
        in about 6 seconds.
    """

    interactions: Callable[[Path], str | pd.DataFrame]
    source: str
    study: Mapping[str, Any]


#: Name of a table -> its data and study.
TABLES = {
    "retail": Recorded(
        partial(stored, name="online-retail-uci"),
        "UCI Online Retail, CC BY 4.0",
        {
            "study": "retail",
            "data": {"min_user_interactions": 100, "min_item_interactions": 50},
            "folds": {
                "split": "time_range",
                "size": "28D",
                "n_folds": 3,
                "holdout": 1,
                "filter_viewed": False,
            },
            "metrics": METRICS,
            "space": {
                "use": "search_spaces.guide",
                "set": {
                    "n_factors": [16, 32, 64],
                    "n_blocks": {"int": [1, 2]},
                    "session_max_len": [10, 20],
                    "batch_size": [32, 64, 128],
                    "item_net_constructor_kwargs.emb_factors": [8, 16, 32],
                },
            },
            "search": {"seed": 60},
            "training": {"epochs": 8},
        },
    ),
    "movielens": Recorded(
        partial(stored, name="ml-latest-small-2016"),
        "MovieLens ml-latest-small (2016), F. M. Harper and J. A. Konstan 2015, research use",
        {
            "study": "movielens",
            "data": {"min_item_interactions": 50},
            "folds": {"split": "last_n", "size": 3, "n_folds": 3, "holdout": 1, "filter_viewed": True},
            "metrics": METRICS,
            "space": {
                "use": "search_spaces.guide",
                "set": {
                    "n_factors": [8, 16, 32],
                    "n_blocks": {"int": [1, 2]},
                    "session_max_len": [10, 20],
                    "batch_size": [16, 32, 64],
                    "item_net_constructor_kwargs.emb_factors": [4, 8, 16],
                },
            },
            "search": {"seed": 61},
            "training": {"epochs": 8},
        },
    ),
    "beauty": Recorded(
        partial(
            dense_sample, name="amazon-beauty-5core", user_events=8, item_events=15, n_users=500, seed=62
        ),
        "Amazon Beauty 5-core (J. McAuley et al. 2015), a dense sample of 500 users",
        {
            "study": "beauty",
            "data": {},
            "folds": {"split": "last_n", "size": 1, "n_folds": 3, "holdout": 1, "filter_viewed": True},
            "metrics": METRICS,
            "space": {
                "use": "search_spaces.transformers:ids_only",
                "set": {
                    **_SMALL,
                    "session_max_len": [10, 20],
                },
            },
            "search": {"seed": 62},
            "training": {"epochs": 8},
        },
    ),
    "walks": Recorded(
        partial(walks, n_users=500, n_items=500, seed=63),
        "made by benchmarks.table_data.walks",
        {
            "study": "walks",
            "data": {"min_item_interactions": 2},
            "folds": {"split": "last_n", "size": 1, "n_folds": 3, "holdout": 1, "filter_viewed": False},
            "metrics": METRICS,
            "space": {
                "use": "search_spaces.everything:ids_only",
                "set": {
                    **_SMALL,
                    "cls": ["SASRecModel", "BERT4RecModel", "HSTUModel"],
                    "session_max_len": [5, 10],
                },
            },
            "search": {"seed": 63},
            "training": {"epochs": 8},
        },
    ),
}
N_ROWS = 220


def main() -> None:
    """Record configurations, or pack the recordings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the raw recordings")
    parser.add_argument("--table", choices=TABLES, default="retail", help="name of the table to record")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--rows", type=int, default=N_ROWS, help="number of configurations")
    parser.add_argument("--begin", type=int, default=0, help="row to begin with; rows before it come last")
    parser.add_argument("--pack", action="store_true", help="make the table from the recordings")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.pack:
        table, path = pack(arguments.folder, TABLES[arguments.table]), table_path(arguments.table)
        save_table(table, path)
        print(f"{path}: {len(table)} configurations, {path.stat().st_size / 1e6:.1f} MB")
    else:
        record(arguments.folder, TABLES[arguments.table], arguments.data, arguments.rows, arguments.begin)


def record(folder: Path, wanted: Recorded, data: Path, n_rows: int, begin: int) -> None:
    """Evaluate every configuration that has no file yet."""
    import torch

    from tuner.config import study_from_mapping
    from tuner.errors import TunerError
    from tuner.execution.logs import logs_to
    from tuner.preparation.prepare import prepare
    from tuner.training.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    interactions = wanted.interactions(data)
    study = study_from_mapping(
        {**wanted.study, "data": {"interactions": interactions, **wanted.study["data"]}}
    )
    prepared = prepare(study, print)
    drawn = list(points(prepared.space, n_rows, study.search.seed))
    for number in [*range(begin, n_rows), *range(begin)]:
        path = folder / f"row-{number:04d}.npz"
        if path.exists():
            continue
        params = prepared.space.decode(drawn[number])
        try:
            with logs_to(folder / "libraries.log"):
                recorded = evaluate(
                    params, prepared.folds, prepared.plan, study.training.epochs, study.search.seed
                )
        except TunerError as error:  # such as a loss that is not finite
            print(f"{number:>4} failed: {error}", flush=True)
            continue
        unfinished = path.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as file:
            np.savez_compressed(file, point=json.dumps(drawn[number]), **recorded)
        unfinished.replace(path)
        best = recorded["values"].mean(axis=0).max()
        print(f"{number:>4} {recorded['seconds'].max():6.1f} s {best:.4f}", flush=True)


def points(space: Space, n_points: int, seed: int) -> Iterator[dict[str, Value]]:
    """Yield different feasible points, drawn by Optuna's `RandomSampler`."""
    from tuner.models.build import why_infeasible

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    seen: set[str] = set()
    while len(seen) < n_points:
        trial = study.ask()
        params = space.suggest(trial)
        key = json.dumps(trial.params, sort_keys=True)
        if key not in seen and why_infeasible(params) is None:
            seen.add(key)
            yield trial.params


def evaluate(
    params: dict[str, Value], folds: Sequence[Fold], plan: Plan, epochs: int, seed: int
) -> dict[str, Any]:
    """Evaluate a configuration in the same way as a trial; return its recording as arrays.

    Returns
    -------
    dict
        `values` and `seconds` of shape (n_folds, n_epochs): the objective, and the CPU time since the trial
        began (other programs on the machine change it less than wall time); and `users_F` of shape (n_epochs,
        n_users) for each fold F: the per-user values.
    """
    from tuner.evaluation import evaluate_folds
    from tuner.models.build import trial_params
    from tuner.trials.records import Evaluation, Users
    from tuner.trials.seeds import fold_seed

    full = trial_params(params, epochs)
    seeds = [fold_seed(seed, full, fold.index) for fold in folds]
    values: list[float] = []
    seconds: list[float] = []
    users: list[Users] = []
    began = time.process_time()

    def report(evaluation: Evaluation) -> None:
        values.append(evaluation.metrics[plan.objective])
        seconds.append(time.process_time() - began)

    evaluate_folds(full, folds, plan, seeds, report, report_users=users.append)
    shape = (len(folds), epochs)
    return {
        "values": np.reshape(values, shape),
        "seconds": np.reshape(seconds, shape),
        **{f"users_{one.fold}": one.values for one in users},
    }


def pack(folder: Path, wanted: Recorded) -> Table:
    """Make a table of all recordings in a folder. It has the per-user values that the race compares."""
    points, values, seconds, users = [], [], [], []
    fold_sizes: list[int] = []
    for path in sorted(folder.glob("row-*.npz")):
        with np.load(path) as raw:
            by_fold = [raw[f"users_{fold}"] for fold in range(len(raw["values"]) - 1)]
            points.append(json.loads(str(raw["point"])))
            values.append(raw["values"].astype(np.float32))
            seconds.append(raw["seconds"].astype(np.float32))
        epochs = np.array(epochs_compared(values[-1])) - 1
        users.append(np.concatenate(by_fold, axis=1)[epochs].astype(np.float16))
        fold_sizes = [one.shape[1] for one in by_fold]
    facts = {"study": wanted.study, "data": wanted.source, "machine": machine()}
    return Table(points, np.stack(values), np.stack(seconds), np.stack(users), fold_sizes, facts)


if __name__ == "__main__":
    main()
