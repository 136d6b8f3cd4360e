"""Measures what the rules of the search save in a real study: Amazon Beauty, two slots, before and after.

    python -m benchmarks.real_search [--trials 40] [--seeds 60 ...] [--out FOLDER] [--data DIR] [--quick]

It runs the study of `examples/beauty.yaml` without its baselines and without its final judgement, twice for
each seed:

- before: the folds of a trial run one after the other (`search.folds: in_turn`), no trial is held at a rung
  (`hold: 0`), there are no leaders, and the sampler has no prior;
- after: all defaults. The prior is made from the recorded tables without Beauty's: it must not come from the
  data set that it is tested on.

Both have the same sampler, seed, space, data, folds and epochs. The clock of a study begins with its first
attempt. Times in which no trial ran for more than 30 s are not counted, so a study that was interrupted can
be continued: run the same command again. A finished study is only read.

- `first_good_s` is the time until the first trial is complete that is within 2 % of the best of both studies.
  A study that has none counts with its time in all.
- `total_s` is the time in all.
- `first_good` and `total` are the ratios after / before, as medians over the seeds.

`--quick` takes a dense sample of 500 users and two epochs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.measuring import DATA, command_line, environment, machine, write_results
from benchmarks.table_data import dense_sample, stored

STUDY = Path(__file__).parents[1] / "examples" / "beauty.yaml"
DATA_SET = "amazon-beauty-5core"
#: A trial is good if it is so close to the best, as a share of it.
CLOSE = 0.02
#: Longest time without a running trial that belongs to a search, in seconds.
LONGEST_GAP = 30.0
SLOTS = 2
#: Exit code of `tuner run` if Ray died, and how often a study is continued then.
RAY_DIED, MOST_RUNS = 75, 5
#: Changes of the study's sections, by way.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "before": {
        "search": {"folds": "in_turn", "sampler": {"use": "tpe", "prior": False}},
        "stopping": {"halving": {"hold": 0, "leaders": False}},
    },
    "after": {},
}
#: The guide's space with a prior that was not made from Beauty.
SPACE = """
from pathlib import Path

from search_spaces.guide import space as guide
from tuner.space.prior import Prior

space = guide.with_prior(Prior.read(Path(__file__).with_name("prior.json")))
"""


@dataclass(frozen=True)
class Measured:
    """Times of one study, in seconds since its begin.

    Attributes
    ----------
    complete
        Time and objective of each complete trial, in order of time.
    total
        Time in all.
    worker_seconds
        Sum of the durations of all attempts.
    """

    complete: tuple[tuple[float, float], ...]
    total: float
    worker_seconds: float

    @property
    def best(self) -> float:
        """The best objective."""
        return max(value for _, value in self.complete)

    def first_good(self, best: float) -> float:
        """Return the time until a trial was complete that is within `CLOSE` of `best`."""
        return min((at for at, value in self.complete if value >= (1 - CLOSE) * best), default=self.total)


def main() -> None:
    """Run or continue the studies, print the figures and write them."""
    parser = command_line(__doc__)
    parser.add_argument("--trials", type=int, help="trials of each study; by default 40, or 6 if quick")
    parser.add_argument("--seeds", type=int, nargs="+", default=[60], help="seeds; each is run in both ways")
    parser.add_argument("--out", type=Path, default=Path("studies/real_search"), help="folder of the studies")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    arguments = parser.parse_args()
    facts, trials = machine(), arguments.trials or (6 if arguments.quick else 40)
    interactions = prepare(arguments.out, arguments.data, quick=arguments.quick)
    runs = []
    for seed in arguments.seeds:
        found = {}
        for way in WAYS:
            folder = arguments.out / f"{way}-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            write_study(folder, study_of(way, seed, trials, interactions, quick=arguments.quick))
            found[way] = run(folder)
        runs.append({"seed": seed, **found})
        print(seed, figures_of([found]), flush=True)
    figures = figures_of(runs)
    result = {
        "machine": facts,
        "quick": arguments.quick,
        "settings": {"trials": trials, "slots": SLOTS, "seeds": len(runs)},
        "figures": figures,
        "runs": [{"seed": one["seed"], **{way: asdict(one[way]) for way in WAYS}} for one in runs],
    }
    print(write_results("real_search", result))


def prepare(out: Path, data: Path, *, quick: bool) -> str:
    """Write the prior, and a sample of the data if quick; return the path of the interactions."""
    from benchmarks.make_priors import prior_without

    out.mkdir(parents=True, exist_ok=True)
    prior_without("beauty").write(out / "prior.json")
    if not quick:
        return str(Path(stored(data, DATA_SET)).resolve())
    path = (out / "sample.parquet").resolve()
    dense_sample(data, DATA_SET, user_events=8, item_events=15, n_users=500, seed=62).to_parquet(path)
    return str(path)


def study_of(way: str, seed: int, trials: int, interactions: str, *, quick: bool) -> dict[str, Any]:
    """Return a study of one way."""
    study: dict[str, Any] = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    for section in ("baselines", "final"):
        del study[section]
    study["metrics"] = {key: study["metrics"][key] for key in ("objective", "direction")}
    study["data"]["interactions"] = interactions
    study["space"]["use"] = "beauty_space"
    study["search"] = {"trials": trials, "seed": seed}
    study["resources"] = {"cpus_per_trial": 1, "concurrency": SLOTS}
    if quick:
        study["data"] = {"interactions": interactions}
        study["folds"] = {"split": "last_n", "size": 1, "n_folds": 2, "holdout": 1}
        study["training"] = {"epochs": 2}
    for section, changes in WAYS[way].items():
        study[section] = {**study.get(section, {}), **changes}
    return study


def write_study(folder: Path, study: Mapping[str, Any]) -> None:
    """Write a study with its space and prior into its folder."""
    (folder / "beauty_space.py").write_text(SPACE.lstrip(), encoding="utf-8")
    (folder / "prior.json").write_bytes((folder.parent / "prior.json").read_bytes())
    (folder / "study.yaml").write_text(yaml.safe_dump(dict(study), sort_keys=False), encoding="utf-8")


def run(folder: Path) -> Measured:
    """Run or continue a study; return its times. If Ray dies, the study is continued."""
    command = [sys.executable, "-m", "tuner.cli", "run", "study.yaml"]
    for _ in range(MOST_RUNS):
        code = subprocess.run(
            command, cwd=folder, env=environment(), stdout=sys.stderr, check=False
        ).returncode
        if code != RAY_DIED:
            break
    if code:
        raise RuntimeError(f"`tuner run` in {folder} ended with {code}: run the same command to continue")
    return measured(folder / "studies" / "beauty")


def measured(folder: Path) -> Measured:
    """Return the times of a study that has ended, from its store."""
    from tuner.store import read_records
    from tuner.trials.status import TrialStatus

    records = read_records(folder).records
    attempts = [(one.began, one.began + one.seconds) for record in records for one in record.attempts]
    complete = sorted(
        (clock(record.ended.timestamp(), attempts), record.summary.mean)
        for record in records
        if record.status == TrialStatus.COMPLETE and record.ended and record.summary
    )
    return Measured(
        tuple(complete),
        clock(max(end for _, end in attempts), attempts),
        sum(end - begin for begin, end in attempts),
    )


def clock(moment: float, attempts: Sequence[tuple[float, float]]) -> float:
    """Return the time of a search at a moment, without long gaps in which no attempt ran.

    Parameters
    ----------
    moment
        Seconds since 1970.
    attempts
        Begin and end of each attempt, in seconds since 1970.
    """
    ordered = sorted(attempts)
    until, left_out = ordered[0][0], 0.0
    for begin, end in ordered:
        if begin > moment:
            break
        if begin - until > LONGEST_GAP:
            left_out += begin - until
        until = max(until, end)
    return moment - ordered[0][0] - left_out


def figures_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the ratios after / before, and the times of each way, as medians over the seeds."""
    rows = []
    for run_ in runs:
        studies: dict[str, Measured] = {way: run_[way] for way in WAYS}
        best = max(study.best for study in studies.values())
        times = {way: study.first_good(best) for way, study in studies.items()}
        before, after = studies["before"], studies["after"]
        row = {"first_good": times["after"] / times["before"], "total": after.total / before.total}
        for way, study in studies.items():
            row |= {
                f"first_good_s/{way}": times[way],
                f"total_s/{way}": study.total,
                f"worker_seconds/{way}": study.worker_seconds,
                f"best/{way}": study.best,
                f"complete/{way}": len(study.complete),
            }
        rows.append(row)
    return {name: round(median(row[name] for row in rows), 4) for name in rows[0]}


if __name__ == "__main__":
    main()
