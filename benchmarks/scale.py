"""Measures how the preparation of data scales: from a file to folds, ours and RecTools' own way.

    python -m benchmarks.scale [--data DIR] [--rounds N] [--only COPIES ...] [--quick]

Online Retail is repeated 1, 4, 16 and 52 times, each time with new users: 0.4 to 20 million interactions.
Both ways read the Parquet file and make two folds of 28 days, each with what its trials read: the train
Dataset, the test interactions with external ids, the test users and the catalog.

- ours: `load_source`, `development`, `make_folds`, and the parts of each `Fold`. This also checks the data,
  counts repeated rows and computes the fingerprint;
- stock: pandas, `Dataset.construct`, the splitter, and for each fold the calls of `cross_validate`.

Each way keeps one fold at a time, as a search and `cross_validate` do. `ratio` is seconds of stock / ours on
the clock, `cpu_ratio` the same in processor time, which other work on the machine changes less. Memory is the
peak of the process minus its memory after the imports; `memory_ratio` is ours / stock.

`last_n_160_s` is the time of 160 folds of the last interactions, from the interactions that were read.
`item_bytes` is what an item of an interaction takes in Ray's object store, and `store_bytes` what the
interaction takes there in all, for all folds together.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import (
    DATA,
    command_line,
    environment,
    machine,
    measured_apart,
    middle_and_spread,
    write_results,
)

WAYS = ("ours", "stock")
COPIES = (1, 4, 16, 52)
#: Copies from which one round is measured.
LARGE = 52
N_FOLDS, SIZE = 2, "28D"
COLUMNS = {"user": "user_id", "item": "item_id", "datetime": "datetime", "weight": "weight"}

#: Train Dataset, test interactions, test users and catalog of a fold.
Prepared = tuple[Any, Any, Any, Any]


def repeat_users(source: Path, target: Path, copies: int) -> int:
    """Write the interactions `copies` times, each time with new users; return their number."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    table = parquet.read_table(source)
    at = table.column_names.index("user_id")
    users = table["user_id"].cast(pa.string())
    schema = table.schema.set(at, pa.field("user_id", pa.string())).remove_metadata()
    with parquet.ParquetWriter(target, schema) as file:
        for copy in range(copies):
            renamed = pc.binary_join_element_wise(users, str(copy), "-")
            file.write_table(table.set_column(at, schema.field(at), renamed).replace_schema_metadata())
    return int(table.num_rows) * copies


def ours(path: str) -> Iterator[Prepared]:
    """Yield what a trial reads of each fold, made in the same way as in a search."""
    from tuner.config import Data, Folds
    from tuner.data.folds import development, make_folds
    from tuner.data.source import load_source

    data = Data.model_validate({"interactions": path, "columns": COLUMNS})
    section = Folds(split="time_range", size=SIZE, n_folds=N_FOLDS, holdout=0)
    for fold in make_folds(development(load_source(data), data, section), section):
        one = fold.alone()
        yield one.train, one.test, one.users, one.catalog


def stock(path: str) -> Iterator[Prepared]:
    """Yield what `cross_validate` makes of each fold, by the same calls."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.model_selection import TimeRangeSplitter

    dataset = Dataset.construct(pd.read_parquet(path))
    splitter = TimeRangeSplitter(SIZE, N_FOLDS)
    for train, test, _ in splitter.split(dataset.interactions, collect_fold_stats=True):
        fold = dataset.filter_interactions(
            row_indexes_to_keep=train, keep_external_ids=True, keep_features_for_removed_entities=True
        )
        tested = dataset.interactions.df.loc[test].copy()
        tested[Columns.User] = dataset.user_id_map.convert_to_external(tested[Columns.User].to_numpy())
        tested[Columns.Item] = dataset.item_id_map.convert_to_external(tested[Columns.Item].to_numpy())
        seen = fold.get_raw_interactions()
        yield fold, tested, tested[Columns.User].unique(), seen[Columns.Item].unique()


def measure(way: str, path: str) -> dict[str, float]:
    """Run one way in this process and measure it."""
    if way == "last_n":
        return last_interactions(path)
    import pyarrow.dataset  # noqa: F401  # imports are not measured
    from rectools.models import SASRecModel  # noqa: F401  # as above

    from tuner.data import folds, source  # noqa: F401  # as above
    from tuner.training.memory import peak_memory, reset_peak

    reset_peak()
    before = peak_memory()
    began, used = time.perf_counter(), time.process_time()
    for prepared in ours(path) if way == "ours" else stock(path):
        del prepared
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return {"seconds": seconds, "cpu": cpu, "peak": peak_memory() - before}


def last_interactions(path: str) -> dict[str, float]:
    """Make 160 folds of the last interactions, and weigh what Ray's object store gets."""
    from tuner.config import Data, Folds
    from tuner.data.folds import development, make_folds
    from tuner.data.source import load_source

    data = Data.model_validate({"interactions": path, "columns": COLUMNS})
    section = Folds(split="last_n", size=1, n_folds=160, holdout=1)
    table = development(load_source(data), data, section)
    began, used = time.perf_counter(), time.process_time()
    folds = make_folds(table, section)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    buffers: list[pickle.PickleBuffer] = []
    inline = pickle.dumps(folds[-3:], protocol=5, buffer_callback=buffers.append)
    size = len(inline) + sum(buffer.raw().nbytes for buffer in buffers)
    return {
        "seconds": seconds,
        "cpu": cpu,
        "item_bytes": folds[-1].table.rows.items.itemsize,
        "store_bytes": size / len(table),
    }


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians for each size, and their ratios."""
    found: dict[str, float] = {}
    per_million: dict[int, float] = {}
    for copies in sorted({run["copies"] for run in runs if run["way"] == "stock"}):
        mine = {way: [run for run in runs if (run["way"], run["copies"]) == (way, copies)] for way in WAYS}
        middle = {
            f"{way}_{key}": float(median(run[key] for run in mine[way]))
            for way in WAYS
            for key in ("seconds", "cpu", "peak")
        }
        millions = mine["ours"][0]["interactions"] / 1e6
        per_million[copies] = middle["ours_cpu"] / millions
        row = {
            "millions": millions,
            "seconds": middle["ours_seconds"],
            "stock_seconds": middle["stock_seconds"],
            "ratio": middle["stock_seconds"] / middle["ours_seconds"],
            "cpu_s": middle["ours_cpu"],
            "stock_cpu_s": middle["stock_cpu"],
            "cpu_ratio": middle["stock_cpu"] / middle["ours_cpu"],
            "memory_gb": middle["ours_peak"] / 1e9,
            "stock_memory_gb": middle["stock_peak"] / 1e9,
            "memory_ratio": middle["ours_peak"] / middle["stock_peak"],
        }
        found |= {f"{name}/x{copies}": round(value, 3) for name, value in row.items()}
    if len(per_million) > 1:
        first, last = list(per_million)[-2:]
        found[f"cpu_growth_x{first}_to_x{last}"] = round(per_million[last] / per_million[first], 3)
    last_n = [run for run in runs if run["way"] == "last_n"]
    if last_n:
        found["last_n_160_s"] = round(float(median(run["seconds"] for run in last_n)), 3)
        found["last_n_160_cpu_s"] = round(float(median(run["cpu"] for run in last_n)), 3)
        found |= {key: round(last_n[0][key], 1) for key in ("item_bytes", "store_bytes")}
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """Return a table of the measurements: the median, the lowest and the highest value."""
    lines = [f"{'data':<6}{'way':<8}{'seconds':>24}{'of a processor':>24}{'peak GB':>22}"]
    for copies, way in dict.fromkeys((run["copies"], run["way"]) for run in runs):
        mine = [run for run in runs if (run["copies"], run["way"]) == (copies, way)]
        seconds, cpu = (middle_and_spread([run[key] for run in mine]) for key in ("seconds", "cpu"))
        peak = middle_and_spread([run.get("peak", 0) / 1e9 for run in mine])
        lines.append(f"x{copies:<5}{way:<8}{seconds:>24}{cpu:>24}{peak:>22}")
    return "\n".join(lines)


def main() -> None:
    """Measure both ways in turns, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="+", default=COPIES, metavar="COPIES")
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(**arguments.job)))
        return
    facts, runs = machine(), []
    source = arguments.data / "online-retail-uci" / "interactions.parquet"
    with tempfile.TemporaryDirectory() as name:
        for copies in COPIES[:1] if arguments.quick else arguments.only:
            path = Path(name) / f"x{copies}.parquet"
            size = {"copies": copies, "interactions": repeat_users(source, path, copies)}
            rounds = 1 if arguments.quick or copies >= LARGE else arguments.rounds
            for number in range(rounds):
                for way in (*WAYS, "last_n") if copies == COPIES[0] else WAYS:
                    job = {"way": way, "path": str(path)}
                    measured = measured_apart("benchmarks.scale", job, environment())
                    runs.append({"way": way, **size, "round": number, **measured})
                    print(f"x{copies} {way}: {measured['seconds']:.1f} s", file=sys.stderr, flush=True)
            path.unlink()
            results = {"machine": facts, "quick": arguments.quick, "figures": figures(runs), "runs": runs}
            place = write_results("scale", results)
    print(table(runs))
    print(place)


if __name__ == "__main__":
    main()
