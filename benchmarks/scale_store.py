"""Measures the cost to choose and store trials: a search of ten thousand trials that train nothing.

A loop takes the part of Ray Tune: it asks the coordinator for a trial, reports made-up metrics, and ends the
trial. Coordinator, early stopping, sampler, store, journal and leaderboard are the real ones.

    python -m benchmarks.scale_store [--trials 10000]

It prints a table and writes benchmarks/results/scale_store.json.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import machine, write_results
from search_spaces.guide import space
from tuner.config import Halving, Race, Sampler, Search
from tuner.models.build import trial_params, why_infeasible
from tuner.search.budgets import Budget
from tuner.search.capacity import Capacity, Shares
from tuner.search.coordinator import Coordinator
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effect_runner import Sinks
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.fleet import Fleet
from tuner.search.lifecycle import Goal
from tuner.search.study_rules import StudyRules
from tuner.space import Value
from tuner.store import open_store
from tuner.trials.messages import DONE, EVALUATION, Job
from tuner.trials.records import Evaluation

OBJECTIVE, N_FOLDS, EPOCHS, SEED = "NDCG@10", 2, 3, 60
REPORTED = ("HitRate@10", "MAP@10", "CoveredUsers@10")
#: Number of trials whose times are averaged for one figure.
SPAN = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    n_trials = parser.parse_args().trials
    load = machine()["load"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = search(folder, n_trials)
        raw["leaderboard_s"] = [time_leaderboard(folder) for _ in range(3)]
        journal = (folder / "journal.log").stat().st_size
    figures = summarise(raw, n_trials) | {"journal_mb": round(journal / 1e6, 1)}
    raw |= {key: by_span(raw[key]) for key in ("trial_s", "suggest_s")}
    facts = {**machine(), "load": load}
    result = {"machine": facts, "settings": {"trials": n_trials}, "figures": figures, "runs": raw}
    write_results("scale_store", result)
    print("\n".join(f"{name:<18}{value:>10}" for name, value in figures.items()))


def search(folder: Path, n_trials: int) -> dict[str, Any]:
    """Run all trials one after the other; return the seconds of each trial and of its suggestion."""
    store = open_store(
        folder,
        name="scale",
        direction="maximize",
        sampler=Sampler(use="tpe"),
        seed=SEED,
        facts={"objective": OBJECTIVE},
    )
    coordinator = Coordinator(
        store,
        Budget(Search(trials=n_trials), objective=OBJECTIVE, direction="maximize"),
        EarlyStopping(Halving(), Race(), epochs=EPOCHS, n_folds=N_FOLDS, direction="maximize"),
        rules=StudyRules(
            space,
            Goal(OBJECTIVE, "maximize"),
            n_folds=N_FOLDS,
            finish=partial(trial_params, epochs=EPOCHS),
            refuse=why_infeasible,
        ),
        fleet=Fleet(Shares.alike({"CPU": 1}), Capacity.of(1), LargeTrials(lambda _: None)),
        sinks=Sinks(keep_users=lambda *_: None, drop_checkpoint=lambda _: None),
    )
    trials: list[float] = []
    suggestions: list[float] = []
    ending, begun, turns = 0.0, set[int](), 0
    began = time.perf_counter()
    while True:
        start = time.perf_counter()
        job = coordinator.next_job(str(turns))
        suggested = time.perf_counter()
        if not isinstance(job, Job):
            break
        number = job.number
        play(coordinator, str(turns), job.params)
        turns += 1
        taken = time.perf_counter() - start
        if number not in begun:
            begun.add(number)
            trials.append(taken)
            suggestions.append(suggested - start)
            if len(trials) % 1000 == 0:
                print(f"{len(trials):>6} trials, {time.perf_counter() - began:7.1f} s", file=sys.stderr)
        elif len(trials) == n_trials:  # all trials have begun; now the best paused trials are resumed
            ending += taken
        else:  # a paused trial is promoted: its time is added to the newest trial of the search
            trials[-1] += taken
    return {
        "trial_s": trials,
        "suggest_s": suggestions,
        "ending_s": round(ending, 1),
        "turns": turns,
        "driver_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def play(coordinator: Coordinator, attempt_id: str, params: Mapping[str, Value]) -> None:
    """Report made-up evaluations for a trial with these params, until its end or until it is stopped."""
    for fold in range(N_FOLDS):
        for epoch in range(1, EPOCHS + 1):
            value = worth(params) * (1 - 0.5**epoch) + 0.001 * fold
            metrics = {OBJECTIVE: value, **dict.fromkeys(REPORTED, 0.123456789)}
            evaluation = Evaluation(fold, epoch, metrics, 2.5 / epoch, 1.5, 0.5, 1_000_000, 10**9)
            if coordinator.report(attempt_id, {EVALUATION: evaluation}):
                return coordinator.released(attempt_id)
    coordinator.report(attempt_id, {DONE: 3.0})
    return coordinator.released(attempt_id)


def worth(params: Mapping[str, Value]) -> float:
    """Return a made-up objective that a sampler can learn."""
    rate = math.log10(float(str(params["lr"]))) + 2.8
    return float(math.exp(-(rate**2)) * (1 - abs(float(str(params["dropout_rate"])) - 0.2)) / 10)


def time_leaderboard(folder: Path) -> float:
    """Return the seconds that `tuner leaderboard` takes."""
    command = [sys.executable, "-m", "tuner.cli", "leaderboard", str(folder)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - start, 3)


def summarise(raw: Mapping[str, Any], n_trials: int) -> dict[str, float]:
    """Return the figures of the raw times."""
    trials, suggestions = raw["trial_s"], raw["suggest_s"]

    def suggest_ms(at: int) -> float:
        span = suggestions[max(0, at - SPAN) : at]
        return round(1000 * sum(span) / len(span), 1)

    return {
        "n_trials": len(trials),
        "turns": raw["turns"],
        "trials_per_s": round(len(trials) / (sum(trials) + raw["ending_s"]), 1),
        "slowdown": round(sum(trials[-1000:]) / sum(trials[:1000]), 2),
        "leaderboard_s": round(median(raw["leaderboard_s"]), 2),
        "suggest_ms_1k": suggest_ms(min(1000, n_trials)),
        "suggest_ms_10k": suggest_ms(n_trials),
        "driver_memory_mb": raw["driver_memory_mb"],
    }


def by_span(seconds: Sequence[float]) -> list[float]:
    """Return the seconds of each span of trials. Ten thousand raw numbers would only make the file long."""
    return [round(sum(seconds[start : start + SPAN]), 3) for start in range(0, len(seconds), SPAN)]


if __name__ == "__main__":
    main()
