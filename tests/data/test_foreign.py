"""Files of other kinds, and files that are read twice."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import orc

from tuner.config import Data
from tuner.data.source import load_source
from tuner.errors import DataError

SAVE = "save it as CSV or Parquet"
CSV = "user_id,item_id,datetime\n01,a,2024-01-01\n02,b,2024-01-02\n"
FRAME = pd.read_csv(io.StringIO(CSV), dtype=str)


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    FRAME.to_sql("t", connection)
    connection.close()


def array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(9))


def archive(path: Path) -> None:
    (path.parent / "inside").write_text(CSV)
    with tarfile.open(path, "w") as file:
        file.add(path.parent / "inside", "i.csv")


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("i.csv", CSV)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a SQLite database": (database, SAVE),
    "a tar archive": (archive, "unpack it"),
    "a zip archive or an Excel file": (zipped, "unpack it, or save it as CSV or Parquet"),
    "a pickle": (FRAME.to_pickle, SAVE),
    "ORC": (
        lambda path: orc.write_table(pa.Table.from_pandas(FRAME), str(path)),
        SAVE,
    ),
    "an array of NumPy": (array, SAVE),
    "Avro": (
        lambda path: path.write_bytes(b"Obj\x01\x04\x14avro.codec\x08null"),
        SAVE,
    ),
    "a web page": (lambda path: path.write_text("<!DocType html><p>Log in"), "download the data themselves"),
    "a pointer of Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "run `git lfs pull`",
    ),
}


def refused(place: str | list[str], **settings: object) -> tuple[str, str | None]:
    with pytest.raises(DataError) as raised:
        load_source(Data(interactions=place, **settings))
    (problem,) = raised.value.problems
    return problem.rule, problem.hint


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("what", KINDS)
def test_a_file_of_another_kind_is_named_whatever_its_name_says(
    what: str, packed: bool, tmp_path: Path
) -> None:
    write, cure = KINDS[what]
    path = tmp_path / "i.csv"
    write(path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    rule, hint = refused(str(path))
    assert f"is {what}" in rule
    assert hint == cure


@pytest.mark.parametrize("name", ["ORCID", "RDX_id", "Rarity", "version"])
def test_a_name_in_a_header_makes_no_other_kind(name: str, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text(CSV.replace("user_id", name))
    data = Data(interactions=str(tmp_path / "i.csv"), columns={"user": name})
    assert load_source(data).interactions["user_id"].tolist() == ["01", "02"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_text_of_wide_characters_names_the_encoding_that_reads_it(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "i.csv"
    path.write_bytes(CSV.encode(encoding))
    rule, hint = refused(str(path))
    assert rule.endswith(f"is not text in utf-8: it looks like {encoding}")
    assert hint == f"set `data.format: {{encoding: {encoding}}}`"
    read = load_source(Data(interactions=str(path), format={"encoding": encoding})).interactions
    assert read["user_id"].tolist() == ["01", "02"]


def test_bytes_that_are_no_text_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_bytes(CSV.encode() + b"03,\x00,2024-01-03\n")
    assert refused(str(tmp_path / "i.csv")) == (
        "must be text, but line 4 has a byte 0",
        SAVE,
    )


def test_a_table_written_by_columns_says_how_to_write_it_by_rows(tmp_path: Path) -> None:
    pd.concat([FRAME] * 4, ignore_index=True).to_json(tmp_path / "i.json")
    with pytest.raises(DataError, match="objects with 0, 1, 2, 3, 4 and 3 more") as raised:
        load_source(Data(interactions=str(tmp_path / "i.json")))
    assert str(raised.value).count("to_json(orient='records', lines=True)") == 3
    FRAME.to_json(tmp_path / "split.json", orient="split")
    rule, hint = refused(str(tmp_path / "split.json"))
    assert rule == "must have the columns user_id, item_id, datetime, but has 'columns'"
    assert hint.startswith("write one object a row")


def test_values_that_mongodb_wraps_are_told(tmp_path: Path) -> None:
    row = {"user_id": {"$oid": "5f"}, "item_id": "a", "datetime": {"$date": "2024-01-01T00:00:00Z"}}
    (tmp_path / "i.jsonl").write_text(f"{json.dumps(row)}\n" * 2, encoding="utf-8")
    with pytest.raises(DataError) as raised:
        load_source(Data(interactions=str(tmp_path / "i.jsonl")))
    assert [(one.where, one.hint) for one in raised.value.problems] == [
        ("data.columns.user", "store the value itself, in place of MongoDB's {$oid: ...}"),
        ("data.columns.datetime", "store the value itself, in place of MongoDB's {$date: ...}"),
    ]


# ####  --------------  Files that are read twice  --------------  #### #


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "i.csv"
    path.write_text(CSV)
    for places in ([str(path), str(path)], [str(path), str(tmp_path / "*.csv")]):
        assert refused(places)[0] == f"must name each file once, but {str(path)!r} is named twice"


def test_a_file_beside_its_compressed_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CSV)
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    rule, hint = refused(str(tmp_path))
    assert "differ only in their endings" in rule
    assert hint == "remove one of them, or give a glob that matches one of them"
    assert len(load_source(Data(interactions=str(tmp_path / "*.gz"))).interactions) == 2


def test_a_table_beside_its_other_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CSV)
    FRAME.to_parquet(tmp_path / "p.parquet")
    assert "differ only in their endings" in refused(str(tmp_path))[0]


def test_equal_files_of_other_folders_are_no_copies(tmp_path: Path) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        (tmp_path / f"datetime={day}").mkdir()
        (tmp_path / f"datetime={day}" / "p.csv").write_text("user_id,item_id\n01,a\n02,b\n")
    read = load_source(Data(interactions=str(tmp_path)))
    assert read.warnings == ()
    assert len(read.interactions) == 4


def test_parts_without_a_byte_have_no_rows(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CSV)
    (tmp_path / "q.csv").touch()
    assert len(load_source(Data(interactions=str(tmp_path))).interactions) == 2
    (tmp_path / "p.csv").write_text("")
    assert refused(str(tmp_path))[0].endswith("must be readable as a table, but the file is empty")


@pytest.mark.parametrize("name", ["p.csv.bak", "p.csv~", "README.md"])
def test_a_folder_with_other_files_beside_the_data_is_refused(name: str, tmp_path: Path) -> None:
    for file in ("p.csv", name):
        (tmp_path / file).write_text(CSV)
    rule, hint = refused(str(tmp_path))
    assert rule == f"must be a folder of data files only, but it has {name!r} beside 'p.csv'"
    assert hint == f"move it away, or give a glob of the data files, as '{tmp_path}/*.csv'"
    assert len(load_source(Data(interactions=str(tmp_path / "*.csv"))).interactions) == 2


def test_files_without_known_endings_are_data_where_all_are_such(tmp_path: Path) -> None:
    for number, user in enumerate(("03", "04")):
        (tmp_path / f"00000{number}_0").write_text(CSV.replace("01", user))
    assert len(load_source(Data(interactions=str(tmp_path))).interactions) == 4


def test_copies_of_a_file_are_told(tmp_path: Path) -> None:
    for name, text in {"p.csv": CSV, "p (1).csv": CSV, "q.csv": CSV.replace("01,a", "03,a")}.items():
        (tmp_path / name).write_text(text)
    for name in ("e.csv", "f.csv"):  # as of parts without rows
        (tmp_path / name).write_text("user_id,item_id,datetime\n")
    warnings = load_source(Data(interactions=str(tmp_path))).warnings
    told = [str(warning) for warning in warnings if "same bytes" in str(warning)]
    assert len(told) == 1
    assert f"{tmp_path}/p.csv has the same bytes as {tmp_path}/p (1).csv" in told[0]
