"""Rows of a study run again: equal to the last digit, or what differs is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from tests.made_study import STOPPED, WAITING
from tuner.artifacts.layout import STUDY_FILE
from tuner.cli import main
from tuner.config import Study
from tuner.errors import StoreError
from tuner.store import read_records
from tuner.trials.records import Evaluation
from tuner.trials.status import TrialStatus
from tuner.workflows.reproduce import TRAIN_LOSS, Difference, Reproduced, compare_runs, reproduce

ROWS = ("sasrec", "next_action_unidirectional", "albert", STOPPED)


def test_rows_are_equal_to_the_last_digit(made_study, capsys):
    again = made_study.parent / "again"
    shutil.copytree(made_study, again, dirs_exist_ok=True)
    assert main(["reproduce", str(again), *ROWS, "ease", "--interactions", _data(made_study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1].split(",")[0] for line in lines] == [" equal"] * 5
    assert "all 12 values of 4 evaluations" in lines[0]
    assert lines[3].endswith(
        "all 3 values of 1 evaluations to the last digit, up to where halving stopped it"
    )


def test_a_value_that_differs_is_named_with_by_how_much(made_study, tmp_path, capsys):
    changed = tmp_path / "made"
    shutil.copytree(made_study, changed)
    record = _record(changed, "sasrec")
    value = record.evaluations[3].metrics["HitRate@10"]
    _rewrite(changed / "journal.log", record.number, fold=1, epoch=2, value=value + 0.25)
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", str(changed), "sasrec", "--interactions", _data(made_study)])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "differs" in out
    assert "1 of 12 values, by at most 0.25" in out
    assert f"fold 2, epoch 2: HitRate@10 was {value + 0.25!r}, is {value!r} (-0.25)" in out
    assert "versions, threads and kind of processor are the same" in out


def test_a_trial_without_evaluations_is_refused(made_study):
    study = Study.load(made_study / STUDY_FILE, [f"data.interactions={_data(made_study)}"])
    with pytest.raises(StoreError, match="must have an evaluation, but trial 5 is queued"):
        next(reproduce(study, made_study, [WAITING], print))


def test_other_data_are_refused(made_study, tmp_path):
    other = tmp_path / "clicks.csv"
    text = (made_study.parents[1] / "clicks.csv").read_text(encoding="utf-8")
    other.write_text("\n".join(text.splitlines()[:-5]), encoding="utf-8")
    study = Study.load(made_study / STUDY_FILE, [f"data.interactions={other}"])
    with pytest.raises(StoreError, match="data: must be as in the search"):
        next(reproduce(study, made_study, ["ease"], print))


def test_a_point_that_was_not_reached_again_is_a_difference():
    evaluation = Evaluation(0, 1, {"NDCG@10": 0.5}, train_loss=1.0)
    n_values, differences = compare_runs([evaluation], [])
    assert n_values == 2
    assert differences == (
        Difference(0, 1, TRAIN_LOSS, 1.0, None),
        Difference(0, 1, "NDCG@10", 0.5, None),
    )


def test_a_metric_that_the_study_got_later_is_no_difference():
    before = Evaluation(0, 1, {"NDCG@10": 0.5})
    now = replace(before, metrics={"NDCG@10": 0.5, "MAP@10": 0.1})
    assert compare_runs([before], [now]) == (1, ())


def test_a_failed_trial_is_equal_if_it_fails_the_same_way(made_study):
    from tuner.trials.outcomes import Failure

    record = replace(
        _record(made_study, "sasrec"), failure=Failure("fold 1: no", "ValueError"), status=TrialStatus.FAILED
    )
    assert Reproduced(record, 0, failure="fold 1: no").equal
    assert not Reproduced(record, 0, failure=None).equal
    assert "it failed before: fold 1: no" in str(Reproduced(record, 0))


def _record(folder, name):
    return next(record for record in read_records(folder).records if record.name == name)


def _data(made_study):
    return str(made_study.parents[1] / "clicks.csv")


def _rewrite(journal, number, *, fold, epoch, value):
    """Change one recorded value, as a run on other versions would have written it."""
    key = f"evaluation:{fold}:{epoch}"
    lines = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("trial_id") == number and key in entry.get("user_attr", {}):
            entry["user_attr"][key]["metrics"]["HitRate@10"] = value
        lines.append(json.dumps(entry, separators=(",", ":")))
    journal.write_text("\n".join(lines) + "\n", encoding="utf-8")
