"""The study store: trials' lives, interruptions at every step, and who may write."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tuner.config import Sampler
from tuner.errors import SearchError, StoreError
from tuner.space import Choice, Fixed, Float, Int, Space, Value
from tuner.store import Asked, StudyStore, open_store, read_records, store_exists
from tuner.store.journal import _Backend
from tuner.store.locking.files import hold_lock, lock_holder
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Failure
from tuner.trials.records import Evaluation, Summary
from tuner.trials.seeds import fold_seed

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

ROOT = Path(__file__).parents[2]
N_FOLDS = 2
FACTS: dict[str, object] = {"data": "abc", "folds": {"split": "last_n", "size": 1}, "epochs": 3}

SPACE = Space(
    {
        "cls": Choice("SASRecModel", "BERT4RecModel"),
        "n_blocks": Int(1, 3),
        "lr": Float(1e-3, 1e-1, log=True),
        "loss": Choice({"softmax": {}, "BCE": {"n_negatives": Int(1, 99)}}),
        "n_factors": 64,
        "mask_prob": Float(0.1, 0.6, when={"cls": "BERT4RecModel"}),
    }
)
POINT = {"cls": "SASRecModel", "n_blocks": 2, "lr": 0.01, "loss": "softmax"}
BASELINES = [
    ("popular", {"cls": "PopularModel"}, None),
    ("sasrec", {"cls": "SASRecModel", "n_factors": 64}, POINT),
]


def opened(folder: Path, **changes: Any) -> StudyStore:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "name": "shop",
        "direction": "maximize",
        "sampler": Sampler(use="random"),
        "seed": 5,
        "facts": FACTS,
    }
    return open_store(folder, **{**settings, **changes})


def finish(params: Mapping[str, Any]) -> dict[str, Any]:
    epochs = {} if params["cls"] == "PopularModel" else {"epochs": params.get("epochs", 3)}
    return {**params, **epochs}


def ask(store: StudyStore) -> Asked:
    return store.ask(SPACE, N_FOLDS, finish)


def ask_again(store: StudyStore, number: int) -> Asked:
    return store.ask_again(number, SPACE, N_FOLDS, finish)


def evaluations_of(number: int) -> list[Evaluation]:
    return [
        Evaluation(
            fold, epoch, {"NDCG@10": 0.1 * epoch + number, "HitRate@10": 0.5}, 2.5 / epoch, 1.5, 0.5, 99
        )
        for fold in range(N_FOLDS)
        for epoch in (1, 2, 3)
    ]


def report_all(store: StudyStore, number: int) -> Summary:
    for evaluation in evaluations_of(number):
        store.report(number, evaluation, "NDCG@10", 3)
    return summarise(evaluations_of(number), "NDCG@10", "maximize")


# ####  --------------  The life of a trial  --------------  #### #


def test_a_trial_is_asked_reported_and_completed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    asked = ask(store)
    (running,) = store.records()
    assert (running.number, running.status, running.summary, running.ended) == (0, "running", None, None)

    summary = report_all(store, asked.number)
    store.complete(asked.number, summary, seconds=1.23456, log="logs/trial-0000.log")

    stored = read_records(tmp_path)
    (record,) = stored.records
    assert (stored.name, stored.direction, stored.facts) == ("shop", "maximize", FACTS)
    assert {"python", "rectools", "optuna", "torch"} <= stored.versions.keys()
    assert (record.number, record.status, record.name) == (0, "complete", None)
    assert record.params == asked.params
    assert record.seeds == asked.seeds
    assert list(record.evaluations) == evaluations_of(0)
    assert record.summary == summary
    assert (record.failure, record.seconds, record.log) == (None, 1.235, "logs/trial-0000.log")
    assert record.started is not None
    assert record.ended is not None
    assert record.started <= record.ended
    assert record.label == asked.params["cls"]


def test_optuna_sees_a_complete_trial_with_its_curve(tmp_path: Path) -> None:
    store = opened(tmp_path)
    asked = ask(store)
    store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
    (trial,) = opened(tmp_path).study.trials
    assert trial.state is TrialState.COMPLETE
    assert trial.value == pytest.approx(0.3)
    assert trial.intermediate_values == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 5: 0.1, 6: 0.2, 7: 0.3})
    assert SPACE.decode(trial.params) == {
        key: value for key, value in asked.params.items() if key != "epochs"
    }


def test_a_failed_trial_keeps_its_cause_and_its_evaluations(tmp_path: Path) -> None:
    store = opened(tmp_path)
    asked = ask(store)
    store.report(asked.number, evaluations_of(0)[0], "NDCG@10", 3)
    failure = Failure("fold 1: ValueError: no", "ValueError")
    store.fail(asked.number, failure=failure, seconds=2, log="logs/trial-0000.log")

    (record,) = read_records(tmp_path).records
    assert (record.status, record.failure, record.summary) == ("failed", failure, None)
    assert list(record.evaluations) == evaluations_of(0)[:1]
    assert (record.seconds, record.log) == (2, "logs/trial-0000.log")


def test_an_evaluation_reported_again_replaces_the_old_one(tmp_path: Path) -> None:
    store = opened(tmp_path)
    number = ask(store).number
    for value in (0.1, 0.7):
        store.report(number, Evaluation(1, 2, {"NDCG@10": value}), "NDCG@10", 3)
    (record,) = store.records()
    assert list(record.evaluations) == [Evaluation(1, 2, {"NDCG@10": 0.7})]
    assert store.study.trials[0].intermediate_values == {6: 0.7}


def test_trials_at_once_do_not_mix(tmp_path: Path) -> None:
    store = opened(tmp_path)
    numbers = [ask(store).number for _ in range(3)]
    for number in reversed(numbers):
        report_all(store, number)
    store.complete(2, summarise(evaluations_of(2), "NDCG@10", "maximize"), seconds=1, log="")
    store.fail(0, failure=Failure("no", "E"), seconds=1, log="")
    assert [record.status for record in store.records()] == ["failed", "running", "complete"]
    assert [list(record.evaluations) for record in store.records()] == [*map(evaluations_of, numbers)]


def test_baselines_run_first_with_their_params_and_points(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add_baselines(BASELINES)
    assert [record.status for record in store.records()] == ["queued", "queued"]
    assert (store.n_waiting(), store.n_searched()) == (2, 0)

    popular, sasrec, chosen = ask(store), ask(store), ask(store)

    assert (popular.name, popular.params) == ("popular", {"cls": "PopularModel"})
    assert (sasrec.name, sasrec.params) == (
        "sasrec",
        {"cls": "SASRecModel", "n_factors": 64, "epochs": 3},
    )
    assert chosen.name is None
    assert chosen.params["n_factors"] == 64
    assert (store.n_waiting(), store.n_searched()) == (0, 1)
    assert [trial.params for trial in store.study.trials[:2]] == [{}, POINT]
    assert [record.label for record in store.records()] == ["popular", "sasrec", chosen.params["cls"]]


def test_seeds_follow_from_the_study_the_params_and_the_fold(tmp_path: Path) -> None:
    first, second, other = (
        opened(tmp_path / name, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    for store in (first, second, other):
        store.add_baselines(BASELINES[1:])
    ask(first)  # the baseline; the next trial is another one
    asked = [ask(second), ask(other), ask(first)]
    assert asked[0].seeds == tuple(fold_seed(5, asked[0].params, fold) for fold in range(N_FOLDS))
    assert asked[0].params == asked[1].params
    assert len({seed for trial in asked for seed in trial.seeds}) == 6
    assert first.records()[0].seeds == asked[0].seeds


# ####  --------------  Opening again  --------------  #### #


def test_baselines_are_queued_once(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add_baselines(BASELINES)
    ask(store)
    again = opened(tmp_path)
    again.add_baselines([*BASELINES, ("ease", {"cls": "EASEModel"}, None)])
    again.add_baselines(BASELINES)
    assert [record.name for record in again.records()] == ["popular", "sasrec", "ease"]
    assert again.n_waiting() == 2
    assert [ask(again).name for _ in range(2)] == ["sasrec", "ease"]


def test_a_finished_study_goes_on_where_it_ended(tmp_path: Path) -> None:
    store = opened(tmp_path)
    number = ask(store).number
    store.complete(number, report_all(store, number), seconds=1, log="")
    again = opened(tmp_path)
    assert again.interrupted() == []
    assert again.n_searched() == 1
    assert ask(again).number == 1


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "nsga3", "gp", "cmaes"])
def test_points_follow_from_the_seed_and_are_not_repeated(sampler: str, tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        rates = []
        for _ in range(2):  # the study is opened twice
            store = opened(tmp_path / name, sampler=Sampler(use=sampler))
            for _ in range(2):
                asked = ask(store)
                rates.append(asked.params["lr"])
                store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
        runs.append(rates)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 4


def test_other_facts_are_refused_naming_each(tmp_path: Path) -> None:
    opened(tmp_path)
    opened(tmp_path)
    opened(tmp_path, facts=json.loads(json.dumps(FACTS)))
    changed = {**FACTS, "data": "xyz", "folds": {"split": "last_n", "size": 2}}
    with pytest.raises(StoreError) as raised:
        opened(tmp_path, facts=changed)
    first, second = raised.value.problems
    assert (first.where, second.where) == ("data", "folds.size")
    assert first.rule.startswith(
        "must have the same interactions, features and items to recommend as when the"
    )
    assert first.rule.endswith("with the fingerprint: 'abc', but got 'xyz'")
    assert second.rule == "must stay as it was when the study began: 1, but got 2"
    assert "another name" in str(raised.value)
    assert raised.value.exit_code == 2
    assert read_records(tmp_path).facts == FACTS


def test_a_sampler_that_fails_is_not_taken_for_a_changed_space(tmp_path: Path) -> None:
    options = {"n_startup_trials": 1, "n_ei_candidates": 0}
    store = opened(tmp_path, sampler=Sampler(use="tpe", options=options))
    for number in (ask(store).number, ask(store).number):
        store.complete(number, report_all(store, number), seconds=1.0, log="log")
    with pytest.raises(SearchError) as caught:
        ask(store)
    assert caught.value.message.startswith(
        "search.sampler: must choose a point, but got the error: IndexError"
    )
    assert "continues the search" in str(caught.value)
    assert isinstance(caught.value.__cause__, IndexError)


def test_facts_are_compared_as_json_keeps_them(tmp_path: Path) -> None:
    opened(tmp_path, facts={"pair": (1, 2), 3: "x"})
    opened(tmp_path, facts={"pair": [1, 2], "3": "x"})


def test_a_study_cut_off_before_its_facts_were_written_begins_with_the_facts(tmp_path: Path) -> None:
    with killed_after(1), pytest.raises(KilledError):
        opened(tmp_path)
    opened(tmp_path)
    assert read_records(tmp_path).facts == FACTS


def test_a_folder_without_a_study_is_reported(tmp_path: Path) -> None:
    assert not store_exists(tmp_path)
    with pytest.raises(StoreError, match=r"must be the folder of a study, but it has no journal\.log"):
        read_records(tmp_path)
    (tmp_path / "journal.log").touch()
    with pytest.raises(StoreError, match="must have a study, but its journal is empty"):
        read_records(tmp_path)


@pytest.mark.parametrize("file", [".lock", ".fetched"])
def test_a_study_that_has_only_begun_is_no_strange_folder(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    with pytest.raises(StoreError, match="its run has stored none yet") as caught:
        read_records(tmp_path)
    assert "ask again" in str(caught.value)


def test_reading_does_not_disturb_who_writes(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for n in range(3):
        number = ask(store).number
        assert len(read_records(tmp_path).records) == n + 1
        store.complete(number, report_all(store, number), seconds=1, log="")
    assert {record.status for record in read_records(tmp_path).records} == {"complete"}


# ####  --------------  Cut off  --------------  #### #


class KilledError(BaseException):
    """Stands for SIGKILL: no code of ours catches it."""


@contextmanager
def killed_after(writes: int) -> Iterator[None]:
    """Let so many writes reach the journal, and no more."""
    original = _Backend.append_logs
    left = writes

    def append(self: _Backend, logs: list[dict[str, Any]]) -> None:
        nonlocal left
        if left == 0:
            raise KilledError
        left -= 1
        original(self, logs)
        if left == 0:
            raise KilledError

    _Backend.append_logs = append  # type: ignore[method-assign]
    try:
        yield
    finally:
        _Backend.append_logs = original  # type: ignore[method-assign]


def writes_of(folder: Path) -> int:
    return len((folder / "journal.log").read_bytes().splitlines())


def test_a_cut_off_trial_is_asked_again_as_it_was(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add_baselines(BASELINES)
    asked = [ask(store) for _ in range(4)]
    store.report(2, evaluations_of(2)[0], "NDCG@10", 3)
    store.complete(1, report_all(store, 1), seconds=1, log="")

    again = opened(tmp_path)
    assert again.interrupted() == [0, 2, 3]
    resumed = [ask_again(again, number) for number in again.interrupted()]
    assert resumed == [asked[0], asked[2], asked[3]]
    assert [again.attempts(trial.number) for trial in resumed] == [2, 2, 2]
    for trial in resumed:
        again.complete(trial.number, report_all(again, trial.number), seconds=1, log="")
    assert [list(record.evaluations) for record in again.records()] == [*map(evaluations_of, range(4))]
    assert again.interrupted() == []


def test_a_list_among_the_params_is_a_tuple_again(tmp_path: Path) -> None:
    space = Space(
        {"cls": "SASRecModel", "lr": Float(0.1, 0.2), "item_net_block_types": Fixed(("a.B", "c.D"))}
    )
    asked = opened(tmp_path).ask(space, N_FOLDS, finish)
    assert asked.params["item_net_block_types"] == ("a.B", "c.D")
    assert opened(tmp_path).ask_again(asked.number, space, N_FOLDS, finish) == asked


@pytest.mark.parametrize("kind", ["popular", "sasrec", "searched"])
def test_an_ask_killed_at_any_write_is_completed(kind: str, tmp_path: Path) -> None:
    baselines = [baseline for baseline in BASELINES if baseline[0] == kind]

    def begun(name: str) -> Path:
        opened(tmp_path / name).add_baselines(baselines)
        return tmp_path / name

    undisturbed = begun("undisturbed")
    store = opened(undisturbed)
    before = writes_of(undisturbed)
    asked = ask(store)
    n_writes = writes_of(undisturbed) - before
    assert n_writes >= 4

    for writes in range(1, n_writes + 1):
        folder = begun(f"killed-{writes}")
        store = opened(folder)
        with killed_after(writes), pytest.raises(KilledError):
            ask(store)
        (halfway,) = read_records(folder).records
        assert halfway.status == "running"

        again = opened(folder)
        assert (again.interrupted(), again.n_waiting()) == ([0], 0)
        resumed = ask_again(again, 0)
        assert resumed.number == 0
        assert resumed.seeds == tuple(fold_seed(5, resumed.params, fold) for fold in range(N_FOLDS))
        if kind == "searched":
            (trial,) = again.study.trials
            assert finish(SPACE.decode(trial.params)) == resumed.params
            assert halfway.params in ({}, resumed.params)
        else:
            assert resumed == asked
            assert [trial.params for trial in again.study.trials] == [
                trial.params for trial in opened(undisturbed).study.trials
            ]
        assert ask_again(opened(folder), 0) == resumed
        again.complete(0, report_all(again, 0), seconds=1, log="")
        again.add_baselines(baselines)
        assert [record.status for record in again.records()] == ["complete"]


def test_params_that_a_cut_off_trial_has_already_are_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    trial = store.study.ask()
    trial.suggest_categorical("cls", ("SASRecModel", "BERT4RecModel"))
    trial.suggest_int("n_blocks", 1, 3)
    resumed = ask_again(opened(tmp_path), trial.number)
    assert {key: resumed.params[key] for key in trial.params} == trial.params


def test_an_end_killed_at_any_write_can_be_reported_again(tmp_path: Path) -> None:
    for writes in (1, 2, 3):
        folder = tmp_path / str(writes)
        store = opened(folder)
        number = ask(store).number
        summary = report_all(store, number)
        with killed_after(writes), pytest.raises(KilledError):
            store.complete(number, summary, seconds=1, log="x")
        again = opened(folder)
        assert again.interrupted() == [number]
        ask_again(again, number)
        again.complete(number, report_all(again, number), seconds=2, log="y")
        (record,) = again.records()
        assert (record.status, record.seconds, record.log) == ("complete", 2, "y")
        assert record.summary == summary


@pytest.mark.parametrize("lost", [1, 7])
def test_a_torn_last_line_is_survived(lost: int, tmp_path: Path) -> None:
    """As a full disk or a power cut leaves it."""
    ask(opened(tmp_path))
    journal = tmp_path / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-lost])
    ask_again(opened(tmp_path), 0)
    assert ask_again(opened(tmp_path), 0).number == 0


@pytest.mark.parametrize("text", ['{"op_code":\n{}\n', "not a journal\nat all\n"])
def test_a_journal_that_cannot_be_read_is_reported(text: str, tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text(text)
    for read in (read_records, opened):
        with pytest.raises(StoreError):
            read(tmp_path)


# ####  --------------  Locks  --------------  #### #

HOLD = """
import sys, time
from pathlib import Path
from tuner.store.locking.files import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
HOLD_JOURNAL = """
import sys, time
from pathlib import Path
from tuner.store.locking.files import JournalLock
JournalLock(Path(sys.argv[1]) / ".journal.lock").acquire()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def holder(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_study_is_held_by_one_process_even_one_that_was_killed_lets_go(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    assert lock_holder(folder) is None
    with holder(HOLD, folder) as process:
        assert lock_holder(folder) == f"process {process.pid} on {os.uname().nodename}"
        with (
            pytest.raises(StoreError, match=rf"must be free, but process {process.pid} on ") as raised,
            hold_lock(folder),
        ):
            pass
        assert raised.value.exit_code == 2
        assert raised.value.source == str(folder)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lock_holder(folder) is None
    with hold_lock(folder):
        assert lock_holder(folder) == f"process {os.getpid()} on {os.uname().nodename}"
    assert lock_holder(folder) is None


def test_a_study_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_lock(tmp_path):
        raise ZeroDivisionError
    with hold_lock(tmp_path):
        pass


def test_a_held_study_can_be_read(tmp_path: Path) -> None:
    ask(opened(tmp_path))
    with holder(HOLD, tmp_path):
        assert len(read_records(tmp_path).records) == 1


def test_the_journal_is_free_after_its_writer_was_killed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with holder(HOLD_JOURNAL, tmp_path) as process:
        with (tmp_path / ".journal.lock").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ask(store).number == 0
    assert ask(opened(tmp_path)).number == 1


# ####  --------------  Points that were tried before  --------------  #### #

FEW = Space({"cls": "SASRecModel", "n_blocks": Int(1, 3), "loss": Choice("softmax", "BCE")})


def run_to_the_end(store: StudyStore, space: Space, most: int = 50, **options: Any) -> list[Asked]:
    """Ask and complete trials until there is none left."""
    done: list[Asked] = []
    while len(done) < most and (asked := store.ask(space, N_FOLDS, finish, **options)) is not None:
        store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
        done.append(asked)
    return done


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "brute_force"])
def test_every_point_of_a_finite_space_is_run_once_and_then_the_space_is_exhausted(
    sampler: str, tmp_path: Path
) -> None:
    store = opened(tmp_path, sampler=Sampler(use=sampler))
    done = run_to_the_end(store, FEW)
    points = {(trial.params["n_blocks"], trial.params["loss"]) for trial in done}
    assert len(done) == len(points) == 6
    assert store.n_searched() == 6
    assert opened(tmp_path, sampler=Sampler(use=sampler)).ask(FEW, N_FOLDS, finish) is None


def test_a_repeated_point_is_reported_with_its_known_result_and_is_no_trial(tmp_path: Path) -> None:
    store = opened(tmp_path)
    run_to_the_end(store, FEW)
    repeated = [trial for trial in store.study.trials if "repeats" in trial.user_attrs]
    assert repeated
    for trial in repeated:
        first = store.study.trials[trial.user_attrs["repeats"]]
        assert (trial.state, trial.value, trial.params) == (TrialState.COMPLETE, first.value, first.params)
    states = [record.status for record in read_records(tmp_path).records]
    assert states.count("duplicate") == len(repeated)
    assert states.count("complete") == 6


def test_a_point_that_runs_or_failed_is_not_run_a_second_time(tmp_path: Path) -> None:
    two = Space({"cls": "SASRecModel", "n_blocks": Int(1, 2)})
    store = opened(tmp_path)
    running, failed = (store.ask(two, N_FOLDS, finish) for _ in range(2))
    assert running is not None
    assert failed is not None
    store.fail(failed.number, failure=Failure("broken", "ValueError"), seconds=1, log="")
    assert store.ask(two, N_FOLDS, finish) is None
    assert {r.status for r in store.records()} == {"running", "failed", "duplicate"}
    assert all(r.failure is None for r in store.records() if r.status == "duplicate")


def test_a_baseline_in_the_space_is_not_searched_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add_baselines([("mine", {"cls": "SASRecModel"}, {"n_blocks": 2, "loss": "BCE"})])
    done = run_to_the_end(store, FEW)
    assert [trial.name for trial in done] == ["mine"] + [None] * 5


def test_refused_points_of_a_finite_space_do_not_hide_the_others(tmp_path: Path) -> None:
    def refuse(params: Mapping[str, Value]) -> str | None:
        return "no" if params["n_blocks"] == 2 else None

    done = run_to_the_end(opened(tmp_path), FEW, refuse=refuse)
    assert len(done) == 4


def test_a_space_of_one_point_ends_after_one_trial_also_in_a_later_run(tmp_path: Path) -> None:
    one = Space({"cls": "SASRecModel", "n_blocks": 2})
    store = opened(tmp_path)
    store.add_baselines(BASELINES)
    assert [trial.name for trial in run_to_the_end(store, one)] == ["popular", "sasrec", None]
    assert opened(tmp_path).ask(one, N_FOLDS, finish) is None
    other = Space({"cls": "SASRecModel", "n_blocks": 3})
    assert opened(tmp_path).ask(other, N_FOLDS, finish) is not None


def test_a_space_without_end_is_never_exhausted(tmp_path: Path) -> None:
    assert FEW.is_finite
    assert not SPACE.is_finite
    assert Space({"cls": "SASRecModel", "n_blocks": Int(1, 3), "n_heads": Int(1, "n_blocks")}).is_finite
    assert len(run_to_the_end(opened(tmp_path), SPACE, most=30)) == 30
