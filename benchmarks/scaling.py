"""Measures how a study scales with hosts: the same study on one, two and three hosts.

    python -m benchmarks.scaling [--rounds N] [--quick]

A host is a node of a Ray cluster with one CPU: a separate raylet on this machine. The head is one more node
without a CPU for trials, as in cluster.yaml. `tuner run --address` runs 40 trials of a custom model whose fit

- `compute`: computes a fixed number of hashes, which takes about two seconds of one core. It runs on at most
as
  many hosts as the machine has cores; Ray and the driver need these cores, too. With more hosts it would
  measure the machine;
- `sleep`: sleeps for two seconds, on up to three hosts. No core is busy, so the loss of efficiency is caused
by
  the driver, the store and Ray.

Every trial has one fold, which is evaluated. TPE suggests; no trial is stopped. Rates are measured from the
moment when the first trial runs to the moment when the end of the last one is recorded. So the start of Ray
and of the workers, which happens once, is not included. Efficiency is the rate divided by the number of hosts
and by the rate of one host. All figures are medians over rounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import (
    command_line,
    environment,
    machine,
    measured_apart,
    middle_and_spread,
    write_results,
)
from tuner.trials.status import TrialStatus

SECONDS = 2
#: Number of SHA-256 hashes in PBKDF2, which lets other threads run. They take about `SECONDS` on one core.
HASHES = 10_000_000
TRIALS, HOSTS = 40, (1, 2, 3)

MODEL = textwrap.dedent(
    '''
    """A model that costs time and nothing else."""

    import hashlib
    import time

    from rectools.models import PopularModel
    from rectools.models.popular import PopularModelConfig


    class CostlyConfig(PopularModelConfig):
        seconds: float = 0.0
        hashes: int = 0
        n: int = 0


    class Costly(PopularModel):
        config_class = CostlyConfig

        def __init__(self, seconds: float = 0.0, hashes: int = 0, n: int = 0, verbose: int = 0) -> None:
            super().__init__(verbose=verbose)
            self.seconds, self.hashes, self.n = seconds, hashes, n

        def _get_config(self) -> CostlyConfig:
            given = {"seconds": self.seconds, "hashes": self.hashes, "n": self.n, "verbose": self.verbose}
            return CostlyConfig(cls=type(self), **given)

        @classmethod
        def _from_config(cls, config: CostlyConfig) -> "Costly":
            return cls(config.seconds, config.hashes, config.n, config.verbose)

        def _fit(self, dataset) -> None:
            time.sleep(self.seconds)
            if self.hashes:
                hashlib.pbkdf2_hmac("sha256", b"password", b"salt", self.hashes)
            super()._fit(dataset)
    '''
)


def costly(way: str, n_trials: int) -> dict[str, Any]:
    """Return a study of trials that all cost the same. Each trial is another point."""
    cost = {"seconds": float(SECONDS)} if way == "sleep" else {"hashes": HASHES}
    return {
        "study": "costly",
        "data": {"interactions": "clicks.csv"},
        "folds": {"split": "last_n", "size": 1, "n_folds": 1, "holdout": 1},
        "metrics": {"objective": {"NDCG@10": {"divide_by_achievable": True}}, "direction": "maximize"},
        "space": {"set": {"cls": "costly.Costly", **cost, "n": {"int": [0, 1_000_000_000]}}},
        "search": {"trials": n_trials, "seed": 60},
        "stopping": False,
        "resources": {"cpus_per_trial": 1},
    }


def measure(way: str, n_hosts: int, n_trials: int) -> dict[str, float]:
    """Run the study on `n_hosts` hosts; return its seconds, and the median of its trials'."""
    from ray.cluster_utils import Cluster

    from benchmarks.small_study import write_study

    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(prefix="ray") as session:
        folder = Path(name)
        (folder / "costly.py").write_text(MODEL, encoding="utf-8")
        write_study(folder, costly(way, n_trials))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": session})
        try:
            for _ in range(n_hosts):
                cluster.add_node(num_cpus=1)
            command = [sys.executable, "-m", "tuner.cli", "run", "study.yaml", "--address", cluster.address]
            subprocess.run(command, cwd=folder, env=environment(), stdout=sys.stderr, check=True)
        finally:
            cluster.shutdown()
        return times(folder / "studies" / "costly", n_trials)


def times(folder: Path, n_trials: int) -> dict[str, float]:
    """Return the seconds of a study and the median of its trials, from its store."""
    from tuner.store import read_records

    found = [
        (record.ended.timestamp(), record.seconds)
        for record in read_records(folder).records
        if record.ended and record.seconds and record.status == TrialStatus.COMPLETE
    ]
    assert len(found) == n_trials, "all trials are complete"
    began = min(ended - seconds for ended, seconds in found)
    return {
        "seconds": max(ended for ended, _ in found) - began,
        "trial_s": median(seconds for _, seconds in found),
    }


def rate(runs: list[dict[str, Any]], way: str, n_hosts: int) -> float:
    """Return the trials per second, as the median over rounds."""
    return median(
        run["n_trials"] / run["seconds"] for run in runs if (run["way"], run["hosts"]) == (way, n_hosts)
    )


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return rates, and efficiencies relative to one host."""
    found: dict[str, float] = {}
    for way, n_hosts in dict.fromkeys((run["way"], run["hosts"]) for run in runs):
        name = f"{way}_{n_hosts}_hosts"
        found[f"{name}/trials_per_s"] = round(rate(runs, way, n_hosts), 3)
        found[f"{name}/efficiency"] = round(rate(runs, way, n_hosts) / rate(runs, way, 1) / n_hosts, 3)
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """Return a table of seconds (median, lowest and highest), rates and efficiencies."""
    found = figures(runs)
    lines = [f"{'trials':<10}{'hosts':>6}{'seconds':>24}{'trials/s':>10}{'efficiency':>12}"]
    for way, n_hosts in dict.fromkeys((run["way"], run["hosts"]) for run in runs):
        name = f"{way}_{n_hosts}_hosts"
        seconds = [run["seconds"] for run in runs if (run["way"], run["hosts"]) == (way, n_hosts)]
        lines.append(
            f"{way:<10}{n_hosts:>6}{middle_and_spread(seconds, 1):>24}"
            f"{found[f'{name}/trials_per_s']:>10.3f}{found[f'{name}/efficiency']:>12.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure both kinds of trials on all numbers of hosts, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(**arguments.job)))
        return
    facts, runs = machine(), []
    n_trials = 6 if arguments.quick else TRIALS
    for number in range(1 if arguments.quick else arguments.rounds):
        for way, most in (("compute", min(os.cpu_count() or 1, max(HOSTS))), ("sleep", max(HOSTS))):
            for n_hosts in (count for count in HOSTS if count <= most):
                job = {"way": way, "n_hosts": n_hosts, "n_trials": n_trials}
                measured = measured_apart("benchmarks.scaling", job, environment())
                runs.append({"way": way, "hosts": n_hosts, "n_trials": n_trials, "round": number, **measured})
                print(f"round {number + 1}: {way}, {n_hosts} hosts", file=sys.stderr, flush=True)
    print(table(runs))
    found = figures(runs)
    print(
        write_results("scaling", {"machine": facts, "quick": arguments.quick, "figures": found, "runs": runs})
    )


if __name__ == "__main__":
    main()
