"""Measures the compute that a search needs to find a good model, by replays of recorded learning curves.

    python -m benchmarks.search_quality [--table NAME_OR_FILE ...] [--seeds 100] [--fewer 30]
        [--workers 4 1 16] [--budgets 8 16 30] [--only NAME ...] [--keep NAME ...] [--out JSON] [--quick]

Nothing is trained. A table (`benchmarks/recorded/*.npz`, see `benchmarks.record_table`) has the objective and
the time of each configuration at every epoch of every fold. Each contender searches each table once with each
seed, with a virtual clock and virtual workers. A search ends when the best configuration is complete, or when
all configurations have run or were stopped (see `benchmarks.replay`). Each table is also searched as
sub-tables: 60 % of its rows, drawn anew for each seed.

A search has *reached* the best when a complete trial is within 1 % of the table's best validation score;
names that end in `_3` are for 3 %.

- Compute is in worker-seconds, as a share of the compute for the whole table.
- `missed` is the share of the seeds with which the search never reached the best. They count as infinite
  compute.
- `regret` is how far the search's best is below the table's best at the end, as a mean.
- `compute_vs_random` and the others are ratios (ours / other) of medians and of 90th percentiles over the
  seeds. `stock` is the better one of Ray's two ways, at each quantile. Without a table's name, a figure is
  that of the worst table.
- `divided by ours` is a contender's compute divided by ours over the same seeds: medians, 90th percentiles.
- `low` to `high` are 95 % intervals over the seeds, by the bootstrap.
- With 1 and 16 workers, for variants of ours, and for small searches, only the first `--fewer` seeds are
  used.
- `TABLE, 8 trials/regret_NAME` is the mean regret of a search of so many trials.

It prints the ratios, and writes benchmarks/results/search_quality.json or `--out`. If it searched all
recorded tables, it also draws search_quality.svg. `--keep` copies the runs of some contenders from the last
result, and only searches with further seeds are made: a run depends only on its table, its workers and its
seed. So a result can grow in several runs of the command, and a run that is cut off is not lost.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.contenders import COMPARED, CONTENDERS, STOCK
from benchmarks.make_priors import prior_without
from benchmarks.measuring import RESULTS, command_line, machine
from benchmarks.quality import (
    CLOSE,
    Outcome,
    against,
    details,
    finite,
    from_text,
    geometric_mean,
    ratios,
    sub_rows,
    to_text,
)
from benchmarks.recording import Table, load_table, table_path
from benchmarks.replay import Contender, replay
from benchmarks.shares import draw
from tuner.config import study_from_mapping
from tuner.preparation.prepare import study_space
from tuner.space import Space

_Of = TypeVar("_Of")
#: Number of workers of the main figures, and of the others.
WORKERS, OTHER_WORKERS = 4, (1, 16)
#: Numbers of trials of small searches.
BUDGETS = (8, 16, 30)
#: Number of seeds of what is not in the main figures.
FEWER_SEEDS = 30
#: Seconds after which the result is written again while a case runs.
WRITTEN_SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """A table, as a whole or as sub-tables, and the number of workers.

    Attributes
    ----------
    path
        File of the table.
    sub
        Whether each seed has a sub-table of its own.
    workers
        Number of workers of the virtual cluster.
    trials
        Number of trials of a search; None for all rows.
    """

    path: Path
    sub: bool
    workers: int
    trials: int | None = None

    def __str__(self) -> str:
        workers = {WORKERS: "", 1: ", 1 worker"}.get(self.workers, f", {self.workers} workers")
        trials = f", {self.trials} trials" if self.trials else ""
        return f"{self.path.stem}{', 60 %' if self.sub else ''}{workers}{trials}"

    def seeds(self, contender: str, wanted: int, fewer: int) -> range:
        """Return the seeds of a contender: none for variants of ours outside the main figures.

        `wanted` is the number of seeds of the main figures, and `fewer` that of all others.
        """
        if self.trials and contender == "1-Epoch":
            return range(0)
        main = self.workers == WORKERS and not self.trials
        if contender in COMPARED:
            return range(wanted if main else min(wanted, fewer))
        return range(min(wanted, fewer) if main and not self.sub else 0)


def main() -> None:
    """Run the searches and write the results."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--table",
        nargs="+",
        type=_path,
        default=recorded(),
        help="tables: names in benchmarks/recorded, or files",
    )
    parser.add_argument("--seeds", type=int, default=100, help="seeds of the main figures")
    parser.add_argument("--fewer", type=int, default=FEWER_SEEDS, help="seeds of all other figures")
    parser.add_argument("--workers", type=int, nargs="*", default=[WORKERS, *OTHER_WORKERS])
    parser.add_argument("--budgets", type=int, nargs="*", default=BUDGETS, help="numbers of trials")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="number of processes to use")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--keep", nargs="+", choices=CONTENDERS, default=[], metavar="NAME", help="copy runs")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "search_quality.json", help="file of the result"
    )
    arguments = parser.parse_args()
    wanted = 4 if arguments.quick else arguments.seeds
    asked = cases_of(arguments.table, arguments.workers, arguments.budgets)
    order = dict.fromkeys((*cases_of(recorded(), (WORKERS, *OTHER_WORKERS), BUDGETS), *asked))
    last = last_runs(arguments.out, arguments.keep)
    runs = {case: last.get(str(case), {}) for case in order}
    facts = {"machine": machine(), "quick": arguments.quick}
    if any(runs.values()):
        write(arguments.out, facts, runs)
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for case in asked:
            n_seeds, written = (wanted, arguments.fewer), time.monotonic()
            for found in run_case(pool.map, case, arguments.only, n_seeds, runs[case]):
                runs[case] = found
                if time.monotonic() - written > WRITTEN_SECONDS:
                    write(arguments.out, facts, runs)
                    written = time.monotonic()
            write(arguments.out, facts, runs)
            print(case, finite((regrets if case.trials else case_figures)(runs[case])), flush=True)
    if set(arguments.table) == set(recorded()):
        drawn = reached_on_all(runs)
        (RESULTS / "search_quality.svg").write_text(draw(drawn), encoding="utf-8")


def write(path: Path, facts: Mapping[str, Any], runs: Mapping[Case, Mapping[str, Sequence[Outcome]]]) -> None:
    """Write the result of the runs so far."""
    result = {**facts, **summary({case: of for case, of in runs.items() if of})}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def cases_of(tables: Sequence[Path], workers: Iterable[int], budgets: Iterable[int]) -> list[Case]:
    """Return the cases of some tables: each also as sub-tables, and small searches of each."""
    whole = [Case(path, sub, n) for n in workers for path in tables for sub in (False, True)]
    return [*whole, *(Case(path, False, WORKERS, n) for n in budgets for path in tables)]


def recorded() -> list[Path]:
    """Return the tables in benchmarks/recorded."""
    return sorted(table_path("any").parent.glob("*.npz"))


def _path(name: str) -> Path:
    """Return the file of a table that is given by its name or its path."""
    return Path(name).resolve() if name.endswith(".npz") else table_path(name)


def last_runs(path: Path, keep: Sequence[str]) -> dict[str, dict[str, list[Outcome]]]:
    """Return the runs of some contenders from the last result, by case and contender."""
    if not keep:
        return {}
    raw = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return {
        case: {name: from_text(of[name]) for name in CONTENDERS if name in keep and name in of}
        for case, of in raw.items()
    }


def run_case(
    run: Callable[..., Iterator[Outcome]],
    case: Case,
    contenders: Sequence[str],
    n_seeds: tuple[int, int],
    known: Mapping[str, Sequence[Outcome]],
) -> Iterator[dict[str, list[Outcome]]]:
    """Yield the outcomes of all contenders in a case, by name, after each search: first those of low seeds.

    Parameters
    ----------
    run
        A function as `map`.
    case, contenders
        What is searched, and by whom.
    n_seeds
        Number of seeds of the main figures, and of all others.
    known
        Outcomes of earlier runs with the first seeds. Only searches with further seeds are made.
    """
    found = {name: list(known.get(name, ())) for name in CONTENDERS}
    jobs = []
    for name in contenders:
        seeds = case.seeds(name, *n_seeds)
        found[name] = found[name][: len(seeds)]
        jobs += [(name, seed) for seed in seeds[len(found[name]) :]]
    jobs.sort(key=itemgetter(1))  # so that all contenders have about as many seeds when a run is cut off
    yield {name: of for name, of in found.items() if of}
    for (name, _), outcome in zip(jobs, run(partial(search, case=case), jobs), strict=True):
        found[name].append(outcome)
        yield {name: of for name, of in found.items() if of}


def summary(runs: Mapping[Case, Mapping[str, Sequence[Outcome]]]) -> dict[str, Any]:
    """Return the parts of the result that depend on the runs: settings, figures, rows, details, the runs."""
    by_case = {case: case_figures(of) for case, of in runs.items() if not case.trials}
    figures = finite(worst(by_case))
    for case, of in runs.items():
        if case.trials:
            figures |= {f"{case}/{name}": value for name, value in finite(regrets(of)).items()}
    for case, of_case in by_case.items():
        figures |= {f"{case}/{name}": value for name, value in finite(of_case).items()}
    found = [(case, name, details(outcomes)) for case, of in runs.items() for name, outcomes in of.items()]
    raw = {str(case): {name: to_text(outcomes) for name, outcomes in of.items()} for case, of in runs.items()}
    compared = {
        case: {name: of[name] for name in COMPARED if name in of} for case, of in by_main(runs).items()
    }
    return {
        "settings": {"(main figures)": seeds_of(compared), "(all others, at least)": seeds_of(runs)},
        "figures": figures,
        "rows": [shown(case, name, of, runs[case]) for case, name, of in found if _is_main(case)],
        "details": [
            {"case": str(case), "contender": name, "seeds": len(runs[case][name]), **finite(of, 4)}
            for case, name, of in found
        ],
        "runs": raw,
    }


def seeds_of(runs: Mapping[Case, Mapping[str, Sequence[Outcome]]]) -> str:
    """Return the smallest number of seeds of each table, as text."""
    found: dict[str, int] = {}
    for case, of in runs.items():
        if not of:
            continue
        least = min(len(outcomes) for outcomes in of.values())
        found[case.path.stem] = min(least, found.get(case.path.stem, least))
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))} seeds"
    return ", ".join(f"{n} seeds of {name}" for name, n in found.items())


def by_main(runs: Mapping[Case, _Of]) -> dict[Case, _Of]:
    """Return the cases of the main figures."""
    return {case: of for case, of in runs.items() if case.workers == WORKERS and not case.trials}


def _is_main(case: Case) -> bool:
    return case.workers == WORKERS and not case.sub and not case.trials


def shown(
    case: Case, contender: str, figures: Mapping[str, float], runs: Mapping[str, Sequence[Outcome]]
) -> dict[str, str]:
    """Return a contender's figures in a case as a row of a table for people."""
    ours = runs.get("ours", ())
    by_ours = against(runs[contender], ours) if ours and contender != "ours" else ()

    def text(name: str) -> str:
        return f"{figures[name]:.3f}" if figures[name] < math.inf else "never"

    return {
        "table": str(case),
        "contender": contender,
        "seeds": str(len(runs[contender])),
        "median": f"{text('median')} ({text('median_low')} to {text('median_high')})",
        "90th percentile": f"{text('p90')} ({text('p90_low')} to {text('p90_high')})",
        "within 3 %": f"{text('median_3')}, {text('p90_3')}",
        "missed": f"{figures['missed']:.0%}",
        "regret": f"{figures['regret']:.4f}",
        "divided by ours": ", ".join(f"{of:.2f}" if math.isfinite(of) else "never" for of in by_ours),
    }


def case_figures(runs: Mapping[str, Sequence[Outcome]]) -> dict[str, float]:
    """Return the ratios of a case; none if a contender that they need did not run."""
    if not set(COMPARED) <= runs.keys():
        return {}
    return ratios(runs["ours"], runs["random"], [runs[name] for name in STOCK])


def regrets(runs: Mapping[str, Sequence[Outcome]]) -> dict[str, float]:
    """Return the mean regret at the end of a small search, by contender; of stock's ways, the better one."""
    found = {name: details(of)["regret"] for name, of in runs.items() if name in COMPARED}
    stock = [found.pop(name) for name in STOCK if name in found]
    return {f"regret_{name}": value for name, value in found.items()} | (
        {"regret_stock": min(stock)} if stock else {}
    )


def worst(by_case: Mapping[Case, Mapping[str, float]]) -> dict[str, float]:
    """Return the ratios of the worst table, and geometric means over all tables and their sub-tables.

    They are for the main number of workers.
    """
    main = {case: of for case, of in by_main(by_case).items() if of}
    whole = [of for case, of in main.items() if not case.sub]
    if not whole:
        return {}
    found: dict[str, float] = {}
    for ending in ("", "_p90"):
        name = f"compute_vs_stock{ending}"
        found[name] = max(of[name] for of in whole)
        found[f"{name}_mean"] = geometric_mean([of[name] for of in main.values()])
    found["missed"] = max(of["missed"] for of in main.values())
    return found


def reached_on_all(runs: Mapping[Case, Mapping[str, Sequence[Outcome]]]) -> dict[str, list[float]]:
    """Return the compute until the best was reached on all whole tables together, by contender."""
    found: dict[str, list[float]] = {}
    for case, of in runs.items():
        if _is_main(case):
            for name in COMPARED:
                found.setdefault(name, []).extend(one.reached[0] for one in of.get(name, ()))
    return found


def search_space(table: Table) -> Space:
    """Return the space from which the configurations of a table were drawn."""
    study = table.facts["study"]
    data = {"interactions": "not read", **study["data"]}
    return study_space(study_from_mapping({**study, "data": data}))


@cache
def _table(path: Path) -> Table:
    return load_table(path)


@cache
def space_of(path: Path) -> Space:
    """Return the space of a table, with the prior that the other recorded tables give."""
    return search_space(_table(path)).with_prior(prior_without(path.stem))


def search(job: tuple[str, int], case: Case) -> Outcome:
    """Let a contender search the table of a case with a seed. A job is the contender's name and the seed."""
    contender, seed = job
    table = _table(case.path)
    if case.sub:
        table = table.part(sub_rows(len(table), seed))
    made = CONTENDERS[contender](table, space_of(case.path), seed, case.trials)
    return outcome_of(table, made, case.workers)


def outcome_of(table: Table, contender: Contender, n_workers: int) -> Outcome:
    """Let a contender search a table."""
    best, whole = float(table.scores.max()), float(table.seconds[:, -1, -1].sum())
    reached = dict.fromkeys(CLOSE, math.inf)
    found = 0.0
    for spent, row in replay(contender, n_workers):
        found = max(found, float(table.scores[row]))
        for close in CLOSE:
            if found >= (1 - close) * best:
                reached[close] = min(reached[close], spent / whole)
        if found == best:
            break
    return Outcome(tuple(round(share, 5) for share in reached.values()), round((best - found) / best, 6))


if __name__ == "__main__":
    main()
