"""A metric of one name is measured in one way in a study; metrics may come and go, which is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuner.config import Study
from tuner.errors import StoreError
from tuner.workflows.measured_before import changes_of_metrics
from tuner.workflows.opening import write_snapshot

NDCG = {"objective": "NDCG@10", "direction": "maximize"}


def study_of(**metrics: Any) -> Study:
    return Study(
        study="shop",
        data={"interactions": "clicks.csv"},
        folds={"split": "last_n", "size": 1},
        metrics={**NDCG, **metrics},
        space={"set": {"cls": "EASEModel"}},
        baselines=["popular", "ease"],
    )


def changes(folder: Path, before: Study, now: Study) -> list[str]:
    write_snapshot(before, folder)
    return changes_of_metrics(now, folder)


def test_another_reference_would_mix_values_of_two_metrics(tmp_path: Path) -> None:
    by_popular = study_of(report=["Intersection@10"], reference="popular")
    by_ease = study_of(report=["Intersection@10"], reference="ease")
    with pytest.raises(StoreError) as caught:
        changes(tmp_path, by_popular, by_ease)
    (problem,) = caught.value.problems
    assert problem.where == "metrics.reference"
    assert problem.rule == "must stay as it was for Intersection@10: 'popular', but got 'ease'"
    assert problem.hint.startswith("to start a new study")
    assert changes(tmp_path, study_of(), by_ease) == [
        "metrics.report: gains Intersection@10; earlier trials keep their values"
    ]


def test_other_options_would_mix_values_of_two_metrics(tmp_path: Path) -> None:
    plain, capped = study_of(report=["MAP@10"]), study_of(report=[{"MAP@10": {"divide_by_k": True}}])
    with pytest.raises(
        StoreError, match=r"metrics.report: must stay as it was: 'MAP@10', but got \{'MAP@10':"
    ):
        changes(tmp_path, plain, capped)


def test_metrics_that_come_and_go_are_told(tmp_path: Path) -> None:
    before, now = study_of(report=["HitRate@10", "MRR@10"]), study_of(report=["MRR@10", "MAP@5", "Recall@5"])
    assert changes(tmp_path, before, now) == [
        "metrics.report: gains MAP@5 and Recall@5, loses HitRate@10; earlier trials keep their values"
    ]
    assert changes(tmp_path, now, now) == []


def test_a_study_that_is_new_or_of_another_version_has_nothing_to_compare(tmp_path: Path) -> None:
    assert changes_of_metrics(study_of(), tmp_path) == []
    for text in ("study: shop", "metrics: {objective: A@1, direction: up}", "[", "metrics: 3"):
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        assert changes_of_metrics(study_of(), tmp_path) == []
