"""Each function of the package does what its command does: the same files, the same result."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import tuner
from tuner.cli import main
from tuner.config import Study
from tuner.errors import StoreError, StudyError, UserError
from tuner.reporting.leaderboard import load_leaderboard

pytestmark = pytest.mark.slow

CHEAP = """\
study: cheap
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, filter_viewed: false}
metrics: {objective: NDCG@10, direction: maximize}
space: {set: {cls: EASEModel, regularization: [1.0, 100.0]}}
"""


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def shop(made_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the results of a finished study, in a folder of its own that is the working folder."""
    shutil.copytree(made_study.parents[1], tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    return Path("studies") / made_study.name


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of an export, without those that have the time at which it was made."""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    timed = {"SHA256SUMS", "export.json", "model.pickle", "README.md"}
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name not in timed}


def test_a_study_is_named_in_any_way(shop: Path) -> None:
    study = Study.load("study.yaml")
    board = tuner.load_study(shop)
    for named in ("made", str(shop), "study.yaml", study, board):
        assert tuner.load_study(named).rows == board.rows
    assert board.rows == load_leaderboard(shop).rows
    with pytest.raises(StoreError, match="must be the folder of a study"):
        tuner.load_study("maid")


def test_init(shop: Path, capsys) -> None:
    printed(capsys, "init", "clicks.csv", "-o", "command.yaml")
    draft = tuner.init("clicks.csv", "function.yaml")
    assert Path("command.yaml").read_bytes() == draft.path.read_bytes()
    assert draft.study == Study.load("command.yaml")
    assert "found: delimiter ','" in str(draft)
    with pytest.raises(StudyError, match="must not exist yet"):
        tuner.init("clicks.csv", "function.yaml")


def test_check(shop: Path, capsys) -> None:
    Path("cheap.yaml").write_text(CHEAP, encoding="utf-8")
    said = printed(capsys, "check", "cheap.yaml")
    checked = tuner.check(Study.load("cheap.yaml"))
    without_times = [re.sub(r"[\d.]+ (s|ms|MB|GB)\b|\s+", " ", text) for text in (said, str(checked))]
    assert without_times[0].split(":")[0] == without_times[1].split(":")[0] == "cheap"
    assert checked.n_points == 2
    assert "2 configurations" in said
    assert "2 configurations" in str(checked)
    broken = Study.load("cheap.yaml", ["space.set.regularisation=1.0"])
    with pytest.raises(UserError, match="regularisation"):
        tuner.check(broken)


def test_report(shop: Path, capsys) -> None:
    path = printed(capsys, "report", shop).strip()
    by_command = Path(path).read_text("utf-8")
    written = tuner.report(shop, "function.html")
    assert written.path == Path(written) == Path("function.html")
    assert written.path.read_text("utf-8") == by_command
    text = printed(capsys, "report", shop, "--format", "md")
    assert tuner.report("made", markdown=True).path.read_text("utf-8") == text


def test_compare(shop: Path, capsys) -> None:
    shutil.copytree(shop, "studies/other")
    text = printed(capsys, "compare", shop, "studies/other")
    found = tuner.compare(shop, "other")
    assert f"{found}\n".replace("studies/other", "other") == text.replace("studies/other", "other")
    assert [one.board.study for one in found.studies] == ["made", "made"]


def test_export_load_model_and_recommend(shop: Path, capsys) -> None:
    printed(capsys, "export", shop, "ease", "--to", "command")
    made = tuner.export(tuner.load_study("made"), "ease", to="function")
    assert made.row.record.name == "ease"
    assert contents(Path("command")) == contents(made.folder)
    users = tuner.load_model("command").dataset.user_id_map.external_ids[:3].tolist()
    text = printed(capsys, "recommend", "command", "--users", ",".join(map(str, users)), "-k", 4)
    recommended = tuner.recommend(tuner.load_model("function"), users, k=4)
    pd.testing.assert_frame_equal(recommended, pd.read_csv(io.StringIO(text)), check_dtype=False, rtol=1e-6)
    with pytest.raises(StoreError, match="must be an export"):
        tuner.load_model("nothing")


def test_reproduce(shop: Path, capsys) -> None:
    text = printed(capsys, "reproduce", shop, "ease", "0")
    again = tuner.reproduce("made", ["ease", 0])
    assert repr(again) == f"[{again[0]}, {again[1]}]"
    assert all(one.equal for one in again)
    assert [str(one) for one in again] == text.splitlines()


def test_the_model_of_a_trial_comes_with_it(shop: Path) -> None:
    board = tuner.load_study("made")
    model = board.trial("ease").load_model()
    exported = tuner.load_model(tuner.export(board, "ease", to="model").folder)
    assert model.get_params() == exported.model.get_params()
    assert (model.weight == exported.model.weight).all()
    with pytest.raises(StoreError, match="must be a fold whose model was retained"):
        board.trial("ease").load_model(fold=1)
    with pytest.raises(StoreError, match=r"must be read with `tuner.load_study`"):
        load_leaderboard(shop).trial("ease").load_model()
