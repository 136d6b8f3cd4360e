"""What is wrong with a study besides its data: found at once, before data are read, at the file's lines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tuner.config import Study
from tuner.config.snapshot import snapshot
from tuner.errors import StudyError
from tuner.preparation.prepare import prepare

STUDY = """\
study: shop
data: {interactions: nowhere.csv}
folds: {split: last_n, size: 1, n_folds: 1}
metrics: {objective: NDCG@10, direction: maximize, reference: popula}
space:
  use: search_spaces.guide
  set:
    n_factor: 16
    lr: quick
baselines:
  - popular
  - populer
  - {name: own, use: sasrec, params: {epoch: 3}}
search: {trials: 2, sampler: {use: tpe, options: {n_startup_trial: 3}}}
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return Study.load(path)


def test_problems_of_space_baselines_and_sampler_come_together(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        prepare(study, pytest.fail)
    assert caught.value.source == str(tmp_path / "study.yaml")
    assert sorted(((one.where, one.line) for one in caught.value.problems), key=lambda one: one[1]) == [
        ("metrics.reference", 4),
        ("space.set.n_factor", 8),
        ("space.set.lr", 9),
        ("baselines[1]", 12),
        ("baselines[2]", 13),
        ("search.sampler.options.n_startup_trial", 14),
    ]


def test_a_study_from_python_has_its_name_instead_of_a_file(study: Study) -> None:
    again = Study.model_validate(yaml.safe_load(snapshot(study)))
    assert again == study, "where a study is written is no part of it"
    with pytest.raises(StudyError) as caught:
        prepare(again, pytest.fail)
    assert caught.value.source == "shop"
    assert {one.line for one in caught.value.problems} == {None}


def test_lines_of_a_profile_and_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY + "profiles:\n  quick:\n    baselines: [popular, random2]\n", encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        prepare(Study.load(path, ["space.set.n_factor=8"], "quick"), pytest.fail)
    lines = {one.where: one.line for one in caught.value.problems}
    assert lines["space.set.n_factor"] is None, "it is not the file's value"
    assert lines["baselines[1]"] == 17


def test_a_sampler_that_cannot_choose_is_found_before_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    text = STUDY.replace("{n_startup_trial: 3}", "{n_ei_candidates: 0}").replace("popula}", "popular}")
    text = text.replace("    n_factor: 16\n    lr: quick\n", "    n_factors: 16\n")
    path.write_text(text.replace("populer", "ease").replace("epoch:", "epochs:"), encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        prepare(Study.load(path), pytest.fail)
    (problem,) = caught.value.problems
    assert (problem.where, problem.line) == ("search.sampler.options", 13)
