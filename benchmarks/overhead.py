"""Measures the overhead of a search: trials that only sleep, two at once, compared with plain Ray Tune.

    python -m benchmarks.overhead [--rounds N] [--quick]

- tuner: `tuner run` over a custom model whose fit sleeps and which then recommends popular items; each trial
has
  one fold, which is evaluated; TPE suggests an integer; no trial is stopped;
- ray: Ray Tune over a function that sleeps and reports once, for the points of a grid;
- ray_reuse: the same with `reuse_actors`.

A figure is wall time / ideal time. The ideal time is the sleeping time divided by two slots. The wall time
begins when the first trial runs in its worker, and ends when the driver has recorded the end of the last one.
For the tuner both come from the store: the earliest (time of the end - seconds of the trial), and the latest
end. For plain Ray they are the begin that the function reports and the last `on_trial_complete`. The start of
Ray is not included.

`.../asked` begins when the driver asks for the first trial. So it includes the start of the workers, which
happens once in a search.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import textwrap
import time
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

WAYS = ("tuner", "ray", "ray_reuse")
SLOTS = 2
TRIALS = {1: 40, 5: 20}  # seconds that each trial sleeps -> number of trials

SLEEPER = textwrap.dedent(
    '''
    """A model that costs time and nothing else."""

    import time

    from rectools.models import PopularModel
    from rectools.models.popular import PopularModelConfig


    class SleeperConfig(PopularModelConfig):
        seconds: float = 1.0
        n: int = 0


    class Sleeper(PopularModel):
        config_class = SleeperConfig

        def __init__(self, seconds: float = 1.0, n: int = 0, verbose: int = 0) -> None:
            super().__init__(verbose=verbose)
            self.seconds, self.n = seconds, n

        def _get_config(self) -> SleeperConfig:
            return SleeperConfig(cls=type(self), seconds=self.seconds, n=self.n, verbose=self.verbose)

        @classmethod
        def _from_config(cls, config: SleeperConfig) -> "Sleeper":
            return cls(config.seconds, config.n, config.verbose)

        def _fit(self, dataset) -> None:
            time.sleep(self.seconds)
            super()._fit(dataset)
    '''
)


def sleepers(seconds: int, n_trials: int) -> dict[str, Any]:
    """Return a study of trials that sleep. Each trial is another point."""
    return {
        "study": "sleepers",
        "data": {"interactions": "clicks.csv"},
        "folds": {"split": "last_n", "size": 1, "n_folds": 1, "holdout": 1},
        "metrics": {"objective": {"NDCG@10": {"divide_by_achievable": True}}, "direction": "maximize"},
        "space": {
            "set": {"cls": "sleeper.Sleeper", "seconds": float(seconds), "n": {"int": [0, 1_000_000_000]}}
        },
        "search": {"trials": n_trials, "seed": 60},
        "stopping": False,
        "resources": {"cpus_per_trial": 1, "concurrency": SLOTS},
    }


def run_tuner(folder: Path, seconds: int, n_trials: int) -> dict[str, float]:
    """Run the study and read its times from the store."""
    from benchmarks.small_study import write_study
    from tuner.store import read_records

    (folder / "sleeper.py").write_text(SLEEPER, encoding="utf-8")
    write_study(folder, sleepers(seconds, n_trials))
    command = [sys.executable, "-m", "tuner.cli", "run", "study.yaml"]
    subprocess.run(command, cwd=folder, env=environment(), stdout=sys.stderr, check=True)
    times = [
        (record.started.timestamp(), record.ended.timestamp(), record.seconds)
        for record in read_records(folder / "studies" / "sleepers").records
        if record.started and record.ended and record.seconds and record.status == TrialStatus.COMPLETE
    ]
    assert len(times) == n_trials, "all trials are complete"
    last = max(ended for _, ended, _ in times)
    return {
        "running": last - min(ended - taken for _, ended, taken in times),
        "asked": last - min(started for started, _, _ in times),
    }


def run_ray(folder: Path, seconds: int, n_trials: int, *, reuse: bool) -> dict[str, float]:
    """Let plain Ray Tune run a function that sleeps."""
    import ray
    from ray import tune
    from ray.tune.experiment import Trial

    def sleep(_config: dict[str, Any]) -> None:
        began = time.time()
        time.sleep(seconds)
        tune.report({"value": 0.0, "began": began})

    class Times(tune.Callback):
        """Records when the driver begins and ends trials."""

        def __init__(self) -> None:
            self.asked: list[float] = []
            self.ended: list[float] = []

        def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002  # Ray's signature
            self.asked.append(time.time())

        def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002  # as above
            self.ended.append(time.time())

    times = Times()
    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    results = tune.Tuner(
        tune.with_resources(sleep, {"cpu": 1}),
        param_space={"n": tune.grid_search(list(range(n_trials)))},
        tune_config=tune.TuneConfig(metric="value", mode="max", reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0, callbacks=[times]),
    ).fit()
    began = [result.metrics["began"] for result in results if result.metrics]
    assert len(began) == len(times.ended) == n_trials, "all trials are complete"
    return {
        "running": max(times.ended) - min(began),
        "asked": max(times.ended) - min(times.asked),
    }


def measure(way: str, seconds: int, n_trials: int) -> dict[str, float]:
    """Run one way in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if way == "tuner":
            return run_tuner(folder, seconds, n_trials)
        return run_ray(folder, seconds, n_trials, reuse=way == "ray_reuse")


def overhead(run: dict[str, Any], since: str = "running") -> float:
    """Return wall time / ideal time."""
    ideal: float = run["n_trials"] * run["sleep"] / SLOTS
    return float(run[since]) / ideal


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians over rounds."""
    found: dict[str, float] = {}
    for way, seconds in dict.fromkeys((run["way"], run["sleep"]) for run in runs):
        mine = [run for run in runs if (run["way"], run["sleep"]) == (way, seconds)]
        name = f"{'overhead' if way == 'tuner' else way}_{seconds}s"
        found[name] = round(median(overhead(run) for run in mine), 3)
        found[f"{name}/asked"] = round(median(overhead(run, "asked") for run in mine), 3)
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """Return a table of wall time / ideal time by way: the median, the lowest and the highest value."""
    lines = [f"{'trials':<12}{'way':<12}{'wall / ideal':>22}{'from asking':>22}"]
    for way, seconds in dict.fromkeys((run["way"], run["sleep"]) for run in runs):
        mine = [run for run in runs if (run["way"], run["sleep"]) == (way, seconds)]
        running, asked = (
            middle_and_spread([overhead(run, since) for run in mine], 3) for since in ("running", "asked")
        )
        lines.append(f"{mine[0]['n_trials']} x {seconds} s".ljust(12) + f"{way:<12}{running:>22}{asked:>22}")
    return "\n".join(lines)


def main() -> None:
    """Measure all ways in turns, print the table and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(**arguments.job)))
        return
    facts, runs = machine(), []
    trials = {1: 8} if arguments.quick else TRIALS
    for number in range(1 if arguments.quick else arguments.rounds):
        for seconds, n_trials in trials.items():
            for way in WAYS:
                job = {"way": way, "seconds": seconds, "n_trials": n_trials}
                measured = measured_apart("benchmarks.overhead", job, environment())
                runs.append({"way": way, "sleep": seconds, "n_trials": n_trials, "round": number, **measured})
                print(f"round {number + 1}: {way}, {n_trials} x {seconds} s", file=sys.stderr, flush=True)
    print(table(runs))
    found = figures(runs)
    print(
        write_results(
            "overhead", {"machine": facts, "quick": arguments.quick, "figures": found, "runs": runs}
        )
    )


if __name__ == "__main__":
    main()
