"""Measures the compute that a search needs to find a good model, by replays of recorded learning curves.

    python -m benchmarks.search_quality [--seeds 100] [--workers 4] [--only NAME ...] [--quick]

Nothing is trained. `benchmarks/recorded/retail.npz` has the objective and the time of each configuration at
every epoch of every fold (see `benchmarks.record_table`). Each contender searches the table once with each
seed, with a virtual clock and virtual workers. A search ends when the best configuration is complete, or when
all configurations have run or were stopped (see `benchmarks.replay`).

A search has *reached* the best when a complete trial is within 1 % of the table's best validation score.

- Compute is in worker-seconds, as a share of the compute for the whole table.
- `missed` is the share of the seeds with which the search never reached the best. They count as infinite
compute.
- `regret` is how far the search's best is below the table's best at the end, as a mean.
- `compute_vs_random` and the others are ratios (ours / other) of medians and of 90th percentiles over the
seeds.
  `stock` is the better one of Ray's two ways.
- Variants of ours with a rule switched off use only the first 30 seeds.

It prints a table, writes benchmarks/results/search_quality.json, and draws search_quality.svg beside it. With
`--only`, `--keep` copies the runs of other contenders from the last result.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context

import numpy as np

from benchmarks.measuring import RESULTS, command_line, machine, write_results
from benchmarks.recording import Table, load_table, table_path
from benchmarks.replay import Contender, Ours, RandomOrder, Stock, replay
from benchmarks.shares import draw
from tuner.config import Halving, Race, Sampler, Stopping, study_from_mapping
from tuner.preparation.prepare import study_space
from tuner.space import Space

#: Distance from the table's best, as a share of it, at which a trial counts as equally good.
CLOSE = 0.01
QUANTILES = {"p10": 10, "p25": 25, "median": 50, "p75": 75, "p90": 90}

Make = Callable[[Table, Space, int], Contender]


def _random(table: Table, _space: Space, seed: int) -> Contender:
    return RandomOrder(table, seed)


def _ours(halving: Halving | None, race: Race | None, *, sampler: str = "tpe") -> Make:
    return partial(Ours, stopping=Stopping(halving=halving, race=race), sampler=Sampler(use=sampler))


#: Contenders by name; `stock` is Ray's OptunaSearch with ASHA.
CONTENDERS: dict[str, Make] = {
    "random": _random,
    "stock, fold by fold": partial(Stock, lockstep=False),
    "stock, folds in lockstep": partial(Stock, lockstep=True),
    "ours": _ours(Halving(), Race()),
    "ours, model": _ours(Halving(), Race(), sampler="model"),
    "ours, halving alone": _ours(Halving(), None),
    "ours, race alone": _ours(None, Race()),
    "ours, TPE alone": _ours(None, None),
    "ours, random with both rules": _ours(Halving(), Race(), sampler="random"),
}
STOCK = tuple(name for name in CONTENDERS if name.startswith("stock"))
#: Number of seeds of the contenders for which no ratio is computed.
FEWER_SEEDS = 30


@dataclass(frozen=True)
class Outcome:
    """Result of one search.

    Attributes
    ----------
    reached
        Compute until the best was reached, as a share of the compute for the whole table; inf if it never
        was.
    regret
        How far the search's best was below the table's best at the end, as a share of the table's best.
    """

    reached: float
    regret: float

    def to_plain(self) -> dict[str, float | None]:
        """Return it as JSON types. JSON has no infinity, so it becomes None."""
        return {"reached": self.reached if self.reached < math.inf else None, "regret": self.regret}

    @classmethod
    def from_plain(cls, plain: Mapping[str, float | None]) -> Outcome:
        """Return the outcome of a dictionary that `to_plain` made."""
        reached = plain["reached"]
        return cls(math.inf if reached is None else reached, plain["regret"] or 0.0)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4, help="number of workers of the virtual cluster")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="number of processes to use")
    parser.add_argument("--table", default="retail", help="table in benchmarks/recorded to search")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument(
        "--keep",
        nargs="+",
        choices=CONTENDERS,
        default=[],
        metavar="NAME",
        help="copy the runs of these contenders from the last result; a run depends only on its seed",
    )
    arguments = parser.parse_args()
    seeds = range(4 if arguments.quick else arguments.seeds)
    facts, table = machine(), _table(arguments.table)
    settings = {"configurations": len(table), "seeds": len(seeds), "virtual workers": arguments.workers}
    copied = last_runs(arguments.keep, settings) if arguments.keep else {}
    jobs = [(name, seed) for name in arguments.only for seed in seeds if seed < n_seeds(name)]
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(partial(search, name=arguments.table, n_workers=arguments.workers), jobs))
    runs: dict[str, list[Outcome]] = {name: [] for name in arguments.only}
    runs |= copied
    for (name, _), outcome in zip(jobs, outcomes, strict=True):
        runs[name].append(outcome)
    found = figures(runs)
    print("\n".join(f"{name:<42}{value:>10g}" for name, value in found.items()))
    if {"ours", "random", *STOCK} <= runs.keys() and arguments.table == "retail":
        if copied:
            settings["contenders copied from the last result"] = len(copied)
        raw = {name: [one.to_plain() for one in outcomes] for name, outcomes in runs.items()}
        result = {"machine": facts, "quick": arguments.quick, "settings": settings, "figures": found}
        print(write_results("search_quality", {**result, "runs": raw}))
        drawn = {name: [one.reached for one in outcomes] for name, outcomes in runs.items()}
        (RESULTS / "search_quality.svg").write_text(draw(drawn), encoding="utf-8")


def last_runs(names: Sequence[str], settings: Mapping[str, object]) -> dict[str, list[Outcome]]:
    """Return the runs of some contenders from the last result, which must have the same settings."""
    last = json.loads((RESULTS / "search_quality.json").read_text(encoding="utf-8"))
    if any(last["settings"].get(key) != value for key, value in settings.items()):
        msg = f"the last result must be of {settings}, but is of {last['settings']}"
        raise SystemExit(msg)
    return {name: [Outcome.from_plain(one) for one in last["runs"][name]] for name in names}


def n_seeds(name: str) -> float:
    """Return the largest number of seeds that a contender uses."""
    return math.inf if name in {"ours", "random", *STOCK} else FEWER_SEEDS


def search_space(table: Table) -> Space:
    """Return the space from which the configurations of a table were drawn."""
    study = table.facts["study"]
    data = {"interactions": "not read", **study["data"]}
    return study_space(study_from_mapping({**study, "data": data}))


@cache
def _table(name: str) -> Table:
    return load_table(table_path(name))


@cache
def _space(name: str) -> Space:
    return search_space(_table(name))


def search(job: tuple[str, int], name: str, n_workers: int) -> Outcome:
    """Let a contender search a recorded table with a seed. A job is the contender's name and the seed."""
    contender, seed = job
    return outcome_of(_table(name), CONTENDERS[contender](_table(name), _space(name), seed), n_workers)


def outcome_of(table: Table, contender: Contender, n_workers: int) -> Outcome:
    """Let a contender search a table."""
    best, whole = float(table.scores.max()), float(table.seconds[:, -1, -1].sum())
    reached, found = math.inf, 0.0
    for spent, row in replay(contender, n_workers):
        found = max(found, float(table.scores[row]))
        if found >= (1 - CLOSE) * best:
            reached = min(reached, spent / whole)
        if found == best:
            break
    return Outcome(round(reached, 5), round((best - found) / best, 6))


def figures(runs: Mapping[str, Sequence[Outcome]]) -> dict[str, float]:
    """Return the figures of each contender, and the ratios."""
    found: dict[str, float] = {}
    if {"ours", "random", *STOCK} <= runs.keys():
        ours = runs["ours"]
        stock = min((runs[name] for name in STOCK), key=lambda outcomes: quantile(outcomes, 50))
        for name, other in (("random", runs["random"]), ("stock", stock)):
            found[f"compute_vs_{name}"] = _ratio(ours, other, 50)
            found[f"compute_vs_{name}_p90"] = _ratio(ours, other, 90)
        found |= {"missed": missed(ours), "regret": regret(ours)}
    for name, outcomes in runs.items():
        shares = {label: quantile(outcomes, at) for label, at in QUANTILES.items()}
        found |= {f"{name}/{label}": round(value, 3) for label, value in shares.items() if value < math.inf}
        found[f"{name}/missed"], found[f"{name}/regret"] = missed(outcomes), regret(outcomes)
    return found


def quantile(outcomes: Sequence[Outcome], percent: float) -> float:
    """Return the compute within which `percent` of the searches reached the best; inf if fewer reached it."""
    return float(np.percentile([one.reached for one in outcomes], percent, method="higher"))


def missed(outcomes: Sequence[Outcome]) -> float:
    """Return the share of the searches that never reached the best."""
    return round(float(np.mean([one.reached == math.inf for one in outcomes])), 4)


def regret(outcomes: Sequence[Outcome]) -> float:
    """Return the mean regret of searches."""
    return round(float(np.mean([one.regret for one in outcomes])), 6)


def _ratio(ours: Sequence[Outcome], others: Sequence[Outcome], percent: float) -> float:
    """Return ours / theirs at a percentile of the compute; inf if ours is infinite."""
    mine, theirs = quantile(ours, percent), quantile(others, percent)
    return round(mine / theirs, 3) if mine < math.inf else math.inf


if __name__ == "__main__":
    main()
