"""What is wrong with a study besides its data: found at once, before data are read, at the file's lines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tuner.config import Study
from tuner.config.snapshot import snapshot
from tuner.errors import StudyError
from tuner.preparation.further import read_study
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
        ("baselines[2] own, epoch", 13),
        ("search.sampler.options.n_startup_trial", 14),
    ]


def read(tmp_path: Path, space: str) -> set[tuple[str, int | None, str | None]]:
    text = STUDY[: STUDY.index("space:")] + f"space: {{{space}}}\n"
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        read_study(tmp_path / "study.yaml")
    return {(one.where, one.line, one.hint) for one in caught.value.problems}


def test_names_are_checked_beside_domains_that_cannot_be_read(tmp_path: Path) -> None:
    params = [
        "cls: SASRecModel, n_factor: 16, lr: {float: [1e-2, 1e-3]}, n_blocks: {int: [1, 2, 3]}",
        "lss: softmax, transformer_layers_type: no_such_module.Layers, n_heads: [1, 1]",
    ]
    assert read(tmp_path, f"set: {{{', '.join(params)}}}") == {
        ("space.set.n_factor", 5, "did you mean 'n_factors'?"),
        ("space.set.lr", 5, "put the lower bound first"),
        ("space.set.n_blocks", 5, "a choice of values is [1, 2, 3] without `int`"),
        ("space.set.lss", 5, "did you mean 'loss'?"),
        ("space.set.n_heads", 5, "remove one of them"),
        (
            "space.set.transformer_layers_type",
            5,
            "put the class at the top level of a file next to the study file, and name it as file.Class",
        ),
    }


@pytest.mark.parametrize(
    "params",
    [
        "n_blocks: {int: [3, 1]}, n_heads: {int: [1, n_blocks]}",
        "n_blocks: {int: [3, 1]}, n_heads: {int: [1, 4], when: {n_blocks: 2}}",
        "transformer_layers_type: [search_spaces.albert.AlbertLayers, search_spaces.albert.AlbertLayers], "
        "transformer_layers_kwargs.n_inner_groups: 2",
    ],
)
def test_what_only_lacks_a_param_that_cannot_be_read_is_no_problem(tmp_path: Path, params: str) -> None:
    (problem,) = read(tmp_path, f"set: {{cls: SASRecModel, {params}}}")
    assert problem[0] in {"space.set.n_blocks", "space.set.transformer_layers_type"}


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


@pytest.mark.parametrize(
    ("family", "rule"),
    [
        ("transformers", "must be families of the study's models, but got 'transformers'"),
        ("EASEModel", "must be families of the study's models, but got 'EASEModel'"),
        ("transformer", None),
        ("sasrec", None),
        ("PopularModel", None),
    ],
)
def test_a_family_that_the_final_judgement_cannot_have_is_told_before_the_search(
    tmp_path: Path, family: str, rule: str | None
) -> None:
    path = tmp_path / "study.yaml"
    text = STUDY.replace("popula}", "popular}").replace(
        "baselines:\n  - popular\n  - populer\n", "baselines:\n  - popular\n"
    )
    text = text.replace("  - {name: own, use: sasrec, params: {epoch: 3}}\n", "")
    path.write_text(text + f"final: {{best: [{family}]}}\n", encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        prepare(Study.load(path), pytest.fail)
    told = {one.where: (one.rule, one.line) for one in caught.value.problems}
    assert told.get("final.best") == (None if rule is None else (rule, 13))


def test_a_sampler_that_cannot_choose_is_found_before_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    text = STUDY.replace("{n_startup_trial: 3}", "{n_ei_candidates: 0}").replace("popula}", "popular}")
    text = text.replace("    n_factor: 16\n    lr: quick\n", "    n_factors: 16\n")
    path.write_text(text.replace("populer", "ease").replace("epoch:", "epochs:"), encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        prepare(Study.load(path), pytest.fail)
    (problem,) = caught.value.problems
    assert (problem.where, problem.line) == ("search.sampler.options", 13)
