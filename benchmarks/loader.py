"""Measures the cost of a trial's data handling in RecTools and with the fast paths, with one thread.

    python -m benchmarks.loader --data FOLDER_OF_DATA_SETS

RecTools (stock) and the fast paths run in turns. Figures are ratios of medians of CPU time, because other
work on the machine changes CPU time less than wall time. The results are written to results/loader.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, HSTUModel, SASRecModel
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.training.fast_paths.data import accelerate_data, restore_data

DATA_SETS = {"beauty": ("amazon-beauty-5core", 50), "retail": ("online-retail-uci", 100)}
MODELS = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel, "hstu": HSTUModel}
N_USERS = 6000

Model = TransformerModelBase[Any]
Runs = dict[str, dict[str, list[float]]]


def main() -> None:
    """Measure, print a table and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    runs: Runs = {}
    for name, (folder, session_max_len) in DATA_SETS.items():
        dataset = Dataset.construct(pd.read_parquet(arguments.data / folder / "interactions.parquet"))
        for kind, model in models(dataset, session_max_len).items():
            for task, run in tasks(kind, model, dataset).items():
                key = f"{task}/{name}"
                runs[key] = take_turns(model, run, arguments.rounds)
                print_row(key, runs[key])
                write(runs)


def write(runs: Runs) -> None:
    """Write the results so far."""
    result = {"machine": machine(), "figures": figures(runs), "cpu_seconds": runs}
    path = Path(__file__).parent / "results" / "loader.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def models(dataset: Dataset, session_max_len: int) -> dict[str, Model]:
    """Fit each model on one batch."""
    made: dict[str, Model] = {}
    for kind, model_type in MODELS.items():
        options: dict[str, Any] = {
            "n_blocks": 2,
            "n_heads": 2,
            "n_factors": 64,
            "batch_size": 128,
            "epochs": 1,
        }
        if kind == "hstu":
            options["relative_time_attention"] = False  # otherwise recommending needs a time for each user
        model = model_type(**options, session_max_len=session_max_len, recommend_torch_device="cpu")
        model._trainer.limit_train_batches = 1  # noqa: SLF001  # there is no public way to shorten an epoch
        made[kind] = model.fit(dataset)
    return made


def tasks(kind: str, model: Model, dataset: Dataset) -> dict[str, Callable[[], Callable[[], object]]]:
    """Return the tasks by name.

    Each is a function that prepares, untimed, and returns the function to time.
    """
    users = dataset.user_id_map.external_ids[:N_USERS]

    def recommend() -> object:
        return model.recommend(users, dataset, 10, filter_viewed=True, on_unsupported_targets="ignore")

    def again() -> Callable[[], object]:
        recommend()
        return recommend

    def epoch() -> Callable[[], object]:
        loader = model.data_preparator.get_dataloader_train()
        return lambda: [None for _ in loader]

    timed: dict[str, Callable[[], Callable[[], object]]] = {f"collate_{kind}": epoch}
    if kind == "sasrec":
        timed["build"] = lambda: model.data_preparator.get_dataloader_train
        timed["recommend_first"] = lambda: recommend
        timed["recommend"] = again
        timed["recommend_without_encoder"] = lambda: without_encoder(model, again())
    if kind == "bert4rec":
        timed["recommend_bert4rec"] = again
    return timed


def without_encoder(model: Model, recommend: Callable[[], object]) -> Callable[[], object]:
    """Return a function that recommends from ready embeddings: batches, ranking and tables only."""
    module = model.lightning_model
    embed = type(module)._get_user_item_embeddings  # noqa: SLF001  # where RecTools runs the encoder
    embeddings: list[object] = []

    def cached(loader: Iterable[object], device: str | None) -> object:
        if not embeddings:
            embeddings.append(embed(module, loader, device))
        else:
            for _ in loader:
                pass
        return embeddings[0]

    def run() -> None:
        module._get_user_item_embeddings = cached  # noqa: SLF001  # as above
        recommend()
        del module._get_user_item_embeddings  # noqa: SLF001  # as above

    run()
    return run


def take_turns(
    model: Model, ready: Callable[[], Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Time stock and fast in turns, in CPU seconds. The first round is a warm-up and is left out."""
    seconds: dict[str, list[float]] = {"stock": [], "fast": []}
    for number in range(rounds + 1):
        for path, taken in seconds.items():
            if path == "fast":
                accelerate_data(model)
            run = ready()
            seed_everything(number, verbose=False)
            gc.collect()
            began = time.process_time()
            run()
            if number:
                taken.append(round(time.process_time() - began, 6))
            restore_data(model)
    return seconds


def figures(runs: Runs) -> dict[str, float]:
    """Return how many times faster the fast paths are, by task."""
    return {key: round(median(run["stock"]) / median(run["fast"]), 2) for key, run in runs.items()}


def print_row(key: str, run: dict[str, list[float]]) -> None:
    stock, fast = median(run["stock"]) * 1000, median(run["fast"]) * 1000
    print(f"{key:26} {stock:9.1f} ms {fast:9.1f} ms {stock / fast:7.2f} x", flush=True)


def machine() -> dict[str, object]:
    """Return the hardware and the versions that the figures depend on."""
    packages = ("rectools", "torch", "numpy", "pandas")
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


if __name__ == "__main__":
    main()
