"""A run that ends without a complete trial is no success, however small its budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.conftest import write_interactions
from tuner.cli import main

STUDY = """\
study: none
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 2, holdout: 1}
metrics: {objective: NDCG@10, direction: maximize}
space: {set: {cls: EASEModel, regularization: [1, 10]}}
search: {trials: 1}
"""


def test_a_run_whose_only_trial_failed_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trial is in the store, so nothing is left to search, and Ray is not started."""
    from tuner.config import Study
    from tuner.preparation.prepare import prepare
    from tuner.trials.outcomes import Failure
    from tuner.workflows.opening import open_prepared, write_snapshot

    monkeypatch.chdir(tmp_path)
    write_interactions(tmp_path / "clicks.csv")
    Path("study.yaml").write_text(STUDY)
    study = Study.load("study.yaml")
    results = tmp_path / "studies" / "none"
    results.mkdir(parents=True)
    prepared = prepare(study, lambda line: None)
    store = open_prepared(prepared, results)
    write_snapshot(study, results)
    asked = store.ask(prepared.space, 2, dict)
    assert asked is not None
    store.fail(asked.number, failure=Failure("broken layer", "ValueError"), seconds=1, log="")

    assert main(["run", "study.yaml", "--json-lines", "events.jsonl"]) == 1

    err = capsys.readouterr().err
    assert "the search has ended without a complete trial\n" in err
    assert (
        "  the last failure: broken layer; see studies/none/logs; correct the cause; failed trials do" in err
    )
    assert "do not run again: to start a new study, give it another name or another --output\n" in err
    *_, last = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert (last["event"], last["reason"]) == ("ended", "failed")


def test_a_new_study_with_nothing_to_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_interactions(tmp_path / "clicks.csv")
    Path("study.yaml").write_text(STUDY)
    assert main(["run", "study.yaml", "--trials", "0"]) == 2
    err = capsys.readouterr().err
    assert "must be at least 1 in a study without baselines, but got 0\n" in err
    assert "nothing left to do" not in err
