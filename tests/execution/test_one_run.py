"""A process runs one study at a time, and refuses a second run before it costs anything."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tuner.config import Study
from tuner.errors import UserError
from tuner.execution.one_run import begin_run, one_run
from tuner.workflows import run as run_module
from tuner.workflows.final import run_final

ALREADY = "this process runs study 'first' already"


def study(name: str) -> Study:
    return Study(
        study=name,
        data={"interactions": "clicks.csv"},
        folds={"split": "last_n", "size": 1, "holdout": 1},
        metrics={"objective": "NDCG@10", "direction": "maximize"},
        space={"set": {"cls": "EASEModel"}},
    )


def test_a_second_run_is_refused_and_the_next_one_begins() -> None:
    end = begin_run("first")
    with pytest.raises(UserError, match=ALREADY) as refused, one_run("second"):
        pass
    assert "going.wait() or going.stop()" in str(refused.value)
    end()
    with one_run("second"):
        pass
    with pytest.raises(ZeroDivisionError), one_run("third"):
        raise ZeroDivisionError
    begin_run("fourth")()


def test_run_and_judge_are_refused_beside_a_run_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    monkeypatch.setattr(run_module, "_run", lambda *given, **named: free.wait(60))
    monkeypatch.setattr(run_module, "board_of", lambda place: None)
    monkeypatch.setattr("tuner.workflows.final.load_leaderboard", lambda folder: None)
    going = run_module.run(study("first"), tmp_path, background=True)
    for background in (False, True):
        with pytest.raises(UserError, match=ALREADY):
            run_module.run(study("second"), tmp_path, background=background)
    with pytest.raises(UserError, match=ALREADY):
        run_final(study("second"), tmp_path / "second")
    assert not (tmp_path / "second").exists()
    free.set()
    going._thread.join(60)
    run_module.run(study("second"), tmp_path)  # the first one has ended
