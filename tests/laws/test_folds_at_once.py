"""Folds that run at once on several workers give what they give one after the other, to the last digit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Small, write_interactions
from tuner.store import read_records
from tuner.trials.stored import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SMALL: dict[str, Any] = {
    "n_factors": 8,
    "n_heads": 2,
    "n_blocks": 2,
    "session_max_len": 8,
    "batch_size": 32,
    "dropout_rate": 0.2,
}
NEXT_ACTION = {
    "cls": "BERT4RecModel",
    "data_preparator_type": "search_spaces.next_action.NextActionDataPreparator",
    "lightning_module_type": "search_spaces.next_action.NextActionLightningModule",
    "use_causal_attn": True,
}
CHEAP = {"sasrec": {"cls": "SASRecModel", **SMALL}, "popular": {"cls": "PopularModel"}}
WIDE = {
    "bert4rec": {"cls": "BERT4RecModel", **SMALL, "loss": "gBCE", "n_negatives": 8},
    "next_action": {**NEXT_ACTION, **SMALL},
    "albert": {
        "cls": "BERT4RecModel",
        **SMALL,
        "transformer_layers_type": "search_spaces.albert.AlbertLayers",
    },
    "hstu": {"cls": "HSTUModel", **SMALL, "relative_time_attention": False},
    "ease": {"cls": "EASEModel", "regularization": 50.0},
}
N_FOLDS = 3


def study(models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "study": "small",
        "data": {"interactions": "clicks.csv"},
        "folds": {"split": "last_n", "size": 1, "n_folds": N_FOLDS, "holdout": 1, "filter_viewed": False},
        "metrics": {"objective": "NDCG@10", "direction": "maximize", "report": ["HitRate@10"]},
        "space": {"set": {"cls": "SASRecModel", **SMALL, "lr": {"float": [1e-3, 1e-2]}}},
        "baselines": [{"name": name, "params": params} for name, params in models.items()],
        "search": {"trials": 2},
        "training": {"epochs": 2},
        "resources": {"concurrency": N_FOLDS - 1, "cpus_per_trial": 0.5},
        "stopping": False,
    }


@pytest.mark.parametrize(
    "models",
    [
        pytest.param(CHEAP, id="cheap"),
        pytest.param(CHEAP | WIDE, id="wide", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_folds_at_once_equal_folds_in_sequence(
    models: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(models)))
    small = Small(tmp_path)
    run = small.tuner("run", "study.yaml")
    assert run.returncode == 0, run.stderr
    monkeypatch.chdir(tmp_path)
    for record in read_records(small.results).records:
        assert record.status == "complete"
        assert sorted(attempt.folds for attempt in record.attempts) == [(0,), (1,), (2,)]
        check_digits(record, small.results)
    shown = small.tuner("show", "studies/small", "0").stdout
    assert all(f"attempt {fold}, fold {fold} on " in shown for fold in range(1, N_FOLDS + 1))
    assert "trial-0000-fold-3.log" in shown
    assert not list((small.results / "checkpoints").glob("*"))


def check_digits(record: TrialRecord, results: Path) -> None:
    """Compare a trial with an evaluation of its folds in this process, one after the other."""
    from tuner.artifacts.user_values import read_users
    from tuner.config import Study
    from tuner.evaluation import evaluate_folds
    from tuner.preparation.prepare import prepare
    from tuner.trials.objective import summarise
    from tuner.trials.records import Evaluation, Users

    prepared = prepare(Study.load("study.yaml"), lambda _: None)
    made: list[Evaluation] = []
    by_user: list[Users] = []
    evaluate_folds(
        record.params, prepared.folds, prepared.plan, record.seeds, made.append, report_users=by_user.append
    )
    digits = [(e.fold, e.epoch, e.metrics, e.train_loss) for e in made]
    assert [(e.fold, e.epoch, e.metrics, e.train_loss) for e in record.evaluations] == digits
    expected, found = summarise(made, "NDCG@10", "maximize"), record.summary
    assert found is not None
    assert (found.epoch, found.mean, found.std, found.metrics, tuple(found.folds)) == (
        expected.epoch,
        expected.mean,
        expected.std,
        expected.metrics,
        tuple(expected.folds),
    )
    stored = list(read_users(results, record.number))
    assert [(one.fold, one.epochs, one.values.tolist()) for one in stored] == [
        (one.fold, one.epochs, one.values.tolist()) for one in by_user
    ]
