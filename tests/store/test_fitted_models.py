"""Models of the best trials: kept while they are among the best, removed as they fall out."""

from __future__ import annotations

import pytest

from tuner.artifacts import layout
from tuner.config import study_from_mapping
from tuner.store.fitted_models import FittedModelRetention, save_fitted_model
from tuner.trials.constraints import Constraint
from tuner.trials.messages import Job
from tuner.trials.objective import summarise
from tuner.trials.outcomes import Stop
from tuner.trials.records import Evaluation
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

STUDY = {
    "study": "shop",
    "data": {"interactions": "events.csv"},
    "folds": {"split": "last_n", "size": 1},
    "metrics": {"objective": "NDCG@10", "direction": "maximize"},
    "space": {"set": {"cls": "SASRecModel"}},
    "training": {"keep_checkpoints": 2},
}


def test_the_best_are_kept_and_others_removed_as_they_fall_out(tmp_path):
    kept = FittedModelRetention(tmp_path, 2, "maximize")
    seen = []
    for number, value in enumerate([0.3, 0.1, 0.2, 0.05, 0.4]):
        _write(tmp_path, number)
        kept.finished(_job(number), _summary(value), 1.0)
        seen.append(_there(tmp_path))
    assert seen == [{0}, {0, 1}, {0, 2}, {0, 2}, {0, 4}]


def test_a_better_trial_without_epochs_takes_no_place(tmp_path):
    """EASE has no model that is saved: the best transformer stays."""
    kept = FittedModelRetention(tmp_path, 1, "maximize")
    _write(tmp_path, 0)
    kept.finished(_job(0), _summary(0.1), 1.0)
    kept.finished(_job(1), summarise([Evaluation(0, 0, {"NDCG@10": 0.9})], "NDCG@10", "maximize"), 1.0)
    assert _there(tmp_path) == {0}


def test_the_smallest_are_the_best_where_the_study_says_so(tmp_path):
    kept = FittedModelRetention(tmp_path, 1, "minimize")
    for number, value in enumerate([0.3, 0.1, 0.2]):
        _write(tmp_path, number)
        kept.finished(_job(number), _summary(value), 1.0)
    assert _there(tmp_path) == {1}


def test_a_trial_that_breaks_a_constraint_comes_after_all_that_do_not(tmp_path):
    kept = FittedModelRetention(tmp_path, 1, "maximize", [Constraint.parse("NDCG@10 <= 0.5")])
    for number, value in enumerate([0.9, 0.1]):
        _write(tmp_path, number)
        kept.finished(_job(number), _summary(value), 1.0)
    assert _there(tmp_path) == {1}


def test_stopped_and_failed_trials_keep_nothing(tmp_path):
    kept = FittedModelRetention(tmp_path, 5, "maximize")
    _write(tmp_path, 0)
    _write(tmp_path, 1)
    kept.stopped(_job(0), Stop("halving", 0, 1, {}), 1.0)
    kept.failed(_job(1), "no", "logs/x")
    assert _there(tmp_path) == set()


def test_a_run_begins_with_what_belongs(tmp_path):
    """A driver was killed before it removed what fell out; a trial under way may go on with what it has."""
    for number in range(6):
        _write(tmp_path, number)
    records = [
        *(
            TrialRecord(number, TrialStatus.COMPLETE, None, {}, summary=_summary(value))
            for number, value in enumerate([0.1, 0.2, 0.3])
        ),
        TrialRecord(3, TrialStatus.RUNNING, None, {}),
        TrialRecord(4, TrialStatus.STOPPED, None, {}),
    ]
    kept = FittedModelRetention.of(study_from_mapping(STUDY), tmp_path, records)
    assert _there(tmp_path) == {1, 2, 3}
    assert kept.promise(2, 3) == "models: those of the best 2 trials are retained, at most 12 files at once"
    none = study_from_mapping({**STUDY, "training": {}})
    FittedModelRetention.of(none, tmp_path, [])
    assert _there(tmp_path) == set()


@pytest.mark.usefixtures("one_thread")
def test_a_kept_model_recommends_as_it_did(folds, tmp_path):
    from pandas.testing import assert_frame_equal
    from rectools.models import load_model

    from tuner.config import Metric
    from tuner.evaluation import Plan, evaluate_folds, recommend

    plan = Plan((Metric("NDCG", 10),), "NDCG@10", "maximize", filter_viewed=True)
    params = {"cls": "SASRecModel", "epochs": 1, "n_factors": 8, "n_heads": 1, "session_max_len": 8}
    before = {}

    def keep(fold, model):
        save_fitted_model(tmp_path, 7, fold, model)
        before[fold] = recommend(model, folds[fold], 10, filter_viewed=True)

    evaluate_folds(params, folds, plan, (1, 2), lambda evaluation: None, keep_model=keep)
    files = sorted(path.name for path in layout.models_folder(tmp_path, 7).iterdir())
    assert files == ["fold-1.pickle", "fold-2.pickle"]
    for fold, expected in before.items():
        model = load_model(layout.models_folder(tmp_path, 7) / f"fold-{fold + 1}.pickle")
        assert_frame_equal(recommend(model, folds[fold], 10, filter_viewed=True), expected)


def test_models_that_are_not_trained_are_not_kept(folds, tmp_path):
    from rectools.models import PopularModel

    save_fitted_model(tmp_path, 0, 0, PopularModel().fit(folds[0].train))
    assert _there(tmp_path) == set()


def _job(number):
    return Job(number, {}, (), "SASRecModel")


def _summary(value):
    return summarise([Evaluation(0, 1, {"NDCG@10": value})], "NDCG@10", "maximize")


def _write(folder, number):
    path = layout.models_folder(folder, number)
    path.mkdir(parents=True)
    (path / "fold-1.pickle").write_bytes(b"model")


def _there(folder):
    return {int(path.name.removeprefix("trial-")) for path in (folder / "models").glob("trial-*")}
