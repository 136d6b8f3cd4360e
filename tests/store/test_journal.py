"""The journal: read as Optuna reads it, torn at every byte, damaged, on a full disk."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.store.test_study_store import BASELINES, ask, ask_again, evaluations_of, opened, report_all
from tuner.errors import SearchError, StoreError
from tuner.store import StudyStore, read_records, report_lost_store
from tuner.store.journal import open_journal, read_journal
from tuner.trials.outcomes import Failure, Stop
from tuner.trials.schema import record_of

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def eventful(folder: Path) -> StudyStore:
    """A study with trials of every state."""
    store = opened(folder)
    store.add_baselines([*BASELINES, ("ease", {"cls": "EASEModel"}, None)])
    for _ in range(5):
        ask(store)
    store.complete(0, report_all(store, 0), seconds=1.5, log="logs/trial-0000.log")
    store.fail(1, failure=Failure("no", "ValueError"), seconds=2, log="x")
    store.report(3, evaluations_of(3)[0], "NDCG@10", 3)
    store.prune(3, stop=Stop("race", 0, 1, {"difference": -0.5}), seconds=2, log="y")
    return store


# ####  --------------  Read as Optuna reads it  --------------  #### #


def test_a_journal_is_read_as_optuna_replays_it(tmp_path: Path) -> None:
    store = eventful(tmp_path)
    store.add_baselines([("late", {"cls": "PopularModel"}, None)])
    storage = store.study._storage
    study_id = store.study._study_id
    storage.set_study_user_attr(study_id, "note", "x")
    other = optuna.create_study(storage=storage, study_name="other")
    other.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"params": {"cls": "A"}}))
    other.add_trial(optuna.trial.create_trial(state=TrialState.WAITING))
    ask(store)
    for again in ("shop", "gone"):  # a name that exists is refused, but is written to the journal
        try:
            optuna.create_study(storage=open_journal(tmp_path), study_name=again)
        except optuna.exceptions.DuplicatedStudyError:
            assert again == "shop"
    optuna.delete_study(study_name="gone", storage=storage)

    ours, theirs = read_journal(tmp_path / "journal.log"), optuna.get_all_study_summaries(storage)

    assert [study.name for study in ours] == [summary.study_name for summary in theirs] == ["shop", "other"]
    for study, name in zip(ours, ("shop", "other"), strict=True):
        loaded = optuna.load_study(study_name=name, storage=open_journal(tmp_path))
        assert study.attributes == loaded.user_attrs
        assert [record_of(trial) for trial in study.trials] == [record_of(trial) for trial in loaded.trials]
    assert {r.status for r in read_records(tmp_path).records} == {"complete", "failed", "running", "stopped"}


def test_trials_in_any_states_are_given_as_optuna_gives_them(tmp_path: Path) -> None:
    eventful(tmp_path).add_baselines([("late", {"cls": "PopularModel"}, None)])
    ours = open_journal(tmp_path)
    theirs = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    (study,) = ours.get_all_studies()
    for n_states in range(len(TrialState) + 1):
        for states in (None, *combinations(TrialState, n_states)):
            for deepcopy in (True, False):
                given = ours.get_all_trials(study._study_id, deepcopy, states)
                assert given == theirs.get_all_trials(study._study_id, deepcopy, states)
    assert {trial.state for trial in ours.get_all_trials(study._study_id)} == set(TrialState)
    with pytest.raises(KeyError):
        ours.get_all_trials(7)


def test_what_a_dead_driver_reports_after_the_end_of_a_trial_changes_nothing(tmp_path: Path) -> None:
    eventful(tmp_path)
    before = read_records(tmp_path)
    late = tmp_path / "journal.log"
    lines = late.read_bytes().splitlines(keepends=True)
    with late.open("ab") as file:
        file.writelines(line for line in lines if b'"trial_id":0' in line and b'"op_code":4' not in line)
    assert read_records(tmp_path) == before
    assert opened(tmp_path).records() == before.records


def test_without_curves_all_else_is_the_same(tmp_path: Path) -> None:
    eventful(tmp_path)
    whole, short = read_records(tmp_path), read_records(tmp_path, curves=False)
    assert any(record.evaluations for record in whole.records)
    assert short.records == [replace(record, evaluations=()) for record in whole.records]


# ####  --------------  Torn and damaged  --------------  #### #


@pytest.mark.parametrize("end", ["complete", "prune", "ask"])
def test_a_journal_torn_at_any_byte_of_its_last_record_loses_no_earlier_one(
    end: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = eventful(tmp_path)
    if end == "complete":
        store.complete(2, report_all(store, 2), seconds=1, log="z")
    elif end == "ask":
        ask(store)
    journal = tmp_path / "journal.log"
    content = journal.read_bytes()
    begin = content.rfind(b"\n", 0, -1) + 1
    journal.write_bytes(content[:begin])
    expected = read_records(tmp_path)
    assert len(content) - begin > 30

    for cut in range(begin, len(content)):
        journal.write_bytes(content[:cut])
        assert read_records(tmp_path) == expected  # also before it is mended
        caplog.clear()
        with caplog.at_level(logging.WARNING, "tuner"):
            storage = open_journal(tmp_path)
        lost = cut - begin
        wanted = [f"{journal}: removed an incomplete record of {lost} bytes at the end"] if lost else []
        assert [record.getMessage() for record in caplog.records] == wanted
        assert journal.read_bytes() == content[:begin]
        loaded = optuna.load_study(study_name="shop", storage=storage)
        assert [record_of(trial) for trial in loaded.trials] == expected.records
    again = opened(tmp_path)
    for number in again.interrupted():
        ask_again(again, number)
        again.complete(number, report_all(again, number), seconds=1, log="")
    assert again.interrupted() == []


@pytest.mark.parametrize("garbage", [b"garbage\n", b"\x00\xff\n", b'{"op_code":\n', b"{}\n", b"[]\n", b"\n"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_garbage_is_reported_with_its_line(garbage: bytes, place: str, tmp_path: Path) -> None:
    eventful(tmp_path)
    journal = tmp_path / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    at = {"first": 0, "middle": len(lines) // 2, "last": len(lines)}[place]
    damaged = b"".join([*lines[:at], garbage, *lines[at:]])
    journal.write_bytes(damaged)
    for read in (open_journal, read_records):
        with pytest.raises(StoreError, match=rf"journal\.log: .*\n.*, but line {at + 1} cannot be read"):
            read(tmp_path)
    assert journal.read_bytes() == damaged


# ####  --------------  A full disk  --------------  #### #


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size in bytes: what lies beyond is refused, as by a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 40, 500])
def test_what_has_no_room_is_refused_whole_and_later_written(room: int, tmp_path: Path) -> None:
    store = eventful(tmp_path)
    journal = tmp_path / "journal.log"
    begun = journal.read_bytes()
    with (
        largest_file(len(begun) + room),
        pytest.raises(SearchError, match=rf"{journal} cannot be written: File too large") as raised,
        report_lost_store(tmp_path),
    ):
        store.complete(2, report_all(store, 2), seconds=1, log="z")
    assert raised.value.exit_code == 1
    content = journal.read_bytes()
    assert content.startswith(begun)
    assert content.endswith(b"\n")
    assert read_records(tmp_path).records[2].status == "running"

    again = opened(tmp_path)
    assert 2 in again.interrupted()
    ask_again(again, 2)
    again.complete(2, report_all(again, 2), seconds=1, log="z")
    assert list(read_records(tmp_path).records[2].evaluations) == evaluations_of(2)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "studies" / "shop"
    with (
        pytest.raises(StoreError, match="a place that can be written, but got the error: Not a directory"),
        report_lost_store(folder),
    ):
        (tmp_path / "file" / "studies").mkdir()


def test_what_belongs_together_waits_for_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, written, fsync = [], tmp_path / "shop" / "journal.log", os.fsync

    def counted(descriptor: int) -> None:
        waits.append(written.stat().st_size)
        fsync(descriptor)

    store = opened(tmp_path / "shop")
    monkeypatch.setattr(os, "fsync", counted)
    for act in (
        lambda: ask(store),
        lambda: store.report(0, evaluations_of(0)[0], "NDCG@10", 3),
        lambda: store.fail(0, failure=Failure("no", "ValueError"), seconds=1, log=""),
    ):
        waits.clear()
        act()
        assert waits == [written.stat().st_size]  # after the last record
