"""The live view: bounded with many trials in flight, in a narrow terminal, with states it does not know."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tuner.monitoring.console import Progress
from tuner.monitoring.live_table import MOST_ROWS, LiveTable, RunningTrial, in_order
from tuner.trials.messages import Job
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Stop
from tuner.trials.records import Evaluation

NDCG = "NDCG@10"


def running_trial(number: int, **changes: Any) -> RunningTrial:
    plain = {
        "label": "SASRecModel",
        "fold": 1,
        "epoch": 2,
        "epochs": 8,
        "value": number / 1000,
        "seconds": 9.0,
    }
    return RunningTrial(number=number, **{**plain, **changes})


def live_table(running: list[RunningTrial], **changes: Any) -> LiveTable:
    plain = {"done": 12, "total": 500, "objective": NDCG, "direction": "maximize", "n_folds": 2}
    return LiveTable(running=running, **{**plain, **changes})


def drawn(what: LiveTable, *, width: int = 100, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(what, end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_hundred_trials_take_as_many_lines_as_ten() -> None:
    running = [running_trial(number, fold=1 + (number < 40)) for number in range(100)]
    lines = drawn(live_table(running, best="trial 3 sasrec: NDCG@10 0.4000", stopped=4, failed=1, left=90))
    assert len(lines) == MOST_ROWS + 3
    assert lines[0] == ("12 of 500 done · 4 stopped early · 1 failed · 100 running · about 1 min 30 s left")
    assert lines[1] == "best trial 3 sasrec: NDCG@10 0.4000"
    assert [line.split()[1] for line in lines[2:-1]] == [str(n) for n in range(92, 100)]
    assert lines[-1] == "  and 92 more: 52 in fold 1, 40 in fold 2"


def test_the_best_come_first_and_those_without_a_result_last() -> None:
    running = [
        running_trial(1, value=None),
        running_trial(2, value=0.1),
        running_trial(3, value=0.3),
        running_trial(4, value=None),
    ]
    assert [trial.number for trial in in_order(running, "maximize")] == [3, 2, 1, 4]
    assert [trial.number for trial in in_order(running, "minimize")] == [2, 3, 1, 4]


def test_rows_keep_their_order_when_values_change() -> None:
    rising = [running_trial(number, value=0.5 - number / 100) for number in range(5)]
    assert [line.split()[1] for line in drawn(live_table(rising))[1:]] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = drawn(
        live_table([running_trial(n, label="a very long name of a baseline") for n in range(20)]), width=width
    )
    assert max(map(len, lines)) <= width
    assert len(lines) == MOST_ROWS + 2


def test_a_narrow_terminal_keeps_what_matters() -> None:
    table = live_table([running_trial(7, value=0.25), running_trial(123, value=0.125)])
    assert drawn(table, width=45)[1].split() == ["trial", "7", "0.2500", "fold", "1/2,", "epoch", "2/8"]
    for width in (28, 40, 60):
        assert [" 0.2500" in drawn(table, width=width)[1], " 0.1250" in drawn(table, width=width)[2]] == [
            True
        ] * 2


@pytest.mark.parametrize("height", [4, 6, 10])
def test_a_low_terminal_has_fewer_rows(height: int) -> None:
    assert len(drawn(live_table([running_trial(n) for n in range(20)]), height=height)) <= max(3, height - 1)


def test_states_without_a_place_of_their_own_are_counted() -> None:
    counts = live_table([], others={"paused": 3, "gone": 0}).counts()
    assert counts == "12 of 500 done · 0 running · 3 paused"
    assert live_table([], total=None).counts() == "12 done · 0 running"


def progress_on(console: Console) -> Progress:
    return Progress(
        console,
        total=100,
        already=0,
        n_folds=2,
        objective=NDCG,
        direction="maximize",
        concurrency=100,
        folder="studies/shop",
    )


def test_the_time_left_is_estimated_from_trials_of_the_search() -> None:
    progress = progress_on(Console(file=io.StringIO()))
    done = [Evaluation(fold, 0, {NDCG: 0.5}) for fold in range(2)]
    for number, baseline in enumerate([True, False]):
        progress.started(Job(number, {}, (1, 2), "any", baseline=baseline), again=False)
    progress.finished(Job(0, {}, (1, 2), "ease", baseline=True), summarise(done, NDCG, "maximize"), 900.0)
    assert progress.live_table().left is None
    progress.finished(Job(1, {}, (1, 2), "SASRec"), summarise(done, NDCG, "maximize"), 10.0)
    assert progress.live_table().left == pytest.approx(98 * 10.0 / 100)


def test_progress_says_a_line_for_each_end_and_shows_the_rest() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False, soft_wrap=True)
    progress = progress_on(console)
    jobs = [Job(number, {"epochs": 2}, (1, 2), "SASRecModel") for number in range(100)]
    for job in jobs:
        progress.started(job, again=False)
    for fold in range(2):
        progress.evaluated(jobs[0], Evaluation(fold, 2, {NDCG: 0.5}))
    assert len(progress.live_table().running) == 100
    (first,) = [trial for trial in progress.live_table().running if trial.number == 0]
    assert (first.fold, first.epoch, first.value) == (2, 2, 0.5)
    done = [Evaluation(fold, 2, {NDCG: 0.5}) for fold in range(2)]
    progress.finished(jobs[0], summarise(done, NDCG, "maximize"), 2.0)
    progress.stopped(
        jobs[1],
        Stop("race", 0, 2, dict.fromkeys(("difference", "low", "high", "incumbent", "n_users"), 1)),
        1,
    )
    progress.failed(jobs[2], "it broke", "logs/trial-0002.log")
    progress.remove(3)
    progress.count({"paused": 1})
    assert (
        progress.live_table()
        .counts()
        .startswith("3 of 100 done · 1 stopped early · 1 failed · 96 running · 1 paused")
    )
    assert isinstance(console.file, io.StringIO)
    lines = [line[10:] for line in console.file.getvalue().splitlines()]
    assert lines[0] == "  1/100  trial 0 SASRecModel: NDCG@10 0.5000 ± 0.0000, epoch 2 of 2, 2.0 s  (best)"
    assert lines[2] == "  3/100  trial 2 SASRecModel failed: it broke (see studies/shop/logs/trial-0002.log)"
    assert len(lines) == 3


def test_a_fold_that_starts_again_is_told_with_the_reason() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False, soft_wrap=True)
    progress = progress_on(console)
    job = Job(2, {}, (1, 2), "sasrec")
    progress.started(job, again=False)
    progress.fold_lost(job, 1, "its machine was lost")
    assert isinstance(console.file, io.StringIO)
    assert "trial 2 sasrec: fold 2 starts again, because its machine was lost" in console.file.getvalue()
    assert len(progress.live_table().running) == 1


def test_an_interrupted_trial_is_told_once_and_no_longer_shown_as_running() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False, soft_wrap=True)
    progress = progress_on(console)
    job = Job(2, {}, (1, 2), "sasrec")
    progress.started(job, again=False)
    progress.interrupted(job, "its worker died")
    assert not progress.live_table().running
    progress.started(job, again=True)
    progress.started(Job(3, {}, (1, 2), "sasrec"), again=True)
    assert isinstance(console.file, io.StringIO)
    told = [line.split("  ")[-1] for line in console.file.getvalue().splitlines()]
    assert told == [
        "trial 2 sasrec starts again, because its worker died",
        "trial 3 sasrec was interrupted and starts again",  # by an earlier run, whose reasons nobody knows
    ]
