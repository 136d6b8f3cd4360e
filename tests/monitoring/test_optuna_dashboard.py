"""optuna-dashboard opens a study of ours: a real server, asked by its HTTP API."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError

import optuna
import pytest
from optuna_dashboard import get_note

from tuner.monitoring.optuna_dashboard import MOST_NOTES, DashboardNotes
from tuner.reporting.leaderboard import load_leaderboard
from tuner.trials.messages import Job
from tuner.trials.outcomes import Stop


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def answered(ask: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.mark.ray
@pytest.mark.slow
def test_it_shows_names_and_notes_of_a_real_run(shop_folder: Path) -> None:
    port = free_port()
    journal = shop_folder / "studies" / "shop" / "journal.log"
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), str(journal), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:

            def ask(path: str) -> Any:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=20) as answer:
                    return json.load(answer)

            (study,) = answered(lambda: ask("studies"))["study_summaries"]
            whole = ask(f"studies/{study['study_id']}")
        finally:
            server.terminate()
    board = load_leaderboard(shop_folder / "studies" / "shop")
    assert study["study_name"] == whole["name"] == "shop"
    assert whole["objective_names"] == ["NDCG@10"]
    assert whole["note"]["body"].startswith("## shop\n")
    assert "`tuner leaderboard studies/shop`" in whole["note"]["body"]
    trials = {trial["number"]: trial for trial in whole["trials"]}
    for row in board.rows:
        trial = trials[row.record.number]
        body = trial["note"]["body"]
        assert body.startswith(f"**{row.record.label}**")
        if row.record.summary:
            assert trial["values"] == [row.record.summary.mean]
            assert f"NDCG@10 {row.record.summary.mean:.4f}" in body
            assert "| metric | mean | fold 1 | fold 2 |" in body
        else:
            assert " stopped after " in body
        names = [attr["value"] for attr in trial["user_attrs"] if attr["key"] == "name"]
        assert names == ([row.record.name] if row.record.name else [])


def test_notes_are_as_the_dashboard_itself_reads_them() -> None:
    study = optuna.create_study(study_name="shop")
    study.set_user_attr("facts", {"objective": "MAP@10", "space": {"much": "more"}})
    notes = DashboardNotes(study, ("MAP@10",), "studies/shop")
    assert re.search(r"- objective: `MAP@10`\n\n`tuner leaderboard", get_note(study))
    trial = study.ask()
    job = Job(trial.number, {"cls": "a.b.SASRecModel"}, (1,), "mine")
    notes.failed(job, "it broke\n" + "because " * 600, "logs/trial-0000.log")
    assert get_note(trial).startswith("**mine** (SASRecModel) failed; its log: `logs/trial-0000.log`\n")
    assert get_note(trial).count("because") == 600


def test_a_note_of_a_person_stays(recwarn: pytest.WarningsRecorder) -> None:
    from optuna_dashboard import save_note

    study = optuna.create_study(study_name="shop")
    DashboardNotes(study, ("MAP@10",), "studies/shop")
    save_note(study, "mine")
    DashboardNotes(study, ("MAP@10",), "studies/shop")
    assert get_note(study) == "mine"
    assert [str(warning.message) for warning in recwarn if "metric_names" in str(warning.message)] == []


def test_notes_end_before_they_are_too_many() -> None:
    study = optuna.create_study()
    notes = DashboardNotes(study, ("MAP@10",), "studies/shop")
    stop = Stop("halving", 0, 2, {"value": 0.1, "place": 3, "n_trials": 4, "rung": 2, "kept": 2})
    notes.stopped(Job(MOST_NOTES, {}, (), "x"), stop, 1.0)  # there is no such trial: it would raise
