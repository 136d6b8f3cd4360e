"""A trial's model, fitted on all data: what the folder holds, and that it works in another process."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rectools.models import load_model, model_from_params

from tests.made_study import STOPPED
from tuner.cli import main
from tuner.holdout import Comparison, Final, Interval, JudgedRow
from tuner.store import read_records
from tuner.workflows.export import make, serving
from tuner.workflows.export.code import code_of, requirements
from tuner.workflows.export.folder import atomic_folder

USERS = [f"u{number}" for number in range(30)]


@pytest.fixture(scope="module")
def exported(made_study, tmp_path_factory):
    """Export the ALBERT row; its modules are ours."""
    target = tmp_path_factory.mktemp("exports") / "model"
    assert main(["export", str(made_study), "albert", "--to", str(target), *_data(made_study)]) == 0
    return target


def test_an_export_holds_what_its_readme_lists(exported):
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "fitted for 2 epochs" in text or "fitted for 1 epochs" in text
    assert "all interactions, the holdout included" in text
    files = sorted(str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file())
    assert files == [
        "README.md",
        "SHA256SUMS",
        "asked.py",
        "checksums.py",
        "code/search_spaces/__init__.py",
        "code/search_spaces/albert.py",
        "export.json",
        "interactions.parquet",
        "launchers.py",
        "loading.py",
        "model.pickle",
        "newer.py",
        "params.json",
        "reading/__init__.py",
        "reading/coded.py",
        "reading/delimited.py",
        "reading/equal.py",
        "reading/features.py",
        "reading/files.py",
        "reading/folders.py",
        "reading/foreign.py",
        "reading/ids.py",
        "reading/interactions.py",
        "reading/joined.py",
        "reading/memory.py",
        "reading/policy.py",
        "reading/quotes.py",
        "reading/repeats.py",
        "reading/threads.py",
        "reading/times.py",
        "reading/troubles.py",
        "reading/typed.py",
        "reading/unpacked.py",
        "recommend.py",
        "requirements.txt",
        "sample.csv",
    ]
    assert all(f"| {name} |" in text for name in files if name != "README.md")
    for words in ("Fingerprint: `", "fold 1: ", "## Scores", "## Search", "1 stopped", "| rectools |"):
        assert words in text


def test_params_and_model_are_what_rectools_reads(exported, made_study):
    params = json.loads((exported / "params.json").read_text(encoding="utf-8"))
    model = load_model(exported / "model.pickle")
    assert model_from_params(params).get_params(simple_types=True) == params
    assert model.get_params(simple_types=True) == params
    record = next(record for record in read_records(made_study).records if record.name == "albert")
    assert params["epochs"] == record.summary.epoch


def test_a_fresh_process_recommends_the_same_from_the_folder_alone(exported, tmp_path):
    """No working folder, no path: only what is installed, and the export."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(exported, moved)
    text = _alone(moved, "--users", ",".join(USERS))
    there = pd.read_csv(io.StringIO(text))
    here = serving.recommend(serving.load(exported), USERS).reset_index(drop=True)
    pd.testing.assert_frame_equal(there, here, check_exact=False, rtol=1e-6, check_dtype=False)
    assert there["item_id"].tolist() == here["item_id"].tolist()


def test_its_modules_come_from_the_export_and_the_sample_is_equal(exported):
    program = (
        "import sys; from recommend import differences, load; print(differences(load()));"
        "print(sys.modules['search_spaces.albert'].__file__, 'tuner' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=exported, capture_output=True, text=True, check=True, env=_bare()
    )
    assert found.stdout.split() == ["[]", str(exported / "code" / "search_spaces" / "albert.py"), "False"]


def test_tuner_recommend_prints_the_users_own_ids_and_names_who_is_unknown(exported, capsys):
    assert main(["recommend", str(exported), "--users", "u3,nobody,u5", "-k", "3"]) == 0
    out, err = capsys.readouterr()
    table = pd.read_csv(io.StringIO(out))
    assert table["user_id"].tolist() == ["u3"] * 3 + ["u5"] * 3
    assert table["rank"].tolist() == [1, 2, 3] * 2
    assert "no recommendations for users that are not in the interactions: nobody" in err
    assert main(["recommend", str(exported), "--users", "nobody"]) == 2
    assert "there are recommendations for none of the users" in capsys.readouterr().err


def test_a_file_of_users_and_json(exported, tmp_path, capsys):
    (tmp_path / "users.txt").write_text("u1\r\n\r\nu2\r\n", encoding="utf-8-sig")
    command = ["recommend", str(exported), "--users-file", str(tmp_path / "users.txt"), "--format", "json"]
    assert main([*command, "-k", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["user_id"], row["rank"]) for row in rows] == [("u1", 1), ("u1", 2), ("u2", 1), ("u2", 2)]


def test_newer_interactions_bring_new_users_and_change_recommendations(exported, tmp_path, capsys):
    newer = pd.DataFrame(
        {
            "user_id": ["new"] * 3 + ["u3"],
            "item_id": [1, 2, 3, 7],
            "datetime": ["2024-02-01", "2024-02-02", "2024-02-03", "2024-02-03"],
        }
    )
    newer.loc[len(newer)] = ["u3", 999, "2024-02-04"]
    newer.loc[len(newer)] = ["u3", 7, "1970-01-01"]
    newer.to_csv(tmp_path / "newer.csv", index=False)
    command = ["recommend", str(exported), "--users", "new,u5", "--interactions", str(tmp_path / "newer.csv")]
    assert main([*command, "--at", "2024-03-01"]) == 0
    out, err = capsys.readouterr()
    assert "no rows in these interactions for u5: they get" in err
    assert "the time of the recommendation changes nothing" in err
    assert len(pd.read_csv(io.StringIO(out))) == 10
    assert "1 interactions are left out: the model does not know their items" in err
    assert "warning: 'datetime' is before 1973-03-03 or in the future in 1 of 6 rows" in err
    assert "error" not in err


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must have one id a line, but {} has none"),
        ("u1\n".encode("utf-16"), "must be text in UTF-8, but {} is not"),
    ],
)
def test_a_file_of_users_that_cannot_be_read_says_why(exported, tmp_path, capsys, content, rule):
    path = tmp_path / "users.txt"
    path.write_bytes(content)
    assert main(["recommend", str(exported), "--users-file", str(path)]) == 2
    assert f"--users-file {rule.format(path)}" in capsys.readouterr().err


def test_newer_interactions_without_a_user_of_the_fit_are_told(exported, tmp_path, capsys):
    newer = tmp_path / "newer.csv"
    newer.write_text("user_id,item_id,datetime\nU3,1,2024-02-01\nU3,2,2024-02-02\n", encoding="utf-8")
    assert main(["recommend", str(exported), "--users", "U3", "--interactions", str(newer)]) == 0
    told = capsys.readouterr().err
    assert f"none of the users that the model was fitted on is in {newer}: ids there are like 'U3'" in told


def test_an_export_that_does_not_recommend_the_same_says_for_whom(exported, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    sample = pd.read_csv(moved / "sample.csv")
    sample.loc[0, "item_id"] = -1
    sample.to_csv(moved / "sample.csv", index=False)
    assert main(["recommend", str(moved), "--check"]) == 2
    assert "files must be as they were exported, but sample.csv has changed since" in capsys.readouterr().err
    assert main(["recommend", str(moved), "--check", "--changed"]) == 2
    assert "differ from sample.csv for 1 users" in capsys.readouterr().err


def test_the_holdout_does_not_choose_what_is_exported_and_the_card_tells_of_it(made_study, tmp_path, capsys):
    best = make._complete_row(read_records(made_study), "best", made_study, (), print).record.number
    other = tmp_path / "other"
    shutil.copytree(made_study, other)
    _judge(other, number=best + 1)
    assert make._complete_row(read_records(other), "best", other, (), print).record.number == best
    judged = tmp_path / "judged"
    shutil.copytree(made_study, judged)
    _judge(judged, number=0)
    target = tmp_path / "model"
    command = ["export", str(judged), "ease", "--to", str(target), *_data(made_study), "--before-holdout"]
    assert main(command) == 0
    assert "trial 0 ease" in capsys.readouterr().out
    text = (target / "README.md").read_text(encoding="utf-8")
    assert "| NDCG@10 | 0.3000 | 0.2500 to 0.3500 | 0.2900 | 0.3100 |" in text
    assert "the optimism (validation minus holdout) is +0.0100" in text
    assert "Against the best baseline, trial 1: +0.0200 (-0.0100 to +0.0500), p 0.200" in text
    assert "the holdout cannot distinguish them" in text
    assert "the interactions before the holdout" in text
    assert "torch" not in (target / "requirements.txt").read_text(encoding="utf-8")
    whole = pd.read_csv(made_study.parents[1] / "clicks.csv")
    assert len(pd.read_parquet(target / "interactions.parquet")) == len(whole) - whole["user_id"].nunique()
    assert main(["recommend", str(target), "--check"]) == 0


def test_a_folder_is_replaced_only_if_asked_to_and_only_an_export(made_study, exported, tmp_path, capsys):
    command = ["export", str(made_study), "ease", *_data(made_study), "--to"]
    assert main([*command, str(exported)]) == 2
    assert "must not exist yet" in capsys.readouterr().err
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert main([*command, str(own), "--force"]) == 2
    assert "must be an earlier export to be replaced" in capsys.readouterr().err
    assert (own / "thesis.txt").exists()
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    assert main([*command, str(copy), "--force"]) == 0
    assert not (copy / "code").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "own"]


def test_an_export_that_fails_leaves_nothing(tmp_path):
    def fail_halfway():
        with atomic_folder(tmp_path / "model") as folder:
            (folder / "half").write_text("x", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_reported_before_a_fit(made_study, tmp_path, capsys):
    to = ["--to", str(tmp_path / "model")]
    assert main(["export", str(made_study), STOPPED, *to, *_data(made_study)]) == 2
    assert "must be complete to be exported, but trial 4 is stopped" in capsys.readouterr().err
    other = tmp_path / "other.csv"
    frame = pd.read_csv(made_study.parents[1] / "clicks.csv")
    frame.iloc[:-7].to_csv(other, index=False)
    command = ["export", str(made_study), "ease", *to, "--interactions", str(other)]
    assert main(command) == 2
    assert "must be the data of the search" in capsys.readouterr().err
    assert main([*command, "--other-data"]) == 0
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "These are not the data of the search" in card


def test_no_export_is_reported(tmp_path, capsys):
    assert main(["recommend", str(tmp_path), "--check"]) == 2
    assert "must be an export, but it has no export.json" in capsys.readouterr().err


def test_a_module_of_the_users_brings_what_it_imports(tmp_path, monkeypatch):
    """Its own file, the part of ours that it needs at import, and packages by version."""
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (
        "from tuner import Space\nfrom search_spaces.albert import AlbertLayers\nimport yaml\nclass A: ...\n"
    )
    (tmp_path / "mine_to_export.py").write_text(text, encoding="utf-8")
    __import__("mine_to_export")
    code = code_of({"cls": "SASRecModel", "transformer_layers_type": "mine_to_export.A"})
    assert {"mine_to_export.py", "search_spaces/albert.py", "tuner/space/space.py"} <= set(code.files)
    assert "tuner/workflows/run.py" not in code.files
    lines = requirements(code, trained_by_torch=True)
    names = [line.partition("==")[0] for line in lines]
    assert {"rectools[torch]", "torch", "pytorch-lightning", "optuna", "pyyaml", "pyarrow"} <= set(names)
    assert not any("+" in line.partition("==")[2] for line in lines)


@pytest.mark.slow
@pytest.mark.long
def test_a_fresh_environment_with_only_the_requirements_recommends_the_same(exported, tmp_path):
    """Minutes: it installs torch."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-r", exported / "requirements.txt"]
    subprocess.run(install, check=True, timeout=1500)
    moved = tmp_path / "model"
    shutil.copytree(exported, moved)
    text = _alone(moved, "--users", ",".join(USERS), python=python)
    here = serving.recommend(serving.load(exported), USERS)
    assert pd.read_csv(io.StringIO(text))["item_id"].tolist() == here["item_id"].tolist()
    assert _alone(moved, "--check", python=python) == "the recommendations are equal to those of sample.csv\n"


def _data(made_study):
    return ["--interactions", str(made_study.parents[1] / "clicks.csv")]


def _bare():
    """Return an environment in which only what is installed can be imported."""
    return {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}


def _alone(folder: Path, *arguments: str, python: str | Path = sys.executable) -> str:
    """Run the snippet of an export from the root folder."""
    command = [python, folder / "recommend.py", *arguments]
    done = subprocess.run(
        command, cwd="/", capture_output=True, text=True, check=False, env=_bare(), timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _judge(folder: Path, *, number: int) -> None:
    """Write a final judgement in which a trial leads."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    row = JudgedRow(
        number=number,
        name="ease",
        label="ease",
        epoch=0,
        seeds=(1, 2),
        metrics={"NDCG@10": 0.3},
        by_seed=({"NDCG@10": 0.29}, {"NDCG@10": 0.31}),
        intervals={"NDCG@10": Interval(0.25, 0.35)},
        validation=0.31,
        optimism=0.01,
        against_baseline=Comparison(1, 0.02, Interval(-0.01, 0.05), 0.2, 80, 3),
        against_winner=None,
        letters="a",
    )
    final = Final("NDCG@10", "maximize", (row,), 1, 80, 1, "2026-01-01T00:00:00+00:00")
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    study = optuna.load_study(study_name="made", storage=storage)
    study.set_user_attr("final:judged:1", json.loads(json.dumps(final.to_plain())))


def test_a_study_that_is_not_there_is_reported(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--to", str(tmp_path / "model")]) == 2
    assert "must be the folder of a study" in capsys.readouterr().err


def test_a_place_that_cannot_be_made_is_told_before_the_fit(made_study, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["export", str(made_study), "best", "--to", str(tmp_path / "file" / "model")]) == 2
    err = capsys.readouterr().err
    assert f"--to: must be a place where a folder can be created, but {tmp_path / 'file'} is no folder" in err
    assert "fitting on" not in err


def test_a_model_that_looks_at_the_time_since_is_reported_the_moment(interactions):
    """By default that of the newest interaction, so that the same export recommends the same tomorrow."""
    from rectools.dataset import Dataset

    dataset = Dataset.construct(interactions)
    params = {"cls": "HSTUModel", "epochs": 1, "n_factors": 8, "n_heads": 1, "n_blocks": 1}
    model = model_from_params({**params, "session_max_len": 8, "relative_time_attention": True})
    exported = serving.Exported(model.fit(dataset), dataset, {"filter_viewed": False})
    newest = str(interactions["datetime"].max())
    first, same, later = (
        serving.recommend(exported, [100, 101], k=3, at=at) for at in (None, newest, "2030-01-01")
    )
    pd.testing.assert_frame_equal(first, same)
    assert not first["score"].equals(later["score"])


# --- damaged and changed exports ------------------------------------------------------------------------


def test_recommend_says_where_a_model_was_made_and_refuses_a_changed_one(exported, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    command = ["recommend", str(moved), "--users", "u3"]
    assert main(command) == 0
    err = capsys.readouterr().err
    assert re.search(r"model: trial \d+ albert of the study made, exported on the host \S+ at 20\d\d-", err)
    with (moved / "model.pickle").open("ab") as file:
        file.write(b"more")
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "files must be as they were exported, but model.pickle has changed since" in err
    assert main([*command, "--changed"]) == 0, "what follows a pickle's end is not read"
    (moved / "code" / "search_spaces" / "os.py").write_text("", encoding="utf-8")
    assert main(command) == 2
    assert "code/search_spaces/os.py, model.pickle have changed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.pickle", "interactions.parquet", "export.json", "SHA256SUMS"])
def test_a_file_that_was_cut_off_is_named(exported, tmp_path, capsys, name):
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    content = (moved / name).read_bytes()
    (moved / name).write_bytes(content[: len(content) // 2])
    assert main(["recommend", str(moved), "--users", "u3"]) == 2
    assert name in capsys.readouterr().err
    if name != "SHA256SUMS":
        assert main(["recommend", str(moved), "--users", "u3", "--changed"]) == 2
        assert f"{name} must be as `tuner export` wrote it, but got the error: " in capsys.readouterr().err


def test_the_checksums_are_those_of_sha256sum(exported):
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=exported, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
