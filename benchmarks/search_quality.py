"""What a search must spend to find as good a model: searches replayed on recorded curves.

    python -m benchmarks.search_quality [--seeds 100] [--workers 4] [--only NAME ...] [--quick]

Nothing is trained: `benchmarks/recorded/retail.npz` has what each of its configurations gave at every epoch
of every fold, and when (see `benchmarks.record_table`). Each contender searches it once with each seed, with
a virtual clock and so many workers, until the best configuration is complete or all have run or were stopped
(see `benchmarks.replay`).

It has *reached* the best once a trial with all its folds is within 1 % of the table's best validation score.
Compute is in worker-seconds, as a share of what running the whole table takes. `missed` is the share of the
seeds in which it never reached it, which count as infinite compute; `regret` the mean of how far below the
table's best its own best is at the end. `compute_vs_random` and the others are ratios of medians and of 90th
percentiles over the seeds, ours over the other's; `stock` is the better one of Ray's two ways. With rules
switched off, ours is searched with the first 30 seeds.

Prints a table and writes benchmarks/results/search_quality.json, and draws search_quality.svg beside it. With
`--only`, `--keep` takes the runs of other contenders over from the last result.
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

#: How far below the table's best, as a share of it, is as good.
CLOSE = 0.01
QUANTILES = {"p10": 10, "p25": 25, "median": 50, "p75": 75, "p90": 90}

Make = Callable[[Table, Space, int], Contender]


def _random(table: Table, _space: Space, seed: int) -> Contender:
    return RandomOrder(table, seed)


def _ours(halving: Halving | None, race: Race | None, *, sampler: str = "tpe") -> Make:
    return partial(Ours, stopping=Stopping(halving=halving, race=race), sampler=Sampler(use=sampler))


#: By name; `stock` is Ray's OptunaSearch with ASHA.
CONTENDERS: dict[str, Make] = {
    "random": _random,
    "stock, fold by fold": partial(Stock, lockstep=False),
    "stock, folds in lockstep": partial(Stock, lockstep=True),
    "ours": _ours(Halving(), Race()),
    "ours, halving alone": _ours(Halving(), None),
    "ours, race alone": _ours(None, Race()),
    "ours, TPE alone": _ours(None, None),
    "ours, random with both rules": _ours(Halving(), Race(), sampler="random"),
}
STOCK = tuple(name for name in CONTENDERS if name.startswith("stock"))
#: Seeds of the contenders of which no ratio is wanted.
FEWER_SEEDS = 30


@dataclass(frozen=True)
class Outcome:
    """What one search came to.

    Attributes
    ----------
    reached
        Compute until a complete trial was close to the best, as a share of the whole table's; inf: never.
    regret
        How far below the table's best its own best was at the end, as a share.
    """

    reached: float
    regret: float

    def to_plain(self) -> dict[str, float | None]:
        """Return it as JSON types, which know no infinity."""
        return {"reached": self.reached if self.reached < math.inf else None, "regret": self.regret}

    @classmethod
    def from_plain(cls, plain: Mapping[str, float | None]) -> Outcome:
        """Read what `to_plain` gave."""
        reached = plain["reached"]
        return cls(math.inf if reached is None else reached, plain["regret"] or 0.0)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4, help="of the virtual cluster")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="of this machine")
    parser.add_argument("--table", default="retail", help="that is searched, of benchmarks/recorded")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument(
        "--keep",
        nargs="+",
        choices=CONTENDERS,
        default=[],
        metavar="NAME",
        help="take their runs over from the last result: nothing is random but for the seed",
    )
    arguments = parser.parse_args()
    seeds = range(4 if arguments.quick else arguments.seeds)
    facts, table = machine(), _table(arguments.table)
    settings = {"configurations": len(table), "seeds": len(seeds), "virtual workers": arguments.workers}
    kept = last_runs(arguments.keep, settings) if arguments.keep else {}
    jobs = [(name, seed) for name in arguments.only for seed in seeds if seed < n_seeds(name)]
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(partial(search, name=arguments.table, n_workers=arguments.workers), jobs))
    runs: dict[str, list[Outcome]] = {name: [] for name in arguments.only}
    runs |= kept
    for (name, _), outcome in zip(jobs, outcomes, strict=True):
        runs[name].append(outcome)
    found = figures(runs)
    print("\n".join(f"{name:<42}{value:>10g}" for name, value in found.items()))
    if {"ours", "random", *STOCK} <= runs.keys() and arguments.table == "retail":
        if kept:
            settings["of the contenders taken over from the run before"] = len(kept)
        raw = {name: [one.to_plain() for one in outcomes] for name, outcomes in runs.items()}
        result = {"machine": facts, "quick": arguments.quick, "settings": settings, "figures": found}
        print(write_results("search_quality", {**result, "runs": raw}))
        drawn = {name: [one.reached for one in outcomes] for name, outcomes in runs.items()}
        (RESULTS / "search_quality.svg").write_text(draw(drawn), encoding="utf-8")


def last_runs(names: Sequence[str], settings: Mapping[str, object]) -> dict[str, list[Outcome]]:
    """Return the runs of some contenders in the last result, which must have been made alike."""
    last = json.loads((RESULTS / "search_quality.json").read_text(encoding="utf-8"))
    if any(last["settings"].get(key) != value for key, value in settings.items()):
        msg = f"the last result must be of {settings}, but is of {last['settings']}"
        raise SystemExit(msg)
    return {name: [Outcome.from_plain(one) for one in last["runs"][name]] for name in names}


def n_seeds(name: str) -> float:
    """Return the most seeds that a contender searches with."""
    return math.inf if name in {"ours", "random", *STOCK} else FEWER_SEEDS


def search_space(table: Table) -> Space:
    """Return the space that a table was drawn from."""
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
    """Let a contender search the recorded table of a name with a seed."""
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
    """Return the figures of each contender, and the ratios that are wanted."""
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
    """Return the compute within which so many percent of the searches had reached the best; inf: never."""
    return float(np.percentile([one.reached for one in outcomes], percent, method="higher"))


def missed(outcomes: Sequence[Outcome]) -> float:
    """Return the share of the searches that never reached the best."""
    return round(float(np.mean([one.reached == math.inf for one in outcomes])), 4)


def regret(outcomes: Sequence[Outcome]) -> float:
    """Return the mean of how far below the best they ended."""
    return round(float(np.mean([one.regret for one in outcomes])), 6)


def _ratio(ours: Sequence[Outcome], others: Sequence[Outcome], percent: float) -> float:
    """Return ours over the others' at a percentile; a search that never ends is beaten by any that does."""
    mine, theirs = quantile(ours, percent), quantile(others, percent)
    return round(mine / theirs, 3) if mine < math.inf else math.inf


if __name__ == "__main__":
    main()
