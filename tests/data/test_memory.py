"""Data that are given as an object: as a file with the same rows."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import yaml
from pandas.testing import assert_frame_equal
from rectools.dataset import Dataset

from tuner.config import Data, Study
from tuner.config.snapshot import snapshot
from tuner.data.source import load_source
from tuner.errors import DataError, StudyError
from tuner.preparation.prepare import prepare

pytestmark = pytest.mark.filterwarnings("ignore")


def study_of(table: Any) -> Study:
    return Study.model_validate(
        {
            "study": "memory",
            "data": {"interactions": table},
            "folds": {"split": "last_n", "size": 1},
            "metrics": {"objective": "NDCG@5", "direction": "maximize"},
            "space": {"set": {"cls": "EASEModel"}},
        }
    )


@pytest.mark.parametrize("kind", ["pandas", "nullable", "category", "arrow", "batch"])
def test_a_table_is_read_as_a_file_with_its_rows(
    kind: str, interactions: pd.DataFrame, tmp_path: Path
) -> None:
    frame = interactions.drop(columns="weight")
    frame.to_parquet(tmp_path / "i.parquet")
    table = {
        "pandas": lambda: frame.set_axis(range(5, 5 + len(frame))),
        "nullable": frame.convert_dtypes,
        "category": lambda: frame.astype({"item_id": "category"}),
        "arrow": lambda: pa.Table.from_pandas(frame),
        "batch": lambda: pa.RecordBatch.from_pandas(frame),
    }[kind]()
    source = load_source(Data(interactions=table))
    file = load_source(Data(interactions=str(tmp_path / "i.parquet")))
    assert source.fingerprint == file.fingerprint
    assert_frame_equal(source.interactions, file.interactions)


def test_a_dataset_of_rectools_brings_its_weights(interactions: pd.DataFrame, tmp_path: Path) -> None:
    interactions.to_parquet(tmp_path / "i.parquet")
    file = load_source(Data(interactions=str(tmp_path / "i.parquet"), columns={"weight": "weight"}))
    assert load_source(Data(interactions=Dataset.construct(interactions))).fingerprint == file.fingerprint


POLARS = {
    "as it is": {},
    "unsigned": {"user_id": pl.UInt64},
    "decimal": {"item_id": pl.Decimal(20, 0)},
    "nanoseconds": {"datetime": pl.Datetime("ns")},
}


@pytest.mark.parametrize("types", POLARS.values(), ids=POLARS)
def test_a_table_of_polars_is_one_of_pandas(types: dict[str, Any], interactions: pd.DataFrame) -> None:
    table = pl.from_pandas(interactions).cast(types)
    found = load_source(Data(interactions=table))
    assert found.fingerprint == load_source(Data(interactions=interactions)).fingerprint


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum])
def test_categories_of_polars_are_their_text(kind: Any, interactions: pd.DataFrame) -> None:
    texts = interactions.assign(item_id=interactions["item_id"].map("sku-{}".format))
    kind = pl.Enum(sorted(texts["item_id"].unique())) if kind is pl.Enum else kind
    table = pl.from_pandas(texts).cast({"item_id": kind})
    assert (
        load_source(Data(interactions=table)).fingerprint == load_source(Data(interactions=texts)).fingerprint
    )


def test_objects_in_a_table_of_polars_are_refused(interactions: pd.DataFrame) -> None:
    objects = pl.Series("user_id", [object()] * len(interactions), dtype=pl.Object)
    with pytest.raises(DataError, match="'user_id' holds objects of Python"):
        load_source(Data(interactions=pl.from_pandas(interactions).with_columns(objects)))


def test_tables_that_are_not_in_memory_are_refused_with_their_cure(interactions: pd.DataFrame) -> None:
    lazy = pl.from_pandas(interactions).lazy()
    with pytest.raises(StudyError, match=r"got polars LazyFrame: call its collect\(\) first"):
        Data(interactions=lazy)
    with pytest.raises(StudyError, match=r"got polars Series$"):
        Data(interactions=pl.Series([1]))


def test_files_may_be_named_by_a_path(interactions: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "i.parquet"
    interactions.to_parquet(path)
    assert Data(interactions=path) == Data(interactions=str(path))
    assert Data(interactions=[path, str(path)]).paths == (str(path), str(path))
    assert Data(interactions=path, items_to_recommend=path).items_to_recommend == str(path)


def test_the_snapshot_says_that_data_were_in_memory(interactions: pd.DataFrame) -> None:
    text = snapshot(study_of(interactions))
    said = yaml.safe_load(text)["data"]["interactions"]
    assert said == "in memory: pandas DataFrame"
    with pytest.raises(DataError, match="must be given again from Python, since it was in memory"):
        load_source(study_of(said).data)


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ([1, "a", 2], "columns must hold one type each, but 'item_id' holds int, str"),
        ([[1], [2], [3]], "a row must be one interaction"),
        ([None, 1, 2], "ids must not be missing"),
    ],
)
def test_columns_that_cannot_be_ids_are_refused(column: list[Any], rule: str) -> None:
    frame = pd.DataFrame({"user_id": [1, 2, 3], "datetime": pd.Timestamp("2024-01-01")})
    frame["item_id"] = pd.Series(column, dtype=object)
    with pytest.raises(DataError, match=rule):
        load_source(Data(interactions=frame))


DAY, TIME = dt.date(2024, 3, 1), dt.datetime(2024, 3, 1, 10, 20)
ZONED = pd.Timestamp("2024-03-01 10:20", tz="Europe/Vienna")


@pytest.mark.parametrize(
    ("times", "rule"),
    [
        ([DAY, TIME], "columns must hold one type each, but 'datetime' holds date, datetime"),
        ([TIME, DAY], "columns must hold one type each, but 'datetime' holds date, datetime"),
        ([DAY, pd.Timestamp(TIME)], "columns must hold one type each, but 'datetime' holds Timestamp, date"),
        (
            [pd.Timestamp(TIME), ZONED],
            "must name a time zone in all rows or in none, but 'datetime' does in 1 of 2 rows; the first is "
            "row 2: 2024-03-01 10:20:00+01:00",
        ),
        ([ZONED, TIME], "must name a time zone in all rows or in none, but 'datetime' does in 1 of 2 rows"),
    ],
)
def test_times_of_several_kinds_in_a_column_are_refused(times: list[Any], rule: str) -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "datetime": pd.Series(times, dtype=object)})
    with pytest.raises(DataError) as caught:
        load_source(Data(interactions=frame))
    [problem] = caught.value.problems
    assert rule in problem.rule
    assert problem.hint


@pytest.mark.parametrize(
    ("times", "read"),
    [
        ([DAY, DAY], ["2024-03-01", "2024-03-01"]),
        ([TIME, pd.Timestamp(TIME)], ["2024-03-01 10:20", "2024-03-01 10:20"]),
        ([ZONED, ZONED.tz_convert("Asia/Tokyo")], ["2024-03-01 09:20", "2024-03-01 09:20"]),
    ],
)
def test_objects_that_are_times_of_one_kind_are_read(times: list[Any], read: list[str]) -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "datetime": pd.Series(times, dtype=object)})
    assert load_source(Data(interactions=frame)).interactions["datetime"].tolist() == [
        *map(pd.Timestamp, read)
    ]


def test_columns_may_be_named_by_numbers(interactions: pd.DataFrame) -> None:
    numbered = interactions.rename(columns={"user_id": 0, "item_id": 1, "datetime": 2})
    columns = {"user": "0", "item": "1", "datetime": "2"}
    found = load_source(Data.model_validate({"interactions": numbered, "columns": columns}))
    assert found.fingerprint == load_source(Data(interactions=interactions)).fingerprint


@pytest.mark.parametrize(
    ("change", "rule", "cure"),
    [
        (lambda t: t.set_index("user_id"), "but 'user_id' is in the index", "reset_index()"),
        (
            lambda t: t.set_index(["user_id", "item_id"]),
            "but 'user_id', 'item_id' are in the index",
            "reset_index()",
        ),
        (
            lambda t: t.assign(datetime=t["datetime"].dt.to_period("D")),
            "'datetime' holds period[D]",
            "dt.to_timestamp() makes times",
        ),
        (
            lambda t: t.assign(datetime=t["datetime"].where(t.index != 1)),
            "times must not be missing, but 'datetime' is in 1 of",
            "leave such rows out",
        ),
        (lambda t: t.assign(item_id=1j), "'item_id' holds complex128", "make it text, or numbers"),
        (
            lambda t: t.assign(item_id=(t["item_id"].factorize()[0] + 2**25).astype("float32")),
            "holds float, which may round integers from 16,777,216 on, such as 33554432 in 'item_id'",
            "from before they became floats",
        ),
    ],
)
def test_a_table_that_would_be_read_otherwise_is_refused(
    interactions: pd.DataFrame, change: Any, rule: str, cure: str
) -> None:
    with pytest.raises(DataError) as caught:
        load_source(Data(interactions=change(interactions.reset_index(drop=True))))
    [problem] = caught.value.problems
    assert rule in problem.rule
    assert cure in (problem.hint or "")


def test_sparse_columns_are_read(interactions: pd.DataFrame) -> None:
    packed = interactions.assign(weight=pd.arrays.SparseArray([2.0] * len(interactions)))
    found = load_source(Data.model_validate({"interactions": packed, "columns": {"weight": "weight"}}))
    assert set(found.interactions["weight"]) == {2.0}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (pd.Series([1]), "pandas Series"),
        (np.zeros((2, 3)), "numpy ndarray"),
        ([{"user_id": 1}], "[{'user_id': 1}]"),
        ({"user_id": [1]}, "{'user_id': [1]}"),
    ],
)
def test_other_objects_are_refused_with_their_type(given: object, shown: str) -> None:
    with pytest.raises(StudyError) as caught:
        Study(
            study="memory",
            data={"interactions": given},
            folds={"split": "last_n", "size": 1},
            metrics={"objective": "NDCG@5", "direction": "maximize"},
            space={"set": {"cls": "EASEModel"}},
        )
    [problem] = caught.value.problems
    assert problem.rule.endswith(f"or RecTools' Dataset, but got {shown}")


def test_an_empty_table_and_a_missing_column_are_told(interactions: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="must have rows, but has none"):
        load_source(Data(interactions=interactions[:0]))
    with pytest.raises(DataError, match="must be a column of the table, but 'item_id' is not"):
        load_source(Data(interactions=interactions.drop(columns="item_id")))


def test_a_dataset_with_features_and_a_file_of_them_are_refused(interactions: pd.DataFrame) -> None:
    features = pd.DataFrame({"id": interactions["user_id"].unique(), "feature": "sex", "value": "f"})
    given = Dataset.construct(interactions, user_features_df=features, cat_user_features=["sex"])
    with pytest.raises(DataError, match="must be left out for a Dataset with features of users"):
        load_source(Data(interactions=given, user_features="u.csv"))
    with pytest.raises(DataError, match="must be numbers in the Dataset, but 'sex' is a category"):
        load_source(Data(interactions=given, numeric_user_features=("sex",)))


def test_features_may_be_a_table_in_memory_that_is_asked_for_again(
    interactions: pd.DataFrame, item_features: pd.DataFrame
) -> None:
    study = study_of(interactions)
    data = study.data.model_dump() | {"interactions": interactions, "item_features": item_features}
    with_features = study.model_copy(update={"data": Data.model_validate(data)})
    source = load_source(with_features.data)
    assert source.item_features is not None
    pd.testing.assert_frame_equal(source.item_features.table, item_features, check_dtype=False)
    said = yaml.safe_load(snapshot(with_features))["data"]["item_features"]
    assert said == "in memory: pandas DataFrame"
    with pytest.raises(DataError, match="must be given again from Python") as raised:
        load_source(Data(interactions=interactions, item_features=said))
    assert "give the study with the same object in place of its name, as judge(study)" in str(raised.value)
    assert "name it in the study under data.item_features" in str(raised.value)


@pytest.mark.parametrize("where", ["space", "baselines"])
def test_a_column_that_a_preparator_asks_for_must_be_kept(where: str, interactions: pd.DataFrame) -> None:
    """RecTools would train without it, and fail when it recommends."""
    asked = {"data_preparator_kwargs.extra_cols": ["page"]}
    model = {"cls": "SASRecModel", "n_factors": 8, "n_heads": 1}
    plain = {
        "study": "columns",
        "data": {"interactions": interactions.assign(page=1)},
        "folds": {"split": "last_n", "size": 1},
        "metrics": {"objective": "NDCG@5", "direction": "maximize"},
        "space": {
            "set": {
                **model,
                **({"data_preparator_kwargs.extra_cols": [["page"]]} if where == "space" else {}),
            }
        },
        "baselines": [{"name": "own", "params": {**model, **asked}}] if where == "baselines" else [],
    }
    with pytest.raises(StudyError) as raised:
        prepare(Study.model_validate(plain), lambda line: None)
    (problem,) = raised.value.problems
    assert problem.rule == "must be columns of data.extra_columns, but 'page' is not"
    assert problem.hint == "set `data.extra_columns: [page]`"
    plain["data"] = {**plain["data"], "extra_columns": ["page"]}
    assert len(prepare(Study.model_validate(plain), lambda line: None).folds) == 1
