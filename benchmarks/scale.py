"""Measures how the preparation of data scales: seconds and memory per million interactions, ours and stock.

    python -m benchmarks.scale [--data DIR] [--rounds N] [--quick]

Online Retail is repeated 1, 4 and 16 times, each time with new users. Both ways read the Parquet file, make
two folds of 28 days, and build the loader of training batches for each fold:

- ours: `load_source`, `development_dataset`, `make_folds`, then a SASRec with the fast paths;
- stock: pandas, `Dataset.construct`, the same splitter, `filter_interactions` for the data set of each fold,
  and the test interactions with their external ids, as in `cross_validate`; then a plain SASRec.

`prepare_s_per_million/x16` is ours, `stock_s_per_million/x16` is RecTools', and `ratio/x16` is stock / ours.
The `loader` figures are the part of the loaders in each. Memory is in GB per million: the peak of the process
minus its memory after the imports. `memory_ratio` is ours / stock. Ours also checks the data and computes
their fingerprint.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import (
    DATA,
    command_line,
    environment,
    machine,
    measured_apart,
    middle_and_spread,
    write_results,
)

if TYPE_CHECKING:
    from rectools.dataset import Dataset

WAYS = ("ours", "stock")
COPIES = (1, 4, 16)
N_FOLDS, SIZE = 2, "28D"


def repeat_users(source: Path, target: Path, copies: int) -> None:
    """Write the interactions `copies` times, each time with new users."""
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


def ours(path: str) -> Iterator[Prepared]:
    """Yield what a trial reads of each fold, made in the same way as in a search."""
    from tuner.config import Data, Folds
    from tuner.data.folds import development, make_folds
    from tuner.data.source import load_source

    data = Data.model_validate({"interactions": path, "columns": {**COLUMNS, "weight": "weight"}})
    section = Folds(split="time_range", size=SIZE, n_folds=N_FOLDS, holdout=0)
    for fold in make_folds(development(load_source(data), data, section), section):
        one = fold.alone()
        yield one.train, one.test, one.users, one.catalog


def stock(path: str) -> Iterator[Prepared]:
    """Yield what `cross_validate` makes of each fold, in its own words."""
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


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians per million interactions, and their ratios."""
    found: dict[str, float] = {}
    for copies in dict.fromkeys(run["copies"] for run in runs):

        def per_million(way: str, key: str, copies: int = copies) -> float:
            mine = [run for run in runs if (run["way"], run["copies"]) == (way, copies)]
            return float(median(run[key] for run in mine)) / (mine[0]["interactions"] / 1e6)

        seconds, stock_seconds = (per_million(way, "seconds") for way in WAYS)
        memory, stock_memory = (per_million(way, "peak") / 1e9 for way in WAYS)
        row = {
            "prepare_s_per_million": seconds,
            "stock_s_per_million": stock_seconds,
            "ratio": stock_seconds / seconds,
            "loader_s_per_million": per_million("ours", "loader"),
            "stock_loader_s_per_million": per_million("stock", "loader"),
            "memory_gb_per_million": memory,
            "stock_memory_gb_per_million": stock_memory,
            "memory_ratio": memory / stock_memory,
        }
        found |= {f"{name}/x{copies}": round(value, 3) for name, value in row.items()}
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """Return a table of the measurements: the median, the lowest and the highest value."""
    lines = [f"{'data':<6}{'way':<8}{'seconds':>24}{'of these loaders':>24}{'peak GB':>22}"]
    for copies, way in dict.fromkeys((run["copies"], run["way"]) for run in runs):
        mine = [run for run in runs if (run["copies"], run["way"]) == (copies, way)]
        seconds, loader = (middle_and_spread([run[key] for run in mine]) for key in ("seconds", "loader"))
        peak = middle_and_spread([run["peak"] / 1e9 for run in mine])
        lines.append(f"x{copies:<5}{way:<8}{seconds:>24}{loader:>24}{peak:>22}")
    return "\n".join(lines)


def main() -> None:
    """Measure both ways in turns, print the table and write the results."""
    import pyarrow.parquet

    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(**arguments.job)))
        return
    facts, runs = machine(), []
    source = arguments.data / "online-retail-uci" / "interactions.parquet"
    with tempfile.TemporaryDirectory() as name:
        for copies in COPIES[:1] if arguments.quick else COPIES:
            path = Path(name) / f"x{copies}.parquet"
            repeat_users(source, path, copies)
            size = {"copies": copies, "interactions": pyarrow.parquet.read_metadata(path).num_rows}
            for number in range(1 if arguments.quick else arguments.rounds):
                for way in WAYS:
                    job = {"way": way, "path": str(path)}
                    measured = measured_apart("benchmarks.scale", job, environment())
                    runs.append({"way": way, **size, "round": number, **measured})
                    print(f"x{copies} {way}: {measured['seconds']:.1f} s", file=sys.stderr, flush=True)
    print(table(runs))
    results = {"machine": facts, "quick": arguments.quick, "figures": figures(runs), "runs": runs}
    print(write_results("scale", results))


if __name__ == "__main__":
    main()
