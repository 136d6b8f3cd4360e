"""A study that version 0.1.0 began, and that was killed, is continued: exactly its budget, nothing twice.

`make_old_study.py` made it. Its journal has complete, stopped and paused trials, one that was interrupted
after its checkpoint, and one that was interrupted before its first.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import ONE_WORKER, Small
from tests.integration.test_pause import evaluated
from tuner.store import read_records
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow]

OLD = Path(__file__).with_name("old_study")
BUDGET = 12
BASELINES = 1


@pytest.fixture
def study(tmp_path: Path) -> Small:
    """Return a folder with a copy of the old study, as its driver left it."""
    for name in ("clicks.csv", "study.yaml"):
        shutil.copy(OLD / name, tmp_path / name)
    shutil.copytree(OLD / "results", tmp_path / "studies" / "old")
    return Small(tmp_path)


def records_of(study: Small) -> list[TrialRecord]:
    return read_records(study.folder / "studies" / "old").records


def test_a_study_of_version_0_1_0_is_continued_to_exactly_its_budget(study: Small, monkeypatch) -> None:
    before = {record.number: record for record in records_of(study)}
    ended = [record for record in before.values() if record.status.has_ended]
    paused = [record for record in before.values() if record.status == TrialStatus.PAUSED]
    interrupted = [record for record in before.values() if record.status == TrialStatus.RUNNING]
    assert {record.status for record in ended} == {TrialStatus.COMPLETE, TrialStatus.STOPPED}
    assert len(paused) >= 2
    assert any(record.evaluations for record in interrupted)

    # With resume=1 each paused trial is resumed, whatever the sampler finds meanwhile.
    resumed = ("--set", "stopping.halving.resume=1.0")
    run = study.tuner("run", "study.yaml", *resumed, *ONE_WORKER)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr

    records = records_of(study)
    assert [record.number for record in records] == list(range(BUDGET + BASELINES))
    assert {record.status for record in records} == {TrialStatus.COMPLETE, TrialStatus.STOPPED}
    assert not list((study.folder / "studies" / "old" / "checkpoints").iterdir())
    for record in ended:
        assert records[record.number] == record, "a trial that had ended does not change"
    for record in (*paused, *interrupted):
        check_continued(study, record, records[record.number])

    monkeypatch.chdir(study.folder)
    for record in (paused[0], max(paused, key=epochs_of), max(interrupted, key=epochs_of)):
        check_undisturbed(study, records[record.number])


def epochs_of(record: TrialRecord) -> int:
    return len(record.evaluations)


def check_continued(study: Small, before: TrialRecord, after: TrialRecord) -> None:
    """Check that a trial kept its params, seeds and checkpoint, and trained on from there."""
    assert (after.params, after.seeds, after.started) == (before.params, before.seeds, before.started)
    assert after.attempts[: len(before.attempts)] == before.attempts or before.status == TrialStatus.RUNNING
    assert len(after.attempts) > len(before.attempts)
    assert len(after.evaluations) > len(before.evaluations)
    n_known = before.pause.epoch if before.pause is not None else known_by_checkpoint(before.number)
    # An evaluation that was made again would have other times.
    assert after.evaluations[:n_known] == before.evaluations[:n_known]
    log = (study.folder / "studies" / "old" / f"logs/trial-{before.number:04d}.log").read_text()
    assert not re.search("starts from the beginning|Traceback", log), log


def known_by_checkpoint(number: int) -> int:
    from tuner.training.checkpoints import read_checkpoint

    path = OLD / "results" / "checkpoints" / f"trial-{number:04d}.ckpt"
    return sum(len(read_checkpoint(path, 1.0, fold=fold).evaluations) for fold in range(2))


def check_undisturbed(study: Small, record: TrialRecord) -> None:
    """Compare a trial with an evaluation of its params and seeds in this process.

    The tolerance allows for other processors than the one that made the old study: they round sums in another
    way. Other random numbers for dropout and batches would change the loss by several percent.
    """
    made = evaluated(study.folder / "study.yaml", dict(record.params), record.seeds)
    for evaluation, (fold, epoch, metrics, loss) in zip(record.evaluations, made, strict=False):
        assert (evaluation.fold, evaluation.epoch) == (fold, epoch)
        assert evaluation.train_loss == pytest.approx(loss, rel=1e-4)
        assert evaluation.metrics == pytest.approx(metrics, abs=5e-3)
