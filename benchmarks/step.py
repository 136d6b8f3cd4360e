"""One training step and one recommendation: ours against RecTools.

    python -m benchmarks.step [--device cpu|cuda] [--data DIR] [--quick] [--only MODEL/LOSS/DATA ...]

On a CPU five ways are measured, each in processes of its own, in rounds that take turns:

- stock: RecTools' model;
- stock_allocator: the same with the allocator settings that our workers set;
- ours: the fast paths, with those settings, as a trial runs;
- unpadded: the same with `training.fast: unpadded`;
- paths: the fast paths without the settings; not with --quick.

With `--before CHECKOUT`, a folder with another commit, `before` is what ours was there, in the same run.

On a GPU all are measured in one process, since a context of CUDA takes longer to make than a fit of a few
steps; PyTorch counts its memory for each alone. The C library's settings play no part there; beside stock and
ours stand ours with `training.precision` tf32 and bf16, all three also with `training.fast: unpadded`.

A step is the time from one batch's end to the next one's: collate, transfer, loss, gradients, optimizer. On a
CPU it is the process's own time on one thread, which other processes disturb less than the time of day; on a
GPU the time of many steps together, since a trial does not wait for each.
The figures are ratios of medians over rounds: `sasrec/softmax/beauty` is stock / ours, `.../allocator`
stock_allocator / ours, `.../before`, `.../paths`, `.../tf32` and `.../bf16` stock / these, `.../gain`
before / unpadded, `.../memory` ours / stock in peak memory (of the process on a CPU, allocated on a GPU),
`.../gb` ours in GB on a GPU, `.../best_ms` the milliseconds of ours in the quickest way on a GPU, and
`sasrec/recommend/beauty` is stock / ours. Stock next action scores all positions and keeps the last, as in
RecTools' guide.

On a GPU, `packed/4` is how many trials of ours an hour four processes train on it at once (SASRec with
softmax, bf16, unpadded, 10 epochs, without evaluations), and `packed/4/mps` the same where they share it by
NVIDIA's Multi-Process Service, if that is installed. 1 and 8 processes are measured as well. `packed/best`
is the most of all, and `.../gb` is what the tensors of all processes take at most. `--packed` measures that
alone, also on a CPU.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.utilities.types import STEP_OUTPUT
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, HSTUModel, SASRecModel
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from benchmarks.measuring import machine, measured_apart, write_results
from benchmarks.packing import PACKED, Meeting, has_mps, mps, trials_per_hour
from benchmarks.profiling import PROFILED, StepProfile, profile_table
from search_spaces.next_action import NextActionDataPreparator, NextActionLightningModule
from tuner.config import Precision
from tuner.training.fast_paths import accelerate
from tuner.training.precision import products_in, set_precision

DATA = Path(__file__).parents[1].parent / "shared" / "data"
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
WAYS = {
    "cpu": ("stock", "stock_allocator", "ours", "unpadded", "paths"),
    "cuda": ("stock", "ours", "tf32", "bf16", "unpadded", "unpadded_tf32", "unpadded_bf16"),
}
MODELS = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel, "hstu": HSTUModel, "next_action": BERT4RecModel}
LOSSES = {"softmax": 1, "BCE": 1, "gBCE": 128, "sampled_softmax": 128}  # and negatives per target
ROUNDS = {"cpu": 3, "cuda": 2}
WARM_UP = {"cpu": 2, "cuda": 22}  # on a GPU steps of each shape are recorded first
#: Steps of a GPU that are timed as one.
TOGETHER = 10
#: Epochs of several trials at once, after one in which they meet.
PACKED_EPOCHS = 5
BATCH_SIZE = 128
USERS = 2000


@dataclass(frozen=True)
class Source:
    """Data, and the model's size on it."""

    folder: str | None
    session_max_len: int
    n_factors: int


SOURCES = {
    "cpu": {
        "beauty": Source("amazon-beauty-5core", 50, 64),
        "retail": Source("online-retail-uci", 100, 64),
    },
    "cuda": {"synthetic": Source(None, 100, 256)},
}


@dataclass(frozen=True)
class Job:
    """One measurement."""

    model: str
    loss: str
    source: str
    way: str
    device: str
    data: str
    steps: int
    beside: int = 1  # processes that train at once
    meeting: str = ""  # folder in which these meet
    profile: bool = False

    @property
    def case(self) -> str:
        """Name of what is compared between ways."""
        return f"{self.model}/{self.loss}/{self.source}"

    @property
    def environment(self) -> dict[str, str]:
        """Of the process."""
        threads = {"OMP_NUM_THREADS": "1"} if self.device == "cpu" or self.meeting else {}
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if self.device == "cpu" else {}
        return threads | hidden | (ALLOCATOR if self.way in {"stock_allocator", "ours", "unpadded"} else {})


class AllPositionsNextAction(TransformerLightningModule):
    """Next action as in RecTools' guide: the last of the logits of all positions."""

    def get_batch_logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().get_batch_logits(batch)[:, -1:]


class Clock(Callback):
    """Times at which some batches end, and the losses of all."""

    def __init__(self, job: Job) -> None:
        first = WARM_UP[job.device] - 1
        self.at = list(range(first, first + job.steps + 1, TOGETHER if job.device == "cuda" else 1))
        self._ends: list[float | torch.cuda.Event] = []
        self._losses: list[torch.Tensor] = []

    def __deepcopy__(self, _memo: dict[int, object]) -> Clock:
        return self

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002  # Lightning's signature
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        if batch_idx in self.at:
            self._ends.append(mark(str(pl_module.device)))
        assert isinstance(outputs, Mapping), "Lightning's own form of a loss"
        self._losses.append(outputs["loss"].detach())

    @property
    def step(self) -> float:
        """Seconds that a step takes."""
        passed = [seconds(*ends) for ends in pairwise(self._ends)]
        return median((np.array(passed) / np.diff(self.at)).tolist())

    @property
    def losses(self) -> list[float]:
        """Of all steps."""
        return [float(loss) for loss in self._losses]


def mark(device: str) -> float | torch.cuda.Event:
    """Return what `seconds` compares. A GPU is not waited for, since a trial does not wait either."""
    if not device.startswith("cuda"):
        return now(device)
    end = torch.cuda.Event(enable_timing=True)
    end.record()
    return end


def seconds(begin: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
    """Return the seconds between two marks."""
    if isinstance(begin, float):
        return end - begin
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def now(device: str) -> float:
    """Return seconds: of the process on a CPU; of the day on a GPU, when all that was sent to it is done."""
    if not device.startswith("cuda"):
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(job: Job) -> dict[str, Any]:
    """Fit for a few steps and recommend, in this process."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    source = SOURCES[job.device][job.source]
    dataset = load(None if source.folder is None else Path(job.data) / source.folder)
    model, clock = build(job), Clock(job)
    meeting = Meeting(Path(job.meeting), job.beside, at=job.steps)
    looked = StepProfile()
    watch = meeting if job.meeting else looked if job.profile else clock
    model._trainer.callbacks.append(watch)  # type: ignore[attr-defined]  # noqa: SLF001  # as in `tuner.training.fast_paths`
    if job.meeting:
        model._trainer.fit_loop.max_epochs = 1 + PACKED_EPOCHS  # noqa: SLF001
        model._trainer.limit_train_batches = job.steps + 1  # noqa: SLF001
    else:
        model._trainer.limit_train_batches = WARM_UP[job.device] + job.steps  # noqa: SLF001
    paths = None if job.way.startswith("stock") else accelerate(model, unpadded="unpadded" in job.way)
    precision = precision_of(job.way)
    set_precision(model, precision)
    seed_everything(60, workers=True, verbose=False)
    if job.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with products_in(precision):
        model.fit(dataset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if job.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    if job.profile:
        return looked.found
    if job.meeting:
        return {"times": meeting.times, "batches": -(-dataset.user_id_map.size // BATCH_SIZE), "peak": peak}
    return {
        "step": clock.step,
        "losses": clock.losses,
        "recommend": recommended_in(model, dataset, job),
        "peak": peak,
        "paths": list(paths.applied) if paths else [],
        "device": torch.cuda.get_device_name() if job.device == "cuda" else "cpu",
    }


def measured_where(job: Job, before: Path | None) -> dict[str, Any]:
    """Measure in this process or in one of its own, with this code or with that of a checkout."""
    if job.way == "before":
        ours = replace(job, way="ours")
        known = {name: value for name, value in asdict(ours).items() if value != Job.__dict__.get(name)}
        return measured_apart("benchmarks.step", known, ours.environment, before)
    if job.device == "cuda":
        return measure(job)
    return measured_apart("benchmarks.step", asdict(job), job.environment)


def precision_of(way: str) -> Precision:
    """Return the arithmetic of a way."""
    found: Precision = "tf32" if "tf32" in way else "bf16" if "bf16" in way else "float32"
    return found


def recommended_in(model: TransformerModelBase[Any], dataset: Dataset, job: Job) -> float:
    """Return the seconds that lists of 10 for some users take."""
    users = dataset.user_id_map.external_ids[:USERS]
    context = None
    if model.require_recommend_context:
        latest = dataset.interactions.df[Columns.Datetime].max()
        context = pd.DataFrame({Columns.User: users, Columns.Datetime: latest, Columns.Weight: 1.0})
    began = now(job.device)
    model.recommend(users=users, dataset=dataset, k=10, filter_viewed=True, context=context)
    return now(job.device) - began


def build(job: Job) -> TransformerModelBase[Any]:
    """Return the model of a job."""
    source = SOURCES[job.device][job.source]
    modules: dict[str, Any] = {}
    if job.model == "next_action":
        stock = job.way.startswith("stock")
        modules["data_preparator_type"] = NextActionDataPreparator
        modules["lightning_module_type"] = AllPositionsNextAction if stock else NextActionLightningModule
    model: TransformerModelBase[Any] = MODELS[job.model](
        n_blocks=2,
        n_heads=2,
        n_factors=source.n_factors,
        session_max_len=source.session_max_len,
        batch_size=BATCH_SIZE,
        loss=job.loss,
        n_negatives=LOSSES[job.loss],
        epochs=1,
        **modules,
    )
    return model


@cache
def load(folder: Path | None) -> Dataset:
    """Return the data of a folder; without one, sessions like those of a large catalogue, drawn at random."""
    if folder is not None:
        return Dataset.construct(pd.read_parquet(folder / "interactions.parquet"))
    rng = np.random.default_rng(60)
    n_items, lengths = 15_706, rng.geometric(1 / 40, 16_000) + 2
    popularity = 1 / np.arange(1, n_items + 1)
    drawn = rng.choice(n_items, lengths.sum(), p=popularity / popularity.sum())
    drawn[:n_items] = np.arange(n_items)
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: np.repeat(np.arange(len(lengths)), lengths),
                Columns.Item: drawn,
                Columns.Weight: 1.0,
                Columns.Datetime: pd.Timestamp("2024-01-01")
                + pd.to_timedelta(np.arange(len(drawn)), unit="s"),
            }
        )
    )


def packed(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train several at once, for each number of them, and return what they did."""
    numbers = args.packed or (PACKED[:2] if args.quick else PACKED)
    if args.device != "cuda" or not has_mps():
        return [packed_once(args, n, {}) for n in numbers]
    runs = [packed_once(args, n, {}) for n in dict.fromkeys((numbers[0], numbers[-1]))]
    with mps() as environment:
        return runs + [packed_once(args, n, environment) for n in numbers[1:]]


def packed_once(args: argparse.Namespace, n: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Train `n` at once, with a Multi-Process Service if the environment names its folder."""
    steps = 10 if args.quick else 120
    source = next(iter(SOURCES[args.device]))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(n) as pool:
        way = "unpadded_bf16" if args.device == "cuda" else "ours"
        job = Job("sasrec", "softmax", source, way, args.device, str(args.data), steps, n, folder)
        measure_one = partial(
            measured_apart, "benchmarks.step", asdict(job), {**job.environment, **environment}
        )
        found = [one.result() for one in [pool.submit(measure_one) for _ in range(n)]]
    rate = trials_per_hour([one["times"] for one in found], found[0]["batches"])
    name = f"{n}/mps" if environment else str(n)
    peak = sum(one["peak"] for one in found)
    print(f"{name} at once: {rate:.1f} trials an hour, {peak / 2**30:.2f} GB", flush=True)
    return {"packed": name, "trials_per_hour": rate, "peak": peak}


def profiles(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Look into the steps of each case and way, RecTools' own left out."""
    found = []
    for job in jobs(args):
        if job.way != "stock":
            looked = measure(replace(job, steps=PROFILED, profile=True))
            found.append({"case": job.case, "way": job.way, **looked})
    return found


def packed_figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return what was measured of trials at once, by name."""
    found = {}
    if runs:
        found["packed/best"] = round(max(run["trials_per_hour"] for run in runs), 2)
    for run in runs:
        found[f"packed/{run['packed']}"] = round(run["trials_per_hour"], 2)
        found[f"packed/{run['packed']}/gb"] = round(run["peak"] / 2**30, 3)
    return found


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Yield one round's jobs, the ways of a case one after another."""
    steps = (3 if args.quick else 5) * TOGETHER if args.device == "cuda" else (3 if args.quick else 8)
    ways = WAYS[args.device][: 3 if args.quick else None]
    ways = tuple(way for way in ways if way in args.ways) if args.ways else ways
    ways += ("before",) if args.before else ()
    for source in SOURCES[args.device]:
        for model in MODELS:
            for loss in LOSSES:
                for way in ways:
                    job = Job(model, loss, source, way, args.device, str(args.data), steps)
                    is_asked = job.case in args.only if args.only else not args.models or model in args.models
                    if is_asked:
                        yield job


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the ratios, by name."""
    found: dict[str, float] = {}
    for case in dict.fromkeys(run["case"] for run in runs):
        of = by_way(runs, case)
        if not {"stock", "ours"} <= of.keys():
            continue  # broken off

        def ratio(over: str, under: str, what: str, of: dict[str, list[dict[str, Any]]] = of) -> float:
            top, bottom = (median(float(run[what]) for run in of[way]) for way in (over, under))
            return round(top / bottom, 3)

        model, loss, source = case.split("/")
        found[case] = ratio("stock", "ours", "step")
        if "stock_allocator" in of:
            found[f"{case}/allocator"] = ratio("stock_allocator", "ours", "step")
        for way in ("before", "paths", "unpadded", "tf32", "bf16", "unpadded_tf32", "unpadded_bf16"):
            if way in of:
                found[f"{case}/{way}"] = ratio("stock", way, "step")
        if {"before", "unpadded"} <= of.keys():
            found[f"{case}/gain"] = ratio("before", "unpadded", "step")
        found[f"{case}/memory"] = ratio("ours", "stock", "peak")
        if "tf32" in of:
            steps = [median(float(run["step"]) for run in of[way]) for way in of if way != "stock"]
            found[f"{case}/best_ms"] = round(1000 * min(steps), 3)
        if of["ours"][0]["device"] != "cpu":
            found[f"{case}/gb"] = round(median(run["peak"] for run in of["ours"]) / 2**30, 3)
        found[f"{case}/spread"] = round(max(map(spread, of.values())), 3)
        found[f"{case}/loss_difference"] = max(
            abs(a - b) / abs(b)
            for mine in of["ours"]
            for a, b in zip(mine["losses"], of["stock"][0]["losses"], strict=True)
        )
        if loss == "softmax":
            found[f"{model}/recommend/{source}"] = ratio("stock", "ours", "recommend")
    return found


def by_way(runs: list[dict[str, Any]], case: str) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of a case, by way, in the order in which they ran."""
    mine = [run for run in runs if run["case"] == case]
    ways = dict.fromkeys(run["way"] for run in mine)
    return {way: [run for run in mine if run["way"] == way] for way in ways}


def spread(runs: list[dict[str, Any]]) -> float:
    """Return how far the rounds of one way lie apart, relative to their median."""
    steps = [float(run["step"]) for run in runs]
    return (max(steps) - min(steps)) / median(steps)


def table(runs: list[dict[str, Any]], found: dict[str, float]) -> str:
    """Return what was found, for people: medians in ms, and ratios."""
    names = ("memory", "spread")
    ways = dict.fromkeys(run["way"] for run in runs)
    lines = [
        f"{'step, ms':<32}" + "".join(f"{name:>16}" for name in (*ways, "ratio", *names)) + "  loss differs"
    ]
    for case in [name for name in found if f"{name}/memory" in found]:
        of = by_way(runs, case)
        steps = [f"{1000 * median(run['step'] for run in of[way]):.1f}" if way in of else "" for way in ways]
        ratios = [f"{value:.2f}" for value in (found[case], *(found[f"{case}/{name}"] for name in names))]
        cells = "".join(f"{cell:>16}" for cell in (*steps, *ratios))
        lines.append(f"{case:<32}{cells}  {found[f'{case}/loss_difference']:.1e}")
    return "\n".join(lines)


def main() -> None:
    """Measure all, print the table and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=tuple(SOURCES), default="cpu")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--only", nargs="*", default=(), help="cases such as sasrec/softmax/beauty")
    parser.add_argument("--models", nargs="*", default=(), help="such as sasrec hstu")
    parser.add_argument("--rounds", type=int, help="3 on a CPU, 2 on a GPU")
    parser.add_argument("--ways", nargs="*", default=(), help="such as stock ours")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="folder of another commit to compare")
    parser.add_argument(
        "--packed", type=int, nargs="*", help="only trials at once, for these numbers of them or for all"
    )
    parser.add_argument("--profile", action="store_true", help="only where a GPU's steps go")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(measure(Job(**json.loads(args.job)))))
        return
    facts: dict[str, Any] = machine()
    runs: list[dict[str, Any]] = []
    if args.device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
    if args.packed is not None:
        print(packed_figures(packed(args)))
        return
    if args.profile:
        print(profile_table(profiles(args)))
        return
    at_once = packed(args) if args.device == "cuda" and not args.only else []

    def written() -> Path:
        results = {"machine": facts, "quick": args.quick, "figures": figures(runs) | packed_figures(at_once)}
        if at_once:
            results["packed"] = at_once
        return write_results(
            "step" if args.device == "cpu" else f"step_{args.device}", results | {"runs": runs}
        )

    for number in range(1 if args.quick else args.rounds or ROUNDS[args.device]):
        for job in jobs(args):
            measured = measured_where(job, args.before)
            runs.append({"case": job.case, "way": job.way, "round": number, **measured})
            print(f"{job.case:<32} {job.way:<16} {1000 * measured['step']:8.1f} ms", flush=True)
            written()  # a GPU may be taken away at any moment
    print(table(runs, figures(runs)))
    print(written())


if __name__ == "__main__":
    main()
