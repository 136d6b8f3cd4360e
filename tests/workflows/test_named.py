"""Studies and trials are named as a person has them, and what names none is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet

import tuner
from tuner.cli import main
from tuner.errors import StoreError, StudyError
from tuner.store import read_records
from tuner.workflows.results import find_results, given_study, trial_of

TEXT = """\
study: shop
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1}
metrics: {objective: NDCG@10, direction: maximize}
space: {set: {cls: EASEModel}}
"""


def test_a_study_to_run_is_the_study_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(TEXT, encoding="utf-8")
    study = given_study(str(tmp_path / "shop.yaml"))
    assert study == given_study(tmp_path / "shop.yaml") == given_study(study)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("shop", "must be a Study or the path of a study file, but got 'shop'"),
        ({"study": "shop"}, r"but got dict\n.*give Study\(\*\*sections\)"),
        (7, "but got int"),
    ],
)
def test_what_is_no_study_is_refused(given: object, message: str) -> None:
    for function in (tuner.run, tuner.check):
        with pytest.raises(StudyError, match=message):
            function(given)
    with pytest.raises(StoreError, match="must be"):
        tuner.load_study(given)


def test_a_configuration_is_given_as_a_space_is(made_study: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(made_study, tmp_path / "made")
    request = tuner.add_trial(
        folder,
        {
            "cls": SASRecModel,
            "n_factors": np.int64(8),
            "transformer_layers_type": "PreLNTransformerLayers",
            "transformer_layers_kwargs": {"ff_factors_multiplier": 2},
            "item_net_block_types": [IdEmbeddingsItemNet],
        },
    )
    assert request.params == {
        "cls": "SASRecModel",
        "n_factors": 8,
        "transformer_layers_type": "rectools.models.nn.transformers.net_blocks.PreLNTransformerLayers",
        "transformer_layers_kwargs.ff_factors_multiplier": 2,
        "item_net_block_types": ("rectools.models.nn.item_net.IdEmbeddingsItemNet",),
    }
    with pytest.raises(
        StoreError, match=f"must be new, but the request {request.id} waits with the same params"
    ):
        tuner.add_trial(folder, request.params)
    with pytest.raises(
        StoreError, match=r"(?s)transformer_layers_type: .*did you mean 'PreLNTransformerLayers'"
    ):
        tuner.add_trial(folder, {"cls": SASRecModel, "transformer_layers_type": "PreLNTransformerLayer"})


def test_steering_takes_a_leaderboard_and_a_row(made_study: Path, tmp_path: Path, monkeypatch) -> None:
    import shutil

    shutil.copytree(made_study, tmp_path / "studies" / "made")
    shutil.copytree(made_study, tmp_path / "studies" / "other")
    monkeypatch.chdir(tmp_path)
    board = tuner.load_study("made")
    tuner.exclude_trial(board, board.best, "a test")
    assert read_records(Path("studies/made")).records[board.best.number].excluded is not None
    with pytest.raises(StoreError, match="must be a trial that has not ended"):
        tuner.stop_trial("made", board.best)
    with pytest.raises(StoreError, match="must be a trial of studies/other, but got a row of studies/made"):
        tuner.exclude_trial("other", board.best, "a test")
    for wrong in (True, "one", 1.0, 99):
        with pytest.raises(StoreError, match=f"from 0 to .*, but got {wrong!r}"):
            tuner.exclude_trial("made", wrong, "a test")
    with pytest.raises(StoreError, match="name a model of RecTools"):
        tuner.add_trial(board, {})
    with pytest.raises(StoreError, match="must be params by name, such as cls: SASRecModel, but got None"):
        tuner.add_trial(board, None)
    assert trial_of(find_results("made"), board.best) == str(board.best.number)
    assert trial_of(find_results("made"), "ease") == "ease"


@pytest.mark.parametrize(("text", "what"), [("", "is empty"), ("[1]", "has a list"), ("3", "has a int")])
def test_a_file_without_params_is_told(
    made_study: Path, tmp_path: Path, capsys, text: str, what: str
) -> None:
    (tmp_path / "wanted.yaml").write_text(text, encoding="utf-8")
    assert main(["add", str(made_study), "--params", str(tmp_path / "wanted.yaml")]) == 2
    assert f"such as cls: SASRecModel, but {what}\n" in capsys.readouterr().err
