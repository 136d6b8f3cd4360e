"""`tuner watch`: another process follows a run by its store, from before it begins to its end."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.finished import ROOT, started
from tuner.trials.objective import summarise
from tuner.trials.outcomes import PAUSED, Attempt, Failure, Stop
from tuner.trials.records import Evaluation
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord
from tuner.workflows.watch import report_changes

NDCG = "NDCG@10"

#: A run without Ray: holds the study and writes its store, slowly.
RUN = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Failure, Stop
from tuner.trials.records import Evaluation
from tuner.space import Float, Space
from tuner.config import Sampler
from tuner.store import hold_study, open_store

folder = Path("studies/shop")
space = Space({{"cls": "SASRecModel", "lr": Float(0.1, 0.9)}})
with hold_study(folder, "shop"):
    store = open_store(folder, name="shop", direction="maximize", sampler=Sampler(), seed=1,
                       facts={{"objective": "NDCG@10"}})
    trials = [store.ask(space, 2, dict).number for _ in range(3)]
    time.sleep(4)
    evaluations = [Evaluation(fold, 1, {{"NDCG@10": 0.25}}) for fold in range(2)]
    for one in evaluations:
        store.report(trials[0], one, "NDCG@10", 1)
        time.sleep(1.5)
    summary = summarise(evaluations, "NDCG@10", "maximize")
    store.complete(trials[0], summary, seconds=3.0, log="logs/trial-0000.log")
    stop = Stop("halving", 0, 2, {{"value": 0.1, "place": 3, "n_trials": 4, "rung": 2, "kept": 2}})
    store.prune(trials[1], stop=stop, seconds=1.0, log="logs/trial-0001.log")
    store.fail(trials[2], failure=Failure("it broke", "ValueError"), seconds=1.0, log="logs/trial-0002.log")
"""
WITHOUT_TIME = r"(?m)^\d\d:\d\d:\d\d  "


@pytest.mark.slow
def test_it_waits_for_a_run_follows_it_and_ends_with_it(tmp_path: Path) -> None:
    import subprocess

    with started(tmp_path, "watch", "studies/shop") as watch:
        assert watch.stderr is not None
        first = watch.stderr.readline()
        subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, check=True)
        out, err = watch.communicate(timeout=60)
    assert (watch.returncode, out) == (0, "")
    assert first == "waiting for a study in studies/shop; Ctrl-C stops waiting\n"
    assert re.sub(WITHOUT_TIME, "", err).splitlines() == [
        "1  trial 0 SASRecModel: NDCG@10 0.2500 ± 0.0000, epoch 1 of 1, 3.0 s  (best)",
        "2  trial 1 SASRecModel stopped after fold 1, epoch 2 by halving: 0.1000 is place 3 of 4 trials at "
        "epoch 2, of which the best 2 continue, 1.0 s",
        "3  trial 2 SASRecModel failed: it broke (see studies/shop/logs/trial-0002.log)",
        "the run has ended: 3 done · 1 stopped early · 1 failed · 0 running",
    ]


@pytest.mark.ray
@pytest.mark.slow
def test_what_it_says_of_a_real_run_is_what_the_run_said(finished_shop: Path) -> None:
    def ends(name: str) -> list[str]:
        text = (finished_shop / name).read_text(encoding="utf-8")
        return re.findall(r"^\d\d:\d\d:\d\d +\d+/7  (trial \d+ .*?)(?:  \(best\))?$", text, re.MULTILINE)

    said, watched = ends("stderr"), ends("watched")
    assert len(said) == 7
    # Both name an end alike but for the seconds of a stopped trial, which the run has by its own clock.
    assert sorted(re.sub(r", [^,]+ s$", "", line) for line in watched) == sorted(
        re.sub(r", [^,]+ s$", "", line) for line in said
    )
    last = (finished_shop / "watched").read_text(encoding="utf-8").splitlines()[-1]
    assert re.fullmatch(r"the run has ended: 7 of 7 done( · \d stopped early)? · 0 running", last)


class Told:
    """An observer that records the calls it gets."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> object:
        def note(job: object, *values: object, **_: object) -> None:
            self.calls.append((name, job.number, *values))  # type: ignore[attr-defined]  # a Job

        return note


def record(number: int, state: str, epochs: int = 0, **changes: object) -> TrialRecord:
    evaluations = tuple(Evaluation(0, epoch + 1, {NDCG: 0.5}) for epoch in range(epochs))
    return TrialRecord(
        number, TrialStatus(state), None, {"cls": "SASRecModel"}, evaluations, seeds=(1,), **changes
    )  # type: ignore[arg-type]  # by name


def reports(before: list[TrialRecord], now: list[TrialRecord]) -> list[tuple[object, ...]]:
    observer = Told()
    report_changes({one.number: one for one in before}, {one.number: one for one in now}, observer)  # type: ignore[arg-type]  # takes all calls
    return observer.calls


def test_each_change_is_reported_once() -> None:
    one, two = record(0, "running", 1), record(0, "running", 2)
    summary = summarise(two.evaluations, NDCG, "maximize")
    done = record(0, "complete", 2, summary=summary, seconds=2.0)
    assert reports([], [one]) == [("started", 0), ("evaluated", 0, one.evaluations[0])]
    assert reports([one], [one]) == []
    assert reports([one], [two]) == [("evaluated", 0, two.evaluations[1])]
    assert reports([two], [done]) == [("finished", 0, summary, 2.0)]
    assert reports([done], [done]) == []


def test_a_trial_that_came_and_went_between_two_looks_is_reported_whole() -> None:
    stop = Stop("race", 0, 1, {})
    gone = [record(0, "stopped", 1, stop=stop), record(1, "failed", failure=Failure("no", "E"), log="log")]
    assert [call[:2] for call in reports([record(1, "queued")], gone)] == [
        ("started", 0),
        ("evaluated", 0),
        ("stopped", 0),
        ("started", 1),
        ("failed", 1),
    ]


def test_lost_workers_are_reported_with_the_reason() -> None:
    one, other = Attempt("a", 1, folds=(0,)), Attempt("b", 2, folds=(1,))
    died, gone = replace(one, lost="its worker died"), replace(other, lost="its machine was lost")

    def running(*attempts: Attempt) -> list[TrialRecord]:
        return [record(0, "running", 1, attempts=attempts)]

    assert reports(running(one), running(one)) == []
    assert reports(running(one), running(died)) == [("interrupted", 0, "its worker died")]
    assert reports(running(died), running(died)) == []
    assert reports(running(died), running(died, one)) == [("started", 0)]
    assert reports(running(one, other), running(one, gone)) == [("fold_lost", 0, 1, "its machine was lost")]
    assert reports(running(one, gone), running(one, gone, other)) == []
    assert reports(running(one), running(died, one)) == [("fold_lost", 0, 0, "its worker died")]
    assert reports(running(one), running(replace(one, lost=PAUSED))) == []


def test_without_a_driver_running_trials_count_as_interrupted() -> None:
    from tuner.workflows.watch import _show_waiting

    records = [record(0, "running", 1), record(1, "paused", 1)]
    counts: list[dict[str, int]] = []

    class Shown:
        def remove(self, number: int) -> None:
            pass

        def count(self, others: dict[str, int]) -> None:
            counts.append(dict(others))

    for running in (True, False):
        _show_waiting(records, Shown(), running=running)  # type: ignore[arg-type]  # has what is called
    assert counts == [{"paused": 1}, {"interrupted": 1, "paused": 1}]


def test_points_that_are_no_trials_and_unknown_states_are_not_reported() -> None:
    assert reports([], [record(0, "duplicate"), record(1, "infeasible"), record(2, "paused", 1)]) == []
    resumed = reports([record(2, "paused", 1)], [record(2, "running", 2)])
    assert [call[0] for call in resumed] == ["started", "evaluated", "evaluated"]
