"""A real run of README's study, made small: what it says and stores, and that it continues when asked."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.finished import started
from tests.integration.conftest import ONE_WORKER, PATIENCE
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records
from tuner.trials.stored import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow]

#: Every line that a run may print to stderr when that is no terminal.
CALM = [
    r"data: [\d,]+ interactions of .*",
    r"fold \d: .*",
    r"holdout: .*",
    r"search: \d+ trials? at once; results in .*",
    r"the search ends: \d+ trials are done .*",
    r"\d\d:\d\d:\d\d +\d+/\d+  trial \d+ \w+: NDCG@10 [\d.e-]+ ± [\d.e-]+.*",
    r"\d\d:\d\d:\d\d +\d+/\d+  trial \d+ \w+ stopped after fold \d, epoch \d by (halving|race): .*",
    r"best: trial \d+ \w+, NDCG@10 [\d.]+",
    r"best of the search: trial \d+ \w+, NDCG@10 [\d.]+, [+-][\d.]+ against \w+",
    r"best \w+: trial \d+ \w+, NDCG@10 [\d.]+",
    r"results: .*",
    r"  (tuner leaderboard|tuner show|tensorboard --logdir) .*",
    r"",
]
#: Metrics of README's study.
METRICS = {"NDCG@10", "HitRate@10", "Serendipity@10", "CoveredUsers@10"}


def test_it_says_little(finished_shop: Path) -> None:
    said = (finished_shop / "stderr").read_text(encoding="utf-8").splitlines()
    assert [line for line in said if not any(re.fullmatch(calm, line) for calm in CALM)] == []
    shown = (finished_shop / "stdout").read_text(encoding="utf-8").splitlines()
    assert shown[0].split()[:3] == ["rank", "trial", "model"]
    assert len(shown) == 1 + 7


def test_what_it_stores(finished_shop: Path) -> None:
    results = finished_shop / "studies" / "shop"
    board = load_leaderboard(results)
    assert [row.record.name for row in sorted(board.rows, key=lambda row: row.record.number)] == [
        "popular",
        "ease",
        "sasrec",
        *[None] * 4,
    ]
    assert {row.status for row in board.rows if row.record.name} == {"complete"}
    storage = JournalStorage(JournalFileBackend(str(results / "journal.log")))
    study = optuna.load_study(study_name="shop", storage=storage)
    assert board.best is not None
    assert board.best.record.summary is not None
    assert (study.best_trial.number, study.best_value) == (
        board.best.record.number,
        board.best.record.summary.mean,
    )
    stored = read_records(results)
    assert [fold["test"] > 0 for fold in stored.description["folds"]] == [True] * 2
    assert stored.description["data"]["users"] > 0
    for record in stored.records:
        check_tensorboard(results, record)
        assert {(one.host, one.pid > 0) for one in record.attempts} == {(socket.gethostname(), True)}
        assert all(one.seconds > 0 for one in record.attempts)
        assert (results / record.log).read_text().startswith(f"trial {record.number}: ")
        assert record.evaluations[-1].metrics.keys() >= METRICS
        if record.name:
            assert [one.folds for one in record.attempts] == [(0,), (1,)], "an attempt for each fold"


def check_tensorboard(results: Path, record: TrialRecord) -> None:
    (run,) = (results / "tensorboard").glob(f"{record.number:04d}-*")
    events = EventAccumulator(str(run))
    events.Reload()
    tags = events.Tags()["scalars"]
    for evaluation in record.evaluations:
        for label, value in evaluation.metrics.items():
            points = {e.step: e.value for e in events.Scalars(f"fold{evaluation.fold + 1}/{label}")}
            assert points[evaluation.epoch] == pytest.approx(value, rel=1e-6)
    assert ("fold1/train_loss" in tags) == (record.evaluations[-1].train_loss is not None)
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert "_hparams_/session_end_info" in events.summary_metadata


def test_it_knows_when_it_is_done(shop_folder: Path) -> None:
    assert "nothing left to do" in tuner("run", "shop.yaml").stderr
    shown = tuner("leaderboard", "shop.yaml", "--format", "json", "--top", "2")
    assert [row["rank"] for row in json.loads(shown.stdout)["rows"]] == [1, 2]
    board = load_leaderboard(shop_folder / "studies" / "shop")
    assert board.best is not None
    assert f"trial {board.best.record.number} " in tuner("show", "studies/shop", "best").stdout


@pytest.mark.long
def test_it_takes_more_when_asked(shop_folder: Path) -> None:
    more = tuner("run", "shop.yaml", "--trials", "5", *ONE_WORKER)
    assert "trial 7 " in more.stderr
    assert len(load_leaderboard(shop_folder / "studies" / "shop").rows) == 8


def tuner(*arguments: str) -> subprocess.CompletedProcess[str]:
    with started(Path.cwd(), *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return subprocess.CompletedProcess(arguments, 0, out, err)
