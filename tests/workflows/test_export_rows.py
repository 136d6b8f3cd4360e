"""The rows on which `final`, exports, `reproduce` and `recommend --interactions` work are the same ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from rectools.models import EASEModel, PopularModel

import tuner
from tests.made_study import make_study
from tuner.cli import main
from tuner.config import Data, Folds, Study
from tuner.data.folds import development_dataset, holdout_fold
from tuner.data.source import load_source, make_dataset
from tuner.errors import StoreError
from tuner.models.build import build_model
from tuner.workflows.export import card, make, serving
from tuner.workflows.export.fit import Fitted
from tuner.workflows.export.make import write_model

pytestmark = pytest.mark.filterwarnings("ignore")

SPLITS = {
    "time_range": {"split": "time_range", "size": "7D"},
    "last_n": {"split": "last_n", "size": 2},
    "random": {"split": "random", "size": 0.2},
}
POLICIES = ("keep", "drop_exact", "keep_first", "keep_last")


def shop(interactions: pd.DataFrame, tmp_path: Path) -> str:
    """Write a shop in which much is bought again, some of it twice at once; ids have leading zeros."""
    frame = interactions.drop(columns="weight")
    again = frame.sample(frac=0.3, random_state=1)
    later = frame.sample(frac=0.5, random_state=2).assign(
        datetime=lambda f: f["datetime"] + pd.Timedelta("9D")
    )
    whole = pd.concat([frame, again, later]).sort_values("datetime", kind="stable", ignore_index=True)
    whole["user_id"] = whole["user_id"].map("{:05d}".format)
    whole.to_csv(tmp_path / "shop.csv", index=False)
    return str(tmp_path / "shop.csv")


def study_of(path: str, policy: str, split: str, **data: Any) -> Study:
    return Study.model_validate(
        {
            "study": "rows",
            "data": {"interactions": path, "duplicates": policy, **data},
            "folds": {**SPLITS[split], "filter_viewed": False},
            "metrics": {"objective": "NDCG@5", "direction": "maximize"},
            "space": {"set": {"cls": "EASEModel"}},
        }
    )


@pytest.mark.parametrize(
    "minimums", [{}, {"min_user_interactions": 8, "min_item_interactions": 4}], ids=["all", "counted"]
)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("policy", POLICIES)
def test_rows_are_the_same_wherever_a_model_is_fitted(policy, split, minimums, interactions, tmp_path):
    """Before the holdout, those of the final judgement; on all data, those that `recommend` reads."""
    study = study_of(shop(interactions, tmp_path), policy, split, **minimums)
    source = load_source(study.data)
    judged = holdout_fold(source, study.data, study.folds).seen
    before = development_dataset(source, study.data, study.folds)
    assert_frame_equal(before.get_raw_interactions(), judged)
    for name, dataset in (("before", before), ("whole", make_dataset(source.interactions, None, study.data))):
        folder = tmp_path / name
        folder.mkdir()
        model = EASEModel(regularization=1.0).fit(dataset)
        write_model(
            folder,
            Fitted(model, {"cls": "EASEModel"}, 1, None, 1, (), "float32", 0.0),
            dataset,
            source,
            study,
        )
        exported = serving.load(folder)
        assert_frame_equal(exported.dataset.get_raw_interactions(), dataset.get_raw_interactions())
    newer = serving.load(tmp_path / "whole", study.data.interactions)
    assert_frame_equal(
        newer.dataset.get_raw_interactions(), exported.dataset.get_raw_interactions().reset_index(drop=True)
    )
    users = exported.dataset.user_id_map.external_ids
    assert_frame_equal(serving.recommend(newer, users), serving.recommend(exported, users))


def test_export_before_the_holdout_fits_on_the_rows_of_the_final_judgement(
    interactions, tmp_path, capsys, one_thread
):
    """As a person does it, with keep_last: what is bought again in the holdout was bought before it too."""
    results = make_study(tmp_path)
    path = tmp_path / "clicks.csv"
    whole = pd.read_csv(path)
    later = whole.assign(datetime=pd.to_datetime(whole["datetime"]) + pd.Timedelta("400D"))
    both = pd.concat([whole, later.astype(str)], ignore_index=True)
    both.to_csv(tmp_path / "again.csv", index=False)
    text = (results / "study.yaml").read_text(encoding="utf-8")
    (results / "study.yaml").write_text(
        text.replace("duplicates: keep", "duplicates: keep_last"), encoding="utf-8"
    )
    study = Study.load(results / "study.yaml", [f"data.interactions={tmp_path / 'again.csv'}"])
    expected = holdout_fold(load_source(study.data), study.data, study.folds).seen
    command = [
        "export",
        str(results),
        "ease",
        "--before-holdout",
        "--other-data",
        "--to",
        str(tmp_path / "model"),
    ]
    assert main([*command, "--interactions", str(tmp_path / "again.csv")]) == 0
    assert f"fitting on {len(expected):,} interactions" in capsys.readouterr().err
    exported = pd.read_parquet(tmp_path / "model" / "interactions.parquet")
    assert_frame_equal(exported, expected.reset_index(drop=True), check_dtype=False)


# ####  --------------  recommend  --------------  #### #


@pytest.fixture(scope="module")
def odd_ids(tmp_path_factory):
    """Export a model of users and items whose ids readers like to change; all are in one file."""
    folder = tmp_path_factory.mktemp("odd")
    users = ["0007", "7", "NA", "null", " u1 ", "a,b", "1e3", "é"]
    items = ["01", "1", "1.0", "nan", "x y", "0", "None", "-0"]
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        [
            (user, item, f"2024-01-{d:02d}")
            for user in users
            for d, item in enumerate(rng.permutation(items)[:5], 1)
        ],
        columns=["user_id", "item_id", "datetime"],
    )
    frame.to_csv(folder / "i.csv", index=False)
    study = study_of(str(folder / "i.csv"), "keep", "last_n")
    source = load_source(study.data)
    dataset = make_dataset(source.interactions, None, study.data)
    model = PopularModel().fit(dataset)
    (folder / "model").mkdir()
    write_model(
        folder / "model",
        Fitted(model, {"cls": "PopularModel"}, 1, None, 1, (), "float32", 0.0),
        dataset,
        source,
        study,
    )
    return folder, users, items


def test_ids_come_out_of_recommend_as_they_went_in(odd_ids, capsys):
    folder, users, items = odd_ids
    (folder / "users.txt").write_text("\n".join(users) + "\n", encoding="utf-8")
    command = [
        "recommend",
        str(folder / "model"),
        "--users-file",
        str(folder / "users.txt"),
        "--format",
        "json",
    ]
    for more in ([], ["--interactions", str(folder / "i.csv")]):
        assert main([*command, *more]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert list(dict.fromkeys(row["user_id"] for row in rows)) == users
        assert {row["item_id"] for row in rows} <= set(items)
    assert main(["recommend", str(folder / "model"), "--check"]) == 0


def test_spaces_around_a_user_are_kept_where_the_id_has_them(odd_ids, capsys):
    folder, _, _ = odd_ids
    assert (
        main(["recommend", str(folder / "model"), "--users", " u1 , 7,NA", "-k", "1", "--format", "json"])
        == 0
    )
    assert [row["user_id"] for row in json.loads(capsys.readouterr().out)] == [" u1 ", "7", "NA"]


def test_an_export_reads_newer_interactions_by_itself(odd_ids, tmp_path):
    """Without rectools-tuner: the copy of the reader in the folder is used."""
    folder, users, _ = odd_ids
    program = (
        "import sys; from recommend import load, recommend\n"
        f"exported = load(interactions={str(folder / 'i.csv')!r})\n"
        "print(sorted(exported.dataset.user_id_map.external_ids))\n"
        "print('tuner' in sys.modules, sys.modules['rectools_tuner_reading'].__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=folder / "model", capture_output=True, text=True, check=True
    )
    first, second = ran.stdout.splitlines()
    assert first == str(sorted(users))
    assert second == f"False {folder / 'model' / 'reading' / '__init__.py'}"


def test_newer_interactions_that_cannot_be_used_are_told(odd_ids, tmp_path, capsys):
    folder, _, _ = odd_ids
    (tmp_path / "new.csv").write_text("user_id,item_id,datetime\n1,2,2024-01-01,\n", encoding="utf-8")
    command = [
        "recommend",
        str(folder / "model"),
        "--users",
        "7",
        "--interactions",
        str(tmp_path / "new.csv"),
    ]
    assert main(command) == 2
    assert "line 2 has 4" in capsys.readouterr().err
    (tmp_path / "new.csv").write_text("user,item_id,datetime\n1,2,2024-01-01\n", encoding="utf-8")
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "user: must be a column of the file, but 'user_id' is not" in err
    assert "write it as the data of the search: columns 'user_id' (user), 'item_id' (item), 'date" in err
    (tmp_path / "new.csv").write_text("user_id,item_id,datetime\n1,2,1704067200\n", encoding="utf-8")
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "datetime: must hold dates, but 'datetime' holds numbers such as 1704067200; write it" in err
    assert err.endswith(", times as dates\n")
    assert "data." not in err


def test_users_that_are_numbers_are_known_beside_new_ones_that_are_not(interactions, tmp_path):
    """In the newer file the column is text; those whom the model knows stay the same users."""
    path = tmp_path / "i.csv"
    interactions.to_csv(path, index=False)
    study = study_of(str(path), "keep", "last_n")
    source = load_source(study.data)
    dataset = make_dataset(source.interactions, None, study.data)
    (tmp_path / "model").mkdir()
    model = EASEModel().fit(dataset)
    fitted = Fitted(model, {"cls": "EASEModel"}, 1, None, 1, (), "float32", 0.0)
    write_model(tmp_path / "model", fitted, dataset, source, study)
    newer = pd.concat([interactions, interactions[:3].assign(user_id="new")])
    newer.to_csv(tmp_path / "newer.csv", index=False)
    exported = serving.load(tmp_path / "model", tmp_path / "newer.csv")
    known, unknown = serving.split_users(exported, ["100", "new", "nobody"])
    assert (known, unknown) == ([100, "new"], ["nobody"])
    before = serving.recommend(serving.load(tmp_path / "model"), ["100"])
    assert_frame_equal(serving.recommend(exported, ["100"]), before, check_dtype=False)
    assert len(serving.recommend(exported, ["new"])) == 10
    with pytest.warns(UserWarning, match="not in the interactions: nobody$"):
        assert set(tuner.recommend(exported, ["new", "nobody"])["user_id"]) == {"new"}
    with pytest.raises(StoreError, match=r"users must be a list of ids, .* the single text 'new'"):
        tuner.recommend(exported, "new")
    assert len(tuner.recommend(exported, np.array(["new"]), np.int64(2))) == 2


def test_an_export_of_an_earlier_version_is_read(odd_ids, tmp_path):
    import shutil

    folder, _, _ = odd_ids
    shutil.copytree(folder / "model", tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "export.json").read_text(encoding="utf-8"))
    old = {
        key: value
        for key, value in facts.items()
        if key not in {"ids", "text", "duplicates", "min_user_interactions", "made"}
    }
    old["format"] = 1
    (tmp_path / "model" / "SHA256SUMS").unlink()
    (tmp_path / "model" / "export.json").write_text(json.dumps(old), encoding="utf-8")
    assert serving.load(tmp_path / "model", folder / "i.csv").n_left_out == 0


def test_folds_and_data_of_these_tests_are_of_use(interactions, tmp_path):
    source = load_source(Data(interactions=shop(interactions, tmp_path), duplicates="keep_last"))
    assert source.dropped > 100
    assert source.duplicates > 100
    assert Folds(**SPLITS["random"]).holdout == 1


# ####  --------------  Features, further columns, items to recommend  --------------  #### #

SASREC = {
    "cls": "SASRecModel",
    "epochs": 1,
    "n_factors": 8,
    "n_blocks": 1,
    "n_heads": 1,
    "session_max_len": 8,
    "recommend_torch_device": "cpu",
}


@pytest.fixture(scope="module")
def with_features(interactions, item_features, tmp_path_factory):
    """Export a model of a study that uses all that a Dataset can hold; return what it was fitted on."""
    folder = tmp_path_factory.mktemp("features")
    users = interactions["user_id"].unique()
    ages = pd.DataFrame({"id": users, "feature": "age", "value": np.arange(len(users))})
    sexes = ages.assign(feature="sex", value=np.where(users % 2, "f", "m"))
    pd.concat([ages, sexes]).to_csv(folder / "users.csv", index=False)
    item_features.to_csv(folder / "items.csv", index=False)
    interactions.assign(page=interactions.index % 7).to_csv(folder / "i.csv", index=False)
    settings = {
        "item_features": str(folder / "items.csv"),
        "user_features": str(folder / "users.csv"),
        "numeric_user_features": ["age"],
        "scaling": "standard",
        "extra_columns": ["page"],
        "items_to_recommend": {"genre": ["genre1", "genre2"]},
    }
    study = study_of(str(folder / "i.csv"), "keep", "last_n", **settings)
    source = load_source(study.data)
    dataset = make_dataset(source.interactions, source.item_features, study.data, source.user_features)
    model = build_model(SASREC).fit(dataset)
    (folder / "model").mkdir()
    fitted = Fitted(model, SASREC, 1, 1, 1, (), "float32", 0.0)
    write_model(folder / "model", fitted, dataset, source, study)
    return folder, study, source, dataset


def same_data(one, other):
    """Tell whether two Datasets hold the same rows and features."""
    assert_frame_equal(
        one.get_raw_interactions().reset_index(drop=True), other.get_raw_interactions().reset_index(drop=True)
    )
    for name in ("item_features", "user_features"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert [str(part) for part in mine.names] == [str(part) for part in theirs.names]
        assert (mine.get_sparse() != theirs.get_sparse()).nnz == 0
    return True


def test_final_and_export_have_the_features_and_columns_of_the_search(with_features):
    folder, study, source, dataset = with_features
    judged = holdout_fold(source, study.data, study.folds)
    assert same_data(judged.train, development_dataset(source, study.data, study.folds))
    assert same_data(serving.load(folder / "model").dataset, dataset)
    newer = serving.load(folder / "model", study.data.interactions)
    assert same_data(newer.dataset, dataset)
    assert "page" in dataset.interactions.df
    facts = json.loads((folder / "model" / "export.json").read_text(encoding="utf-8"))
    scaling = "numeric features of users: age (0 to 59) by standard: (value - 29.5)"
    assert facts["notes"][0].startswith(scaling)
    about = make._data(study, source, same=True, whole=True)
    assert f"\n- {scaling}" in card._data(about), "the model card tells how numbers were scaled"


def test_only_the_items_of_the_study_are_recommended_inside_a_batch_job_too(with_features, monkeypatch):
    """Lightning would take the tasks of `sbatch -n 4` for its own processes."""
    folder, _, source, dataset = with_features
    for name, value in {"JOB_ID": "1", "NTASKS": "4", "JOB_NAME": "x", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    exported = serving.load(folder / "model")
    found = serving.recommend(exported, dataset.user_id_map.external_ids[:5], k=5)
    assert len(found) == 25
    assert set(found["item_id"]) <= set(source.items)
    assert len(set(source.items)) < dataset.item_id_map.size / 2
    assert not serving.differences(exported, folder / "model")
    assert os.environ["SLURM_NTASKS"] == "4"
