"""Inputs of public bug reports, from the file to recommendations: the right value, or one line with its cure.

Each case is a folder beside the repository. Its baselines run in this process, as a search runs them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.finished import ROOT
from tuner.cli import main
from tuner.config import Study
from tuner.data.folds import holdout_fold
from tuner.data.source import load_source
from tuner.errors import TunerError

CASES = ROOT.parent / "shared" / "cases"

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the repository"),
    pytest.mark.usefixtures("one_thread"),
]

Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Make the data of a case, and run its baselines; return the lines of the preparation or of the error."""

    def ran(case: str, *overrides: str) -> list[str]:
        if not (tmp_path / "study.yaml").exists():
            shutil.copytree(CASES / case, tmp_path, dirs_exist_ok=True)
            subprocess.run([sys.executable, "make_data.py"], cwd=tmp_path, check=True, capture_output=True)
        monkeypatch.chdir(tmp_path)
        try:
            return run_baselines(Study.load("study.yaml", overrides))
        except TunerError as error:
            return [line.strip() for line in str(error).splitlines()]

    return ran


def run_baselines(study: Study) -> list[str]:
    from tuner.evaluation import evaluate_folds
    from tuner.models.build import trial_params
    from tuner.preparation.prepare import prepare
    from tuner.trials.objective import summarise
    from tuner.workflows.opening import open_prepared, write_snapshot

    said: list[str] = []
    prepared = prepare(study, said.append)
    results = Path("studies") / study.study
    results.mkdir(parents=True)
    store = open_prepared(prepared, results)
    write_snapshot(study, results)
    store.add_baselines([(one.name, one.params, one.point) for one in prepared.baselines])
    objective = study.metrics.objective.label
    for _ in prepared.baselines:
        asked = store.ask(prepared.space, 1, lambda params: trial_params(params, study.training.epochs))
        assert asked is not None
        made: list = []
        evaluate_folds(asked.params, prepared.folds, prepared.plan, asked.seeds, made.append)
        for evaluation in made:
            store.report(asked.number, evaluation, objective, study.training.epochs)
        store.complete(asked.number, summarise(made, objective, "maximize"), seconds=1.0, log="logs/x.log")
    return said


def items() -> set[object]:
    return set(load_source(Study.load("study.yaml").data).interactions["item_id"])


def values() -> dict[str, float]:
    from tuner.reporting.leaderboard import load_leaderboard

    (folder,) = Path("studies").iterdir()
    return {row.record.label: row.record.summary.mean for row in load_leaderboard(folder).rows}


WHOLE = "data: 360 interactions of 30 users with 20 items, 2024-01-01 to 2024-02-29"


def test_ids_of_pandas_own_types_are_as_integers_and_text(run: Run, tmp_path: Path) -> None:
    assert run("04_nullable_ids")[0] == WHOLE
    found = values()
    assert found["ease"] > 0
    plain = pd.read_parquet("i.parquet").astype({"user_id": "int64", "item_id": "int64"})
    plain.to_parquet("i.parquet")
    shutil.rmtree("studies")
    assert run("04_nullable_ids")[0] == WHOLE
    assert values() == found


def test_text_of_pandas_is_text(run: Run) -> None:
    assert run("04b_string_ids")[0] == WHOLE
    assert values()["ease"] > 0
    assert items() == {f"i{number}" for number in range(20)}


def test_items_may_be_called_na(run: Run) -> None:
    assert run("06_na_like_ids")[0] == WHOLE
    assert values()["ease"] > 0
    assert items() == {"NA", "None", "null", "nan", "N/A", *(f"x{number}" for number in range(5, 20))}


def test_a_date_in_the_future_is_told_with_the_holdout(run: Run) -> None:
    said = run("11_one_date_in_the_future")
    warnings = [line for line in said if line.startswith("warning: ")]
    assert any("in the future in 1 of 360 rows; the first is row 6" in line for line in warnings)
    assert any(
        "the holdout (2202-12-26 to 2203-01-01) has 1 of 360 interactions" in line for line in warnings
    )


@pytest.mark.parametrize(
    ("overrides", "key", "rule"),
    [
        (
            ("folds.split=random", "folds.size=0.1", "folds.seed=-1"),
            "folds.seed",
            "must be at least 0, but got -1",
        ),
        (("folds.n_folds=100000",), "folds.n_folds", "100,000 folds and 1 for the holdout of 7D are"),
        (("folds.size=999999D",), "folds.holdout", "the holdout, the newest 999999 days, has all 360"),
    ],
)
def test_numbers_of_folds_that_cannot_be_are_one_line(
    overrides: tuple[str, ...], key: str, rule: str, run: Run
) -> None:
    said = run("16_fold_numbers", *overrides)
    assert said[1].startswith(f"{key}: ")
    assert rule in said[1]


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (("data.interactions=bigquery.csv",), WHOLE),
        (("data.interactions=excel.csv",), "`datetime: "),
        (("data.interactions=semicolon.csv",), "`data.format: {delimiter: ';'}`"),
        (("data.interactions=micro.csv", "data.datetime=unix_ms"), "unix_us"),
    ],
    ids=["bigquery", "excel", "semicolon", "micro"],
)
def test_dialects_of_times_are_read_or_told_with_the_cure(
    overrides: tuple[str, ...], text: str, run: Run
) -> None:
    assert text in "\n".join(run("20_datetime_dialects", *overrides))


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("03_trailing_comma", "the row ends with ',' and the header does not"),
        ("14_binary_ids", "for UUIDs, str(uuid)"),
        ("15_nested_ids", "write one interaction a row"),
        ("18_holdout_takes_all", "the holdout, the newest 7 days, has all 360 interactions"),
        ("22_brute_force_float", "brute_force"),
        ("23_zero_weights", "weights must be above 0, but 'rating' is not in 288 of 360 rows"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_spent(case: str, text: str, run: Run) -> None:
    said = run(case)
    assert "1 problem" in said[0]
    assert text in "\n".join(said)
    assert not Path("studies").exists()


def test_ids_of_a_long_file_are_those_that_it_has(run: Run) -> None:
    said = run("01_chunked_csv_ids")
    written = pd.read_csv("i.csv", dtype=str)["item_id"].nunique()
    assert f" with {written} items, " in said[0]


def test_ids_with_leading_zeros_are_kept_to_the_end(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("02_leading_zero_ids")[0] == WHOLE
    assert main(["export", "studies/zeros", "popular", "--to", "model"]) == 0
    capsys.readouterr()
    assert main(["recommend", "model", "--users", "0007", "-k", "2"]) == 0
    assert [line[:5] for line in capsys.readouterr().out.splitlines()[1:]] == ["0007,", "0007,"]


def test_final_and_export_fit_on_the_same_rows(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("07_export_before_holdout_duplicates")
    study = Study.load("study.yaml")
    n_rows = len(holdout_fold(load_source(study.data), study.data, study.folds).seen)
    assert main(["export", "studies/again", "popular", "--to", "model", "--before-holdout"]) == 0
    assert f"fitting on {n_rows:,} interactions" in capsys.readouterr().err


def test_the_file_of_the_search_changes_no_recommendation(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("08_newer_interactions_policy")
    assert main(["export", "studies/policy", "ease", "--to", "model"]) == 0
    capsys.readouterr()
    command = ["recommend", "model", "--users", "1,2,3", "-k", "3"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main([*command, "--interactions", "i.parquet"]) == 0
    assert capsys.readouterr().out == first


def test_ids_with_spaces_can_be_asked_for(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("19_ids_with_spaces")
    assert main(["export", "studies/spaces", "ease", "--to", "model"]) == 0
    capsys.readouterr()
    Path("users.txt").write_text(" u1 \n", encoding="utf-8")
    for users in (["--users", " u1 "], ["--users-file", "users.txt"]):
        assert main(["recommend", "model", *users, "-k", "1"]) == 0
        assert capsys.readouterr().out.splitlines()[1].startswith(" u1 ,")


def test_a_transformer_is_trained_inside_a_batch_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "1", "NTASKS": "4", "JOB_NAME": "search", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    small = "{n_factors: 16, n_blocks: 1, n_heads: 1, session_max_len: 10}"
    run("12_slurm_ntasks", f"baselines=[popular, {{name: sasrec, params: {small}}}]")
    assert set(values()) == {"popular", "sasrec"}
