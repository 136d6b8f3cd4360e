"""A search is killed while some of its trials are paused. The next run loses no result and changes none."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.integration.conftest import ONE_WORKER, Small
from tuner.config import load_study
from tuner.store import read_records, store_exists
from tuner.trials.records import Evaluation

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TRIALS = 6


def test_paused_trials_survive_a_kill_and_keep_their_results(small: Small, monkeypatch) -> None:
    path = small.folder / "study.yaml"
    text = path.read_text().replace("stopping: false", "stopping: {race: false}")
    path.write_text(text.replace("epochs: 2", "epochs: 3").replace("trials: 4", f"trials: {TRIALS}"))
    process = small.start("run", "study.yaml", *ONE_WORKER)
    try:
        while not (paused := paused_trials(small)):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    shown = small.tuner("leaderboard", "studies/small").stdout
    assert re.search(r" paused .* fold 1, epoch 1: \d of \d\s", shown)
    paused |= paused_trials(small)

    again = small.tuner("run", "study.yaml", *ONE_WORKER)
    assert again.returncode == 0, again.stderr
    records = read_records(small.results).records
    assert len(records) == TRIALS + 2
    assert {record.status for record in records} == {"complete", "stopped"}
    assert [record.status for record in records if record.name] == ["complete", "complete"]
    for record in records:
        if record.stop is not None:
            assert record.stop.rule == "halving"
            assert record.stop.evidence["place"] > record.stop.evidence["kept"]
    assert not list((small.results / "checkpoints").iterdir())

    monkeypatch.chdir(small.folder)
    paused = [record for record in records if record.number in paused]
    for record in paused[:2]:
        undisturbed = evaluated(path, dict(record.params), record.seeds)
        curve = [(e.fold, e.epoch, e.metrics, e.train_loss) for e in record.evaluations]
        assert curve == undisturbed[: len(curve)]


def paused_trials(small: Small) -> set[int]:
    if not store_exists(small.results):
        return set()
    return {r.number for r in read_records(small.results).records if r.status == "paused"}


def evaluated(path: Path, params: dict, seeds: tuple[int, ...]) -> list[object]:
    """Evaluate a trial in this process, from its first epoch to its last."""
    import torch

    from tuner.evaluation import evaluate_folds
    from tuner.preparation.prepare import prepare

    prepared = prepare(load_study(path), lambda _: None)
    made: list[Evaluation] = []
    torch.set_num_threads(1)  # as a trial with one CPU: sums over more threads differ in their last digits
    evaluate_folds(params, prepared.folds, prepared.plan, seeds, made.append)
    return [(e.fold, e.epoch, e.metrics, e.train_loss) for e in made]
