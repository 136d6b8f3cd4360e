"""Ids and rows as the file writes them: inputs of the kinds on which table readers go wrong silently."""

from __future__ import annotations

import bz2
import datetime as dt
import decimal
import gzip
import itertools
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import yaml
from pyarrow import feather, parquet

from tuner.config import Data
from tuner.data.reading import Coded
from tuner.data.reading.times import to_times
from tuner.data.source import load_source
from tuner.errors import DataError, StudyError

HEADER = "user_id,item_id,datetime\n"
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: str | bytes, name: str = "i.csv") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return written


def ids(path: str, **settings: Any) -> tuple[list[Any], list[Any]]:
    frame = load_source(Data(interactions=path, **settings)).interactions
    return frame["user_id"].tolist(), frame["item_id"].tolist()


def refusal(path: str, **settings: Any) -> str:
    with pytest.raises(DataError) as raised:
        load_source(Data(interactions=path, **settings))
    return str(raised.value)


def rows(users: list[object], items: list[object]) -> str:
    return HEADER + "".join(
        f"{u},{i},2024-01-0{1 + n % 9}\n" for n, (u, i) in enumerate(zip(users, items, strict=True))
    )


# ####  --------------  Ids of text files  --------------  #### #


def test_a_long_file_has_the_ids_that_it_writes(write: Write) -> None:
    """Readers that guess a type for each chunk make two ids of one."""
    n = 60_000
    lines = [f"{k % 500},{'x1' if k == n - 5 else k % 80},2024-01-01" + ",0" * 20 for k in range(n)]
    path = write(
        "user_id,item_id,datetime" + "".join(f",c{k}" for k in range(20)) + "\n" + "\n".join(lines) + "\n"
    )
    users, items = ids(path)
    assert set(users) == set(range(500))
    assert set(items) == {*map(str, range(80)), "x1"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["7", "-3", "0"], [7, -3, 0]),
        (["7", "07", "0"], ["7", "07", "0"]),
        (["1", "1.0", "1e0"], ["1", "1.0", "1e0"]),
        (["+1", "1", "2"], ["+1", "1", "2"]),
        (["-0", "0", "2"], ["-0", "0", "2"]),
        (["1 ", "1", " 1"], ["1 ", "1", " 1"]),
        (["9223372036854775807", "-9223372036854775808", "1"], [2**63 - 1, -(2**63), 1]),
        (["9223372036854775808", "1", "2"], ["9223372036854775808", "1", "2"]),
        (["NA", "null", "nan"], ["NA", "null", "nan"]),
        (["None", "N/A", "#N/A"], ["None", "N/A", "#N/A"]),
        (["true", "false", "TRUE"], ["true", "false", "TRUE"]),
        (["inf", "NaN", "-"], ["inf", "NaN", "-"]),
        (["2024-01-01", "1_000", "0x10"], ["2024-01-01", "1_000", "0x10"]),
        (["\u0661", "1", "2"], ["\u0661", "1", "2"]),
    ],
)
def test_ids_are_as_they_are_written(written: list[str], read: list[object], write: Write) -> None:
    path = write(rows(written, written))
    for found in ids(path):
        assert found == read
        assert [type(value) for value in found] == [type(value) for value in read]
    assert ids(path, ids="text") == (written, written)


def test_ids_may_hold_delimiters_quotes_and_line_ends(write: Write) -> None:
    text = HEADER + '"a,b","say ""x""",2024-01-01\n"two\nlines",x,2024-01-02\n'
    assert ids(write(text)) == (["a,b", "two\nlines"], ['say "x"', "x"])


def test_marks_and_line_ends_of_other_systems_are_no_part_of_a_value(write: Write) -> None:
    text = "\ufeff" + rows([1, 2], ["a", "b"]).replace("\n", "\r\n")
    assert ids(write(text)) == ([1, 2], ["a", "b"])


@pytest.mark.parametrize(
    ("text", "line", "row"),
    [
        (HEADER + "1,2,2024-01-01,\n3,4,2024-01-02,\n", 2, "1,2,2024-01-01,"),
        (HEADER + "1,2,2024-01-01\n3,4\n", 3, "3,4"),
        (HEADER + '"1\n1",2,2024-01-01\n3,4,2024-01-01,9\n', 4, "3,4,2024-01-01,9"),
        (HEADER.replace("\n", ",\n") + "1,2,2024-01-01\n", 2, "1,2,2024-01-01"),
    ],
)
def test_rows_of_other_lengths_than_the_header_are_refused(
    text: str, line: int, row: str, write: Write
) -> None:
    said = refusal(write(text))
    assert f"line {line} has " in said
    assert f": {row}\n" in said


def test_rows_that_all_end_with_a_comma_are_told_so(write: Write) -> None:
    assert "the row ends with ',' and the header does not" in refusal(write(HEADER + "1,2,2024-01-01,\n"))


def test_header_and_rows_may_both_end_with_a_comma(write: Write) -> None:
    assert ids(write(HEADER.replace("\n", ",\n") + "1,2,2024-01-01,\n")) == ([1], [2])


def test_a_column_that_is_named_twice_is_refused(write: Write) -> None:
    said = refusal(write("user_id,item_id,item_id,datetime\n1,2,3,2024-01-01\n"))
    assert "must name each column once, but 'item_id' is named 2 times" in said


def test_a_first_line_without_end_is_refused(write: Write) -> None:
    """As in a file of another kind, such as a page or a dump on one line."""
    said = refusal(write("x" * 200_000, "clicks.txt"))
    assert "must be readable as a table, but field larger than field limit" in said


def test_the_fields_of_other_columns_need_no_type(write: Write) -> None:
    """Neither their values nor their encoding matter."""
    raw = b"user_id,comment,item_id,datetime\n1,caf\xe9,2,2024-01-01\n1,7,3,2024-01-01\n"
    assert ids(write(raw)) == ([1, 1], [2, 3])


# ####  --------------  Ids of files with types  --------------  #### #

U = uuid.UUID(int=5)


def save(table: pa.Table, tmp_path: Path, how: str = "parquet") -> str:
    path = str(tmp_path / f"i.{how}")
    parquet.write_table(table, path) if how == "parquet" else feather.write_feather(table, path)
    return path


def table_of(column: Any) -> pa.Table:
    n = len(column)
    return pa.table(
        {"user_id": column, "item_id": [f"i{k}" for k in range(n)], "datetime": [dt.datetime(2024, 1, 1)] * n}
    )


@pytest.mark.parametrize("how", ["parquet", "feather"])
@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pd.array([1, 2], dtype="Int64"), [1, 2]),
        (pd.array(["a", "b"], dtype="string"), ["a", "b"]),
        (pa.array(["1", "2"]), ["1", "2"]),  # the file says that they are text
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([7, 5], pa.int32()).dictionary_encode(), [7, 5]),
        (pa.array([1, 2], pa.uint64()), [1, 2]),
        (pa.array([1, 2**63], pa.uint64()), ["1", str(2**63)]),
        (pa.array([1, 2], pa.int8()), [1, 2]),
        (pa.array([decimal.Decimal("10"), decimal.Decimal("2")]), [10, 2]),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")]), ["1.50", "2.00"]),
        (pa.array([decimal.Decimal("1.00"), decimal.Decimal("2.00")]), [1, 2]),
        (pa.array([dt.date(2024, 1, 1), dt.date(2024, 1, 2)]), ["2024-01-01", "2024-01-02"]),
        (pa.array([1.0, 2.0]), [1, 2]),
        (pa.array([1.0, 2.0], pa.float16()), [1, 2]),
        (pa.array([b"abc", b"\xc3\xa9"]), ["abc", "é"]),
        (pa.array([True, False]), ["true", "false"]),
    ],
    ids=str,
)
def test_ids_of_all_types_are_spelled_as_a_person_would(
    column: Any, read: list[object], how: str, tmp_path: Path
) -> None:
    found, _ = ids(save(table_of(column), tmp_path, how))
    assert found == read
    assert [type(value) for value in found] == [type(value) for value in read]


def in_runs(*values: object) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays([1 + n for n in range(len(values))], pa.array(values))


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"a", b"b"], pa.binary_view()), ["a", "b"]),
        (pa.DictionaryArray.from_arrays([0, 1], pa.array(["a", "b"], pa.string_view())), ["a", "b"]),
        (pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["a", "b"], pa.string_view())), ["a", "b"]),
        (pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["a", "b"]).dictionary_encode()), ["a", "b"]),
        (in_runs(7, 8, 9).slice(1, 2), [8, 9]),
        (pa.array(["a", "", None], pa.string_view()), "ids must not be missing, but 'user_id' is in 2 of 3"),
        (in_runs(1, None), "ids must not be missing, but 'user_id' is in 1 of 2 rows"),
        (in_runs("a", ""), "ids must not be missing, but 'user_id' is in 1 of 2 rows"),
    ],
    ids=str,
)
def test_packed_columns_are_as_plain_ones(column: Any, read: Any, in_memory: bool, tmp_path: Path) -> None:
    table = table_of(column)
    given: Any = table if in_memory else write_ipc(table, tmp_path)
    if isinstance(read, str):
        assert read in refusal(given)
    else:
        assert ids(given)[0] == read


def write_ipc(table: pa.Table, tmp_path: Path) -> str:
    path = str(tmp_path / "i.arrow")
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    return path


def test_weights_and_features_of_polars_files_are_text(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "w": ["1", "2"]})
    table.with_columns(datetime=pl.lit("2024-01-01")).write_ipc(tmp_path / "i.feather")
    assert pa.ipc.open_file(tmp_path / "i.feather").schema.field("w").type == pa.string_view()
    data = Data(interactions=str(tmp_path / "i.feather"), columns={"weight": "w"})
    assert load_source(data).interactions["weight"].tolist() == [1.0, 2.0]
    pl.DataFrame({"id": ["x"], "feature": [""], "value": [""]}).write_ipc(tmp_path / "f.feather")
    with pytest.raises(DataError, match="names must not be missing"):
        load_source(data.model_copy(update={"item_features": str(tmp_path / "f.feather")}))


def test_uuids_that_are_declared_are_spelled_as_such(tmp_path: Path) -> None:
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([U.bytes], pa.binary(16)))
    assert ids(save(table_of(column), tmp_path))[0] == [str(U)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0.0, -0.0, 3.0]),
        pa.array([0.0, -0.0, 3.0]).dictionary_encode(),
        pa.DictionaryArray.from_arrays([0, 1, 2], pa.array([0, 0, 3])),
    ],
    ids=str,
)
def test_equal_spellings_are_one_id(column: Any, tmp_path: Path) -> None:
    source = load_source(Data(interactions=save(table_of(column), tmp_path, "feather")))
    assert source.interactions["user_id"].tolist() == [0, 0, 3]
    assert Coded.of(source.given).n_users == 2


@pytest.mark.parametrize(
    ("column", "rule", "cure"),
    [
        (pa.array([U.bytes]), "holds bytes such as b'", "for UUIDs, str(uuid)"),
        (pa.array([U.bytes], pa.binary(16)), "holds bytes such as b'", "for UUIDs, str(uuid)"),
        (pa.array([1.5]), "holds double such as 1.5", "write ids as text"),
        (pa.array([float(2**53)]), "may round integers from 9,007,199,254,740,992 on", "became floats"),
        (pa.array([-float(2**53)]), "on, such as -9007199254740992 in 'user_id'", "became floats"),
        (pa.array([2.0**24], pa.float32()), "holds float, which may round", "became floats"),
        (pa.array([dt.datetime(2024, 1, 1)]), "holds timestamp[us]", "write ids as text"),
        (
            pa.array([["a"]]),
            "a row must be one interaction with one id, but holds a list",
            "one interaction a row",
        ),
        (
            pa.array([{"id": 1}]),
            "ids must be text or integers, but the column holds objects with id",
            "pandas.json_normalize",
        ),
        (pa.array([None], pa.int64()), "ids must not be missing", "leave such rows out"),
        (pa.array([""]), "ids must not be missing", "leave such rows out"),
        (pa.nulls(1), "ids must not be missing", "leave such rows out"),
    ],
)
def test_ids_that_nobody_can_type_are_refused_with_a_cure(
    column: Any, rule: str, cure: str, tmp_path: Path
) -> None:
    said = refusal(save(table_of(column), tmp_path))
    assert rule in said
    assert cure in said
    assert "1 problem" in said


def lines(*users: str) -> str:
    """Make JSON lines with users as JSON writes them."""
    return "".join(
        f'{{"user_id": {user}, "item_id": "i{n}", "datetime": "2024-01-01"}}\n'
        for n, user in enumerate(users)
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["9007199254740993", "5.0"], [2**53 + 1, 5]),
        (["9007199254740991.0", "5"], [2**53 - 1, 5]),
        (["-9007199254740993", "-5.0"], [-(2**53) - 1, -5]),
        (["12345678901234567890", "5"], ["12345678901234567890", "5"]),
        (['"7"', "7.0", "7", "1e3", "1000"], ["7", "7", "7", "1000", "1000"]),
        (["true", "7.0", "7"], ["true", "7", "7"]),
        (["12345678901234567890", "5.0"], ["12345678901234567890", "5"]),
    ],
)
def test_integers_in_json_are_exact(written: list[str], read: list[object], write: Write) -> None:
    assert ids(write(lines(*written), "i.jsonl"))[0] == read


@pytest.mark.parametrize(
    "written",
    [["9007199254740993.0", "5"], ["9007199254740993.0", '"a"'], ["9007199254740992", "9007199254740993.0"]],
)
def test_floats_in_json_that_were_rounded_are_refused(written: list[str], write: Write) -> None:
    assert "may round integers from" in refusal(write(lines(*written), "i.jsonl"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (['"a"', "1.5"], "but the column holds double such as 1.5 in 'user_id'"),
        (['"a"', "NaN"], "ids must not be missing"),
    ],
)
def test_numbers_in_json_that_are_no_ids_are_refused_also_beside_text(
    written: list[str], said: str, write: Write
) -> None:
    assert said in refusal(write(lines(*written), "i.jsonl"))


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (100_000, "must be a list of objects, but lists in it are nested too deeply: [[["),
        (500, "each line must hold an object, but line 0 holds [[["),
    ],
)
def test_lists_in_lists_are_refused_in_one_line(depth: int, said: str, write: Write) -> None:
    found = refusal(write("[" * depth + "]" * depth, "i.json"))
    assert said in found
    assert len(found) < 600


def test_an_index_of_pandas_is_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [3, 4], "datetime": pd.Timestamp("2024-01-01")})
    frame.set_index("user_id").to_parquet(tmp_path / "i.parquet")
    assert ids(str(tmp_path / "i.parquet")) == ([1, 2], [3, 4])


# ####  --------------  Forms of files  --------------  #### #

PLAIN = rows([1, 2, 2], ["a", "b", "a"])
EXPECTED = ([1, 2, 2], ["a", "b", "a"])


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("i.csv", PLAIN, {}),
        ("i.tsv", PLAIN.replace(",", "\t"), {}),
        ("i.txt", PLAIN.replace(",", "\t"), {}),
        ("i.txt", PLAIN, {}),
        ("i.dat", PLAIN.replace(",", "::"), {}),
        ("i.dat", PLAIN.replace(",", "|"), {}),
        ("i.csv", PLAIN.replace(",", ";"), {"format": {"delimiter": ";"}}),
        (
            "i.inter",
            "user_id:token\titem_id:token\tdatetime:float\n" + PLAIN.removeprefix(HEADER).replace(",", "\t"),
            {},
        ),
        (
            "i.dat",
            PLAIN.removeprefix(HEADER).replace(",", "::"),
            {
                "format": {"delimiter": "::", "header": False},
                "columns": {"user": 0, "item": 1, "datetime": 2},
            },
        ),
        (
            "i.csv",
            PLAIN.removeprefix(HEADER),
            {"format": {"header": False}, "columns": {"user": "0", "item": "1", "datetime": "2"}},
        ),
        ("i.csv", PLAIN.encode("utf-16"), {"format": {"encoding": "utf-16"}}),
        ("i.csv.gz", gzip.compress(PLAIN.encode()), {}),
        ("i.csv", gzip.compress(PLAIN.encode()), {}),
        ("i.csv.bz2", bz2.compress(PLAIN.encode()), {}),
        ("i.csv.gz", PLAIN, {}),
        ("i.csv.zst", pa.compress(PLAIN.encode(), "zstd", asbytes=True), {}),
        ("events", PLAIN, {}),
        (
            "i.jsonl",
            "\n".join(
                f'{{"user_id": {u}, "item_id": "{i}", "datetime": "2024-01-01", "tags": []}}'
                for u, i in zip(*EXPECTED, strict=True)
            ),
            {},
        ),
        (
            "i.json",
            "["
            + ",".join(
                f'{{"user_id": {u}, "item_id": "{i}", "datetime": "2024-01-01"}}'
                for u, i in zip(*EXPECTED, strict=True)
            )
            + "]",
            {},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_every_form_is_the_same(name: str, content: Any, settings: dict[str, Any], write: Write) -> None:
    assert ids(write(content, name), **settings) == EXPECTED


def test_a_decimal_comma_and_latin_text(write: Write) -> None:
    text = "user_id;item_id;datetime;w\nzoë;ü;1700000000,5;2,5\n"
    settings = {
        "format": {"delimiter": ";", "decimal": ",", "encoding": "latin-1"},
        "columns": {"weight": "w"},
        "datetime": "unix_s",
    }
    frame = load_source(Data(interactions=write(text.encode("latin-1")), **settings)).interactions
    assert frame.to_numpy().tolist() == [["zoë", "ü", pd.Timestamp("2023-11-14 22:13:20.500"), 2.5]]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "::"])
def test_another_delimiter_than_that_of_the_ending_is_told(delimiter: str, write: Write) -> None:
    said = refusal(write(PLAIN.replace(",", delimiter)))
    (written,) = re.findall(r"`data\.format: ({.*})`", said)
    assert yaml.safe_load(written) == {"delimiter": delimiter}


def test_another_encoding_is_told(write: Write) -> None:
    assert "`data.format: {encoding: latin-1}`" in refusal(write(rows(["é"], ["a"]).encode("latin-1")))


@pytest.mark.parametrize("how", ["folder", "glob", "list", "hive"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_parts_are_read_one_after_the_other(how: str, ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "clicks.parquet"
    users, items = [1, 2, 3, 4], ["a", "b", "c", "d"]
    for number in range(2):
        place = folder / (f"day=2024-01-0{number + 1}" if how == "hive" else "")
        place.mkdir(parents=True, exist_ok=True)
        part = pd.DataFrame({"user_id": users[2 * number :][:2], "item_id": items[2 * number :][:2]})
        if how != "hive":
            part["day"] = f"2024-01-0{number + 1}"
        path = place / f"part-0000{number}.{ending}"
        part.to_parquet(path) if ending == "parquet" else part.to_csv(path, index=False)
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.crc").write_bytes(b"x")
    place: Any = {
        "folder": str(folder),
        "hive": str(folder),
        "glob": str(folder / "part-*"),
        "list": [str(folder / f"part-0000{number}.{ending}") for number in range(2)],
    }[how]
    source = load_source(Data(interactions=place, columns={"datetime": "day"}))
    assert source.interactions["user_id"].tolist() == users
    assert source.interactions["item_id"].tolist() == items
    assert source.interactions["datetime"].dt.day.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("root", ["memory://lake/{name}", "file://{tmp_path}"])
@pytest.mark.parametrize(
    ("files", "place"),
    [
        (("part-0.csv", "part-1.csv", "_SUCCESS"), "/"),
        (("part-0.csv", "part-1.csv", "_SUCCESS"), ""),
        (("part-0.csv", "part-1.csv", "other.csv"), "/part-*.csv"),
        (("day=1/part-0.csv", "day=2/part-0.csv"), "/"),
        (("day=1/part-0.csv", "day=2/part-0.csv"), "/*/part-*.csv"),
        (("a.csv", "b.csv"), ["/a.csv", "/b.csv"]),
    ],
    ids=["folder", "no slash", "glob", "hive", "hive glob", "list"],
)
def test_parts_are_read_from_urls(
    files: tuple[str, ...], place: str | list[str], root: str, tmp_path: Path
) -> None:
    base = root.format(tmp_path=tmp_path, name=tmp_path.name)
    for number, name in enumerate(files):
        with fsspec.open(f"{base}/{name}", "w", auto_mkdir=True) as file:
            file.write(rows([number, number], ["a", f"i{number}"]) if number < 2 else "no table")
    given = [base + one for one in place] if isinstance(place, list) else base + place
    hive = "=" in files[0]
    source = load_source(Data(interactions=given, extra_columns=("day",) if hive else ()))
    assert source.interactions["user_id"].tolist() == [0, 0, 1, 1]
    assert source.interactions["item_id"].tolist() == ["a", "i0", "a", "i1"]
    if hive:
        assert source.interactions["day"].tolist() == [1, 1, 2, 2]


def test_a_url_without_files_is_told() -> None:
    assert "must match files, but 'memory://nowhere/*.csv' matches none" in refusal("memory://nowhere/*.csv")


def test_parts_with_other_ids_are_text_together(write: Write) -> None:
    parts = [write(rows([1, 2], ["a", "b"]), "p/1.csv"), write(rows(["x", "01"], ["a", "b"]), "p/2.csv")]
    assert ids(str(Path(parts[0]).parent))[0] == ["1", "2", "x", "01"]


def decimals(*written: str) -> pa.Array:
    return pa.array([decimal.Decimal(value) for value in written])


@pytest.mark.parametrize(
    ("first", "second", "read"),
    [
        (pa.array([12345678901]), pa.array([12345678901.0]), [12345678901]),
        (pa.array([1, 2], pa.int32()), pa.array([2, 1], pa.int64()), [1, 2]),
        (pa.array([1, 2]), pa.array([2.0, 1.0]).dictionary_encode(), [1, 2]),
        (pa.array([1, 2]), decimals("1.00", "2.00"), [1, 2]),
        (decimals("1.0", "2.0"), decimals("1.00", "2.00"), [1, 2]),
        (decimals("1.5", "2.0"), decimals("1.50", "2.00"), ["1.50", "2.00"]),
        (pa.array([1, 2]), decimals("1.00", "2.50"), ["1.00", "2.00", "2.50"]),
        (pa.array([2**63], pa.uint64()), pa.array([5.0]), [str(2**63), "5"]),
        (pa.array(["7", "a"]), pa.array([7.0]), ["7", "a"]),
        (pa.array(["7", "8"]), pa.array([7, 8]), ["7", "8"]),
        (pa.array(["7", "8"]).dictionary_encode(), decimals("7.00", "8.00"), ["7", "8"]),
        (pa.array(["2024-01-01"]), pa.array([dt.date(2024, 1, 1)]), ["2024-01-01"]),
        (pa.array([b"a"]), pa.array(["a"], pa.large_string()), ["a"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("turned", [False, True])
def test_an_id_is_one_in_parts_with_other_types(
    first: pa.Array, second: pa.Array, read: list[object], turned: bool, tmp_path: Path
) -> None:
    for number, column in enumerate([second, first] if turned else [first, second]):
        feather.write_feather(table_of(column), tmp_path / f"{number}.feather")
    found = load_source(Data(interactions=str(tmp_path)))
    assert sorted(set(found.interactions["user_id"])) == sorted(read)
    assert Coded.of(found.given).n_users == len(read)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1.5]), "the column holds double such as 1.5 in 'user_id' of {path}"),
        (pa.array([2.0**53]), "such as 9007199254740992 in 'user_id' of {path}"),
        (pa.array([["a"]]), "but holds a list in 'user_id' of {path}"),
        (pa.array([1.0, None]), "ids must not be missing, but 'user_id' is in 1 of 3 rows"),
        (pa.nulls(1), "ids must not be missing, but 'user_id' is in 1 of 2 rows"),
        (pa.array(["a", ""]), "ids must not be missing, but 'user_id' is in 1 of 3 rows"),
    ],
    ids=str,
)
def test_a_part_without_ids_is_refused_as_a_file_is(column: Any, said: str, tmp_path: Path) -> None:
    path = str(tmp_path / "2.parquet")
    parquet.write_table(table_of(pa.array([1])), tmp_path / "1.parquet")
    parquet.write_table(table_of(column), path)
    assert said.format(path=path) in refusal(str(tmp_path))


def test_features_know_an_id_of_parts_with_other_types(tmp_path: Path, write: Write) -> None:
    places = [str(tmp_path / "f" / f"{number}.parquet") for number in range(2)]
    (tmp_path / "f").mkdir()
    for place, column in zip(places, [pa.array([1, 2]), pa.array([3.0, 1.0])], strict=True):
        parquet.write_table(pa.table({"id": column, "feature": ["a", "b"], "value": ["x", "y"]}), place)
    source = load_source(Data(interactions=write(rows([7, 8], [1, 3])), item_features=str(tmp_path / "f")))
    assert source.item_features is not None
    assert source.item_features.table["id"].tolist() == [1, 2, 3, 1]


def test_parts_with_other_columns_are_refused(write: Write) -> None:
    write(PLAIN, "p/1.csv")
    path = write(PLAIN.replace("item_id", "item"), "p/2.csv")
    assert f"files must have the same columns, but {path} has no 'item_id'" in refusal(str(Path(path).parent))


def test_a_glob_that_matches_nothing_is_told(tmp_path: Path) -> None:
    assert "must match files, but" in refusal(str(tmp_path / "*.csv"))


# ####  --------------  Times  --------------  #### #


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("2024-03-01 10:20:30 UTC", "iso"),
        ("2024-03-01T10:20:30Z", "iso"),
        ("2024-03-01T12:20:30+02:00", "iso"),
        ("1709288430", "unix_s"),
        ("1709288430000", "unix_ms"),
        ("1709288430000000", "unix_us"),
        ("1709288430000000000", "unix_ns"),
        ("01.03.2024 10:20:30", "%d.%m.%Y %H:%M:%S"),
        ("20240301102030", "%Y%m%d%H%M%S"),
        ("01/Mar/2024:12:20:30 +0200", "%d/%b/%Y:%H:%M:%S %z"),
    ],
)
def test_times_of_every_kind_are_the_same(written: str, kind: str, write: Write) -> None:
    frame = load_source(Data(interactions=write(HEADER + f"1,2,{written}\n"), datetime=kind)).interactions
    assert frame["datetime"].tolist() == [pd.Timestamp("2024-03-01 10:20:30")]


@pytest.mark.parametrize(
    ("written", "kind", "cure"),
    [
        ("1.3.2024 10:20", "iso", '`datetime: "%d.%m.%Y %H:%M"`'),
        ("3/31/2024", "iso", '`datetime: "%m/%d/%Y"`'),
        ("3/1/2024", "iso", '`datetime: "%m/%d/%Y" or "%d/%m/%Y"`'),
        ("1709288430000000", "unix_ms", "`datetime: unix_us`"),
        ("1709288430000000", "iso", "`datetime: unix_us`"),
        ("2024-03-01", "unix_s", "`datetime: iso`"),
    ],
)
def test_times_of_another_kind_are_refused_with_the_right_one(
    written: str, kind: str, cure: str, write: Write
) -> None:
    assert cure in refusal(write(HEADER + f"1,2,{written}\n"), datetime=kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("%s", 'but has "%s": write datetime: unix_s'),
        ("%Y-%m-%e", 'write "%d"'),
        ("%F %T", 'but has "%F": write "%Y-%m-%d"'),
        ("%-d.%m.%Y", 'but has "%-d": write "%d"'),
        ("%Q", "unix_ms"),
        ("%+", "datetime: iso"),
        ("%Y-%m-%d %", 'but ends with "%"'),
        ("%Y-%m-%d %H:%m", 'but has "%m" 2 times, "%M" is the minute'),
        ("%Y-%W", '"%W" is only a week'),
        ("%G-%V", 'write both with "%u"'),
        ("%Y-%m-%d %H:%M %p", 'write "%I"'),
        ("%Y-%m-%d %I:%M", 'has "%I" without "%p": write "%H" for 0 to 23'),
        ("%H:%M", "names no date"),
        ("%d.%m. %H:%M", "names no year"),
        ("%d %Y", "a day without its month"),
        ("%Y-%m-%d %z %Z", "name the time zone once"),
        ("%Y-%m-%d %x", "leave one of them out"),
    ],
)
def test_a_format_by_which_no_time_can_be_read_is_refused(kind: str, said: str) -> None:
    with pytest.raises(StudyError) as raised:
        Data(interactions="i.csv", datetime=kind)
    assert said in str(raised.value)


def test_the_reader_reads_by_each_format_that_is_not_refused() -> None:
    letters = [f"%{one}" for one in "aAbBcdfGHIjmMpSuUVwWxXyYzZ"]
    day = pd.Timestamp("2024-03-05 10:07:09", tz="UTC").to_pydatetime()
    n_read = 0
    for first, second in itertools.product(
        ["%Y-%m-%d", "%Y-%j", "%Y", "%y", "%G", "%G-%V", "%c", "%x"], letters
    ):
        for third in ["", *letters]:
            kind = f"{first} {second} {third}".strip()
            try:
                Data(interactions="i.csv", datetime=kind)
            except StudyError:
                continue
            n_read += 1
            assert to_times(pa.chunked_array([[day.strftime(kind)]]), kind)[0] >= np.datetime64("2024-01-01")
    assert n_read > 100


@pytest.mark.parametrize(
    ("written", "kind", "fitting"),
    [
        (["3/1/2024", "4/1/2024", "25/1/2024"], "%m/%d/%Y", "%d/%m/%Y"),
        (["3/1/2024", "4/1/2024", "1/25/2024"], "%d/%m/%Y", "%m/%d/%Y"),
        (["3/1/2024 09:10", "4/1/2024 10:10", "25/1/2024 13:10"], "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M"),
    ],
)
def test_day_and_month_in_the_other_order_are_told(
    written: list[str], kind: str, fitting: str, write: Write
) -> None:
    said = refusal(write(HEADER + "".join(f"1,2,{time}\n" for time in written)), datetime=kind)
    assert f'all rows fit `datetime: "{fitting}"`' in said
    assert "leave such rows out" not in said


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("2024-03-05 10:07:09,250", "%Y-%m-%d %H:%M:%S,%f"),
        ("2024-03-05T10:07:09,250", "%Y-%m-%dT%H:%M:%S,%f"),
        ("3/5/2024, 10:07:09 AM", "%m/%d/%Y, %I:%M:%S %p"),
        ("05.03.2024, 10:07:09", "%d.%m.%Y, %H:%M:%S"),
        ("Tue, 05 Mar 2024 10:07:09 GMT", "%a, %d %b %Y %H:%M:%S %Z"),
        ("Tue, 05 Mar 2024 12:07:09 +0200", "%a, %d %b %Y %H:%M:%S %z"),
        ("Tue Mar 05 2024 12:07:09 GMT+0200", "%a %b %d %Y %H:%M:%S GMT%z"),
        ("Tue Mar 05 2024 10:07:09 GMT+0000 (UTC)", "%a %b %d %Y %H:%M:%S GMT%z (UTC)"),
        (
            "Tue Mar 05 2024 10:07:09 GMT+0000 (Coordinated Universal Time)",
            "%a %b %d %Y %H:%M:%S GMT%z (Coordinated Universal Time)",
        ),
        ("05-MAR-24 10.07.09.000000 AM", "%d-%b-%y %I.%M.%S.%f %p"),
    ],
)
def test_times_as_programs_write_them_are_read_by_the_format_that_is_named(
    written: str, kind: str, write: Write
) -> None:
    quoted = f'"{written}"'
    path = write(f"user_id,item_id,datetime\n1,2,{quoted}\n2,3,{quoted}\n")
    assert f'`datetime: "{kind}"' in refusal(path)
    read = to_times(pa.chunked_array([[written]]), kind)
    assert read[0].astype("datetime64[s]") == np.datetime64("2024-03-05T10:07:09")


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        ("# from the warehouse\n{}", "line 2 has the names of the columns: remove what stands above it"),
        ("sep=,\n{}", "line 2 has the names of the columns"),
        ("Report of May\nby: ann, bob\n{}", "line 3 has the names of the columns"),
        (
            " user_id | item_id | datetime\n---+---+---\n 1 | 2 | 2024-01-01\n",
            "as for people: export the table as CSV",
        ),
        (
            "  user_id  item_id   datetime\n       1        2 2024-01-01\n",
            "as for people: export the table as CSV",
        ),
        ("user_id item_id datetime\n1 2 2024-01-01\n", "`data.format: {{delimiter: ' '}}`"),
        ("user_id^item_id^datetime\n1^2^2024-01-01\n", "`data.format: {{delimiter: '^'}}`"),
    ],
)
def test_a_header_that_is_elsewhere_or_drawn_is_told(content: str, cure: str, write: Write) -> None:
    table = "user_id,item_id,datetime\n1,2,2024-01-01\n"
    said = refusal(write(content.format(table)))
    assert "must have the columns user_id, item_id, datetime" in said
    assert cure.format() in said


def test_times_with_and_without_a_zone_are_not_mixed(write: Write) -> None:
    said = refusal(write(HEADER + "1,2,2024-01-01 10:00:00+01:00\n1,3,2024-01-01 10:00:00\n"))
    assert "must name a time zone in all rows or in none" in said


@pytest.mark.parametrize(
    ("written", "kind", "said"),
    [
        (["1709288430", "1709288431"], "unix_ms", "the numbers look like `datetime: unix_s`"),
        (["1709288430.5", "1709288431.5"], "unix_ms", "the numbers look like `datetime: unix_s`"),
        (["1709288430000", "1709288431000"], "unix_s", "the numbers look like `datetime: unix_ms`"),
        (["1709288430000", "1709288431000"], "unix_ns", "the numbers look like `datetime: unix_ms`"),
        (["1709288430", "1709288431000"], "unix_s", "in 1 of 2 rows; the first is row 2"),
        (["1709288430", "1709288431000"], "unix_s", "these rows look like unix_ms: the column mixes units"),
    ],
)
def test_numbers_of_another_unit_are_refused(written: list[str], kind: str, said: str, write: Write) -> None:
    assert said in refusal(write(HEADER + "".join(f"1,2,{one}\n" for one in written)), datetime=kind)


@pytest.mark.parametrize(
    ("written", "kind", "said"),
    [
        (
            "1970-01-01",
            "iso",
            "'datetime' is before 1973-03-03 or in the future in 1 of 2 rows",
        ),
        ("2203-01-01", "iso", "in 1 of 2 rows; the first is row 2"),
        ("0", "unix_s", "in 1 of 2 rows; the first is row 2"),
    ],
)
def test_times_in_which_nobody_interacts_are_told(written: str, kind: str, said: str, write: Write) -> None:
    usual = "2024-01-01" if kind == "iso" else "1709288430"
    data = Data(interactions=write(HEADER + f"1,2,{usual}\n1,3,{written}\n"), datetime=kind)
    (warning,) = load_source(data).warnings
    assert said in warning
    assert "drop such rows" in warning


def test_ids_that_say_that_there_is_none_are_told(write: Write) -> None:
    rows = "null,a,1709288430\n\\N,a,1709288431\nnull,b,1709288432\nx,NA,1709288433\n"
    warnings = load_source(Data(interactions=write(HEADER + rows), datetime="unix_s")).warnings
    assert [one.partition(",")[0] for one in warnings] == [
        "'user_id' is null in 2 of 4 rows",
        "'user_id' is \\N in 1 of 4 rows",
        "'item_id' is NA in 1 of 4 rows",
    ]


@pytest.mark.parametrize(
    ("item", "time", "said"),
    [
        (
            "1.23457E+12",
            "1709288430",
            "'item_id' is rounded in 2 of 3 rows, such as 1.23457E+12, as spreadsheets",
        ),
        ("8", "1.709288e+09", "'datetime' is rounded in 2 of 3 rows, such as 1.709288e+09: the order of"),
        ("8", "1.709288430e+09", None),
        ("1e5", "1709288430", None),
        ("+9E+5x", "1709288430", None),
    ],
)
def test_numbers_that_were_rounded_are_told(item: str, time: str, said: str | None, write: Write) -> None:
    rows = f"1,{item},{time}\n2,9,1709288430\n2,{item},{time}\n"
    warnings = load_source(Data(interactions=write(HEADER + rows), datetime="unix_s")).warnings
    assert len(warnings) == (said is not None)
    assert all((said or "") in one for one in warnings)


# ####  --------------  Weights  --------------  #### #


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_weights_that_count_nothing_are_told(bad: float, tmp_path: Path) -> None:
    table = table_of([1, 2, 3]).append_column("w", [[1.0, bad, bad]])
    said = refusal(save(table, tmp_path), columns={"weight": "w"})
    assert "weights must be above 0, but 'w' is not in 2 of 3 rows; the first is row 2" in said
    assert "leave `data.columns.weight` out" in said


# ####  --------------  Fingerprints  --------------  #### #


def test_fingerprints_of_earlier_versions_still_hold(tmp_path: Path) -> None:
    """Values of version 0.1 before this reader: a study of that time must go on."""
    made = [
        (u, (u * 7 + k * 3) % 11, f"2024-01-{1 + k:02d} 10:00:0{u % 10}", k % 3 + 1.5)
        for u in range(8)
        for k in range(6)
    ]
    numbers = pd.DataFrame(made, columns=["user_id", "item_id", "datetime", "w"])
    texts = numbers.assign(
        user_id="u" + numbers["user_id"].astype(str), item_id="i" + numbers["item_id"].astype(str)
    )
    digits = texts.assign(user_id=numbers["user_id"].astype(str))
    numbers.to_csv(tmp_path / "numbers.csv", index=False)
    texts.to_csv(tmp_path / "texts.csv", index=False)
    for name, frame in (("numbers", numbers), ("texts", texts), ("digits", digits)):
        times = pd.to_datetime(frame["datetime"])
        frame.assign(datetime=times).to_parquet(tmp_path / f"{name}.parquet")
    features = pd.DataFrame(
        {"id": [0, 1, 2, 3], "feature": ["g", "g", "p", "p"], "value": ["a", "b", "1", "2"]}
    )
    features.to_csv(tmp_path / "features.csv", index=False)
    features.assign(value=[1, 2, 3, 4]).to_csv(tmp_path / "prices.csv", index=False)
    expected: list[tuple[str, dict[str, Any], str]] = [
        ("numbers.csv", {}, "6823f192133c0a12"),
        ("numbers.parquet", {}, "6823f192133c0a12"),
        ("texts.csv", {}, "b259badf452889c6"),
        ("texts.parquet", {}, "b259badf452889c6"),
        ("digits.parquet", {}, "4130855109edc5d5"),
        ("numbers.csv", {"columns": {"weight": "w"}}, "e26e0cc3d6ef9867"),
        ("numbers.csv", {"item_features": str(tmp_path / "features.csv")}, "c0d8d085c7663b09"),
        (
            "numbers.csv",
            {"item_features": str(tmp_path / "prices.csv"), "numeric_features": ("p",)},
            "8c5e6c85bf5db549",
        ),
    ]
    for name, settings, fingerprint in expected:
        source = load_source(Data(interactions=str(tmp_path / name), **settings))
        assert fingerprint in {source.fingerprint, source.former_fingerprint}, name


# ####  --------------  Item features  --------------  #### #


@pytest.mark.parametrize("item", ["1", "01", "a"])
def test_features_know_items_by_their_spelling(item: str, write: Write) -> None:
    """The ids of one file may all be numbers, and those of the other not."""
    features = write(f"id,feature,value\n{item},genre,x\nother,genre,y\n", "f.csv")
    source = load_source(Data(interactions=write(rows([5, 6], [item, item])), item_features=features))
    assert source.item_features is not None
    matched = source.item_features.table["id"].isin(source.interactions["item_id"])
    assert matched.tolist() == [True, False]


def test_a_feature_without_a_name_is_refused(write: Write) -> None:
    features = write("id,feature,value\n1,genre,x\n1,,y\n", "f.csv")
    assert "names must not be missing, but are in 1 of 2 rows; the first is row 2" in refusal(
        write(rows([5], [1])), item_features=features
    )


def test_numbers_of_rows_are_those_of_the_data(write: Write) -> None:
    assert np.array_equal(ids(write(PLAIN))[0], [1, 2, 2])


# ####  --------------  Quotes  --------------  #### #


TITLED = "user_id\titem_id\tdatetime\ttitle\n"


def test_a_stray_quote_never_swallows_rows(write: Write) -> None:
    titles = ['"A' if n in {5, 9} else "t" for n in range(20)]
    lines = [f"u{n}\ti{n}\t2024-03-01\t{title}\n" for n, title in enumerate(titles)]
    said = refusal(write(TITLED + "".join(lines), "i.tsv"))
    assert "must have one row a line, but a quote takes lines 7 to 11 for one field" in said
    assert "write the quote twice inside quotes, or remove it" in said


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_in_quoted_fields_are_told(ends: str, write: Write) -> None:
    text = 'title,user_id,item_id,datetime\n"a\nb, c",1,2,2024-03-01\nx,1,3,2024-03-02\n'
    source = load_source(Data(interactions=write(text.replace("\n", ends))))
    assert source.interactions["item_id"].tolist() == [2, 3]
    assert "1 of the line ends are inside quoted fields, the first in line 2" in source.warnings[0]


def test_blank_lines_and_quotes_of_one_line_are_not_told(write: Write) -> None:
    source = load_source(
        Data(interactions=write(HEADER + '1,"a ""b""",2024-03-01\n\n1,"C:\\",2024-03-01\n\n'))
    )
    assert source.interactions["item_id"].tolist() == ['a "b"', "C:\\"]
    assert not source.warnings


def test_quotes_behind_a_backslash_are_refused(write: Write) -> None:
    said = refusal(write(HEADER + '2,b,2024-03-02\n1,"say \\"hi\\"",2024-03-01\n'))
    assert r"must write quotes inside quoted fields twice, but line 3 has \"" in said


@pytest.mark.parametrize("column", ["user", "item"])
def test_an_open_quote_in_a_large_file_is_told(column: str, write: Write) -> None:
    lines = rows(list(range(100_000)), ["b"] * 100_000)
    lines = lines.replace("\n50,b", '\n"50,b' if column == "user" else '\n50,"b')
    assert "must close each quote, but one is open to the end of the file, from line 52" in refusal(
        write(lines)
    )


def test_a_long_field_is_read(write: Write) -> None:
    text = f"user_id,item_id,datetime,title\n1,2,2024-03-01,{'x' * 3_000_000}\n1,3,2024-03-01,y\n"
    assert ids(write(text)) == ([1, 1], [2, 3])


def test_a_header_without_a_line_end_has_no_rows(write: Write) -> None:
    assert "must have rows, but has none" in refusal(write(HEADER.strip()))


# ####  --------------  Marks and delimiters  --------------  #### #


@pytest.mark.parametrize("encoding", ["utf8", "UTF-8", "utf_8_sig"])
def test_a_mark_before_the_header_is_read_over(encoding: str, write: Write) -> None:
    path = write(HEADER.encode("utf-8-sig") + b"1,2,2024-01-01\n")
    assert ids(path, format={"encoding": encoding}) == ([1], [2])


def test_a_mark_in_the_middle_is_refused(write: Write) -> None:
    path = write("1,2,2024-01-01\n".encode("utf-8-sig") * 2)
    columns = {"user": "0", "item": "1", "datetime": "2"}
    said = refusal(path, format={"header": False}, columns=columns)
    assert "must have a byte-order mark only at its beginning, but line 2 begins with one" in said


def test_the_cure_for_tabs_works_in_a_study(write: Write) -> None:
    path = write("user_id\titem_id\tdatetime\n1\t2\t2024-01-01\n")
    found = re.search(r"`data.format: (.*)`", refusal(path))
    assert found
    assert ids(path, format=yaml.safe_load(found[1])) == ([1], [2])


# ####  --------------  Folders that say something  --------------  #### #


def test_names_of_folders_are_decoded(write: Write) -> None:
    write("item_id,datetime\nx,2024-03-01\n", "h/user_id=a%2Fb/p.csv")
    path = write("item_id,datetime\ny,2024-03-01\n", "h/user_id=c d/p.csv")
    assert ids(str(Path(path).parents[1])) == (["a/b", "c d"], ["x", "y"])


@pytest.mark.parametrize(
    "pair", [("01", "1"), ("1.0", "1"), (" 1", "1"), ("caf\u00e9", "cafe\u0301"), ("-07", "-7.00")]
)
def test_ids_that_differ_in_how_they_are_written_only_are_told(pair: tuple[str, str], write: Write) -> None:
    path = write(rows([*pair, "x"], ["a", "b", "c"]))
    (warning,) = load_source(Data(interactions=path)).warnings
    assert warning.startswith("'user_id' has 2 ids that differ in how they are written only, such as ")
    assert all(repr(one) in warning for one in pair)
    assert ids(path)[0] == [*pair, "x"], "they are read as written"


def test_ids_that_differ_are_not_told(write: Write) -> None:
    path = write(rows(["10", "100", "1", "0", "1.5", "01x", "1x"], list("abcdefg")))
    assert load_source(Data(interactions=path)).warnings == ()


@pytest.mark.parametrize("weight", ["1.234", "12.500", "1.234,5"])
def test_a_dot_where_a_comma_is_the_decimal_sign_is_no_weight(weight: str, write: Write) -> None:
    path = write(f"user_id;item_id;datetime;w\na;x;2024-01-01;1,5\nb;y;2024-01-02;{weight}\n")
    settings = {"columns": {"weight": "w"}, "format": {"delimiter": ";", "decimal": ","}}
    said = refusal(path, **settings)
    assert "weights must be finite numbers, but 'w' is not in 1 of 2 rows" in said
    assert "write numbers alone, without separators of thousands" in said


def test_the_folder_of_rows_without_an_id_is_refused(write: Write) -> None:
    write("item_id,datetime\nx,2024-03-01\n", "h/user_id=1/p.csv")
    path = write("item_id,datetime\ny,2024-03-01\n", "h/user_id=__HIVE_DEFAULT_PARTITION__/p.csv")
    assert "ids must not be missing, but 'user_id' is in 1 of 2 rows" in refusal(str(Path(path).parents[1]))


def test_the_folder_above_is_named_where_it_gives_a_column(write: Write) -> None:
    path = Path(write("item_id,datetime\nx,2024-03-01\n", "h/user_id=7/p.csv"))
    assert f"give the folder above it, {str(path.parents[1])!r}" in refusal(str(path.parent))


@pytest.mark.parametrize(
    ("beside", "what"),
    [
        ("_delta_log/0.json", "a Delta table"),
        (".hoodie/hoodie.properties", "a Hudi table"),
        ("metadata/v1.metadata.json", "an Iceberg table"),
    ],
)
def test_a_table_that_keeps_removed_rows_is_refused(beside: str, what: str, write: Write) -> None:
    path = Path(write(rows([1], ["a"]), "t/data/p.csv"))
    write("{}", f"t/{beside}")
    said = refusal(str(path.parents[1]))
    assert what in said
    assert "export its current version" in said
