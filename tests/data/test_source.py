"""From a file to checked interactions: every way to write one, and every way to write one wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from rectools import Columns

from tuner.config import Data
from tuner.data.source import Source, load_source, make_dataset
from tuner.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:rectools")

TIMES = ["2024-03-01 10:00:00", "2024-03-01 10:00:00", "2024-02-29 23:59:59", "2024-07-01 00:00:00"]
SHOP = pd.DataFrame(
    {
        "user_id": [3, 3, 1, 2],
        "item_id": [20, 10, 10, 30],
        "datetime": pd.to_datetime(TIMES),
        "weight": [1.0, 1.0, 1.0, 1.0],
    }
)
HEADER = "user_id,item_id,datetime\n"
GOOD = HEADER + "1,2,2024-01-01\n1,3,2024-01-02\n2,3,2024-01-02\n"

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file; return its path."""

    def written(content: str | bytes, name: str = "shop.csv") -> str:
        raw = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(raw)
        return str(tmp_path / name)

    return written


def load(path: str, **settings: Any) -> Source:
    return load_source(Data(interactions=path, **settings))


def refusal(path: str, **settings: Any) -> DataError:
    """Return the error that the data is refused with."""
    with pytest.raises(DataError) as raised:
        load(path, **settings)
    error = raised.value
    assert error.exit_code == 2
    for problem in error.problems:
        assert problem.rule in str(error)
    return error


def said(error: DataError) -> dict[str, str]:
    assert len({problem.where for problem in error.problems}) == len(error.problems)
    return {problem.where: problem.rule for problem in error.problems}


# ####  --------------  Formats  --------------  #### #


def save(frame: pd.DataFrame, path: str) -> str:
    if path.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("place", ["{folder}/", "file://{folder}/", "memory://shop/"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "A.CSV", "A.Csv.Gz", "A.PARQUET"])
def test_every_format_from_every_place_is_the_same(name: str, place: str, tmp_path: Path) -> None:
    local = save(SHOP, str(tmp_path / f"local-{name.lower()}"))
    url = place.format(folder=tmp_path) + name
    with fsspec.open(url, "wb") as file:
        file.write(Path(local).read_bytes())
    source = load(url, columns={"weight": "weight"})
    assert_frame_equal(source.interactions[list(SHOP)], SHOP)
    assert source.fingerprint == load(local, columns={"weight": "weight"}).fingerprint
    assert (source.item_features, source.duplicates, source.dropped) == (None, 0, 0)


def test_columns_are_mapped_and_others_left_out(write: Write) -> None:
    text = "sku,who,when,stars,comment\n20,3,2024-03-01 10:00:00,4.5,fine\n10,1,2024-02-29,1,\n"
    columns = {"user": "who", "item": "sku", "datetime": "when", "weight": "stars"}
    frame = load(write(text), columns=columns).interactions
    assert set(frame.columns) == {Columns.User, Columns.Item, Columns.Weight, Columns.Datetime}
    assert frame[Columns.User].tolist() == [3, 1]
    assert frame[Columns.Item].tolist() == [20, 10]
    assert frame[Columns.Weight].tolist() == [4.5, 1.0]
    assert frame[Columns.Datetime].tolist() == [pd.Timestamp("2024-03-01 10:00"), pd.Timestamp("2024-02-29")]


def test_without_a_weight_column_every_interaction_weighs_one(write: Write) -> None:
    text = "user_id,item_id,datetime,weight\n1,2,2024-01-01,7\n"
    assert load(write(text)).interactions[Columns.Weight].tolist() == [1.0]
    assert load(write(text), columns={"weight": "weight"}).interactions[Columns.Weight].tolist() == [7.0]


def test_iso_unix_seconds_and_milliseconds_are_the_same(tmp_path: Path) -> None:
    seconds = SHOP["datetime"].astype("datetime64[s]").astype("int64")
    columns = {
        "iso": SHOP["datetime"].dt.strftime("%Y-%m-%dT%H:%M:%S"),
        "unix_s": seconds,
        "unix_ms": seconds * 1000,
    }
    for ending in ("csv", "parquet"):
        loaded = [
            load(save(SHOP.assign(datetime=values), str(tmp_path / f"{kind}.{ending}")), datetime=kind)
            for kind, values in columns.items()
        ]
        for source in loaded:
            assert_frame_equal(source.interactions[list(SHOP)], SHOP)
        assert len({source.fingerprint for source in loaded}) == 1


def test_dates_may_be_written_in_several_lengths(write: Write) -> None:
    text = HEADER + "1,2,2024-01-01\n1,2,2024-01-01T12:30\n1,2,2024-01-01 12:30:15.250\n"
    assert load(write(text)).interactions[Columns.Datetime].tolist() == [
        pd.Timestamp("2024-01-01"),
        pd.Timestamp("2024-01-01 12:30"),
        pd.Timestamp("2024-01-01 12:30:15.250"),
    ]


def test_unix_seconds_may_have_a_fraction(write: Write) -> None:
    frame = load(write(HEADER + "1,2,1700000000.5\n"), datetime="unix_s").interactions
    assert frame[Columns.Datetime].tolist() == [pd.Timestamp("2023-11-14 22:13:20.500")]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
def test_datetimes_of_parquet_are_taken_to_utc(unit: str, zone: str | None, tmp_path: Path) -> None:
    times = SHOP["datetime"].astype(f"datetime64[{unit}]")
    aware = times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
    source = load(save(SHOP.assign(datetime=aware), str(tmp_path / "shop.parquet")))
    assert_frame_equal(source.interactions[list(SHOP)], SHOP)


def test_dates_of_parquet_are_midnights(tmp_path: Path) -> None:
    frame = SHOP.assign(datetime=SHOP["datetime"].dt.date)
    source = load(save(frame, str(tmp_path / "shop.parquet")))
    assert source.interactions[Columns.Datetime].tolist() == SHOP["datetime"].dt.normalize().tolist()


def test_one_time_zone_is_taken_to_utc(write: Write) -> None:
    text = HEADER + "1,2,2024-01-01T00:00:00+05:30\n1,3,2024-07-01T02:00:00+05:30\n"
    assert load(write(text)).interactions[Columns.Datetime].tolist() == [
        pd.Timestamp("2023-12-31 18:30"),
        pd.Timestamp("2024-06-30 20:30"),
    ]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_summer_and_winter_time_are_taken_to_utc(write: Write) -> None:
    text = HEADER + "1,2,2024-01-01T00:00:00+01:00\n1,3,2024-07-01T00:00:00+02:00\n"
    assert load(write(text)).interactions[Columns.Datetime].tolist() == [
        pd.Timestamp("2023-12-31 23:00"),
        pd.Timestamp("2024-06-30 22:00"),
    ]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_time_without_a_zone_is_not_given_that_of_another_row(write: Write) -> None:
    text = HEADER + "1,2,2024-01-01T00:00:00+01:00\n1,3,2024-07-01T00:00:00\n"
    try:
        times = load(write(text)).interactions[Columns.Datetime].tolist()
    except DataError:
        return  # to refuse the mixture is as good
    assert times[1] == pd.Timestamp("2024-07-01")


def test_text_ids_are_kept(write: Write) -> None:
    frame = load(write(HEADER + "ann,x1,2024-01-01\nbob,007,2024-01-01\n")).interactions
    assert frame[Columns.User].tolist() == ["ann", "bob"]
    assert frame[Columns.Item].tolist() == ["x1", "007"]


def test_rows_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 3, 200),
            "item_id": rng.permutation(200),
            "datetime": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 3, 200), unit="D"),
        }
    )
    for policy in ("keep", "drop_exact", "keep_first", "keep_last"):
        source = load(save(frame, str(tmp_path / "shop.parquet")), duplicates=policy)
        assert source.interactions[Columns.Item].tolist() == frame["item_id"].tolist()
        dataset = make_dataset(source.interactions, None, Data(interactions="x.csv"))
        raw = dataset.get_raw_interactions()
        assert raw[Columns.Item].tolist() == frame["item_id"].tolist()


def test_a_source_says_what_there_is(write: Write) -> None:
    source = load(write(GOOD + "2,3,2024-01-02\n"), duplicates="drop_exact")
    assert source.describe("drop_exact") == (
        "3 interactions of 2 users with 2 items, 2024-01-01 to 2024-01-02; "
        "1 repeat a user, item and datetime, 1 dropped (duplicates: drop_exact)"
    )
    kept = load(write(GOOD + "2,3,2024-01-02\n"))
    assert kept.describe("keep").endswith("1 repeat a user, item and datetime, kept (duplicates: keep)")
    assert load(write(GOOD)).describe("keep").endswith("2024-01-01 to 2024-01-02")


# ####  --------------  Problems  --------------  #### #


def test_a_missing_column_is_named_with_the_nearest(write: Write) -> None:
    error = refusal(write("userid,item_id,datetime\n1,2,2024-01-01\n"))
    (problem,) = error.problems
    assert problem.where == "data.columns.user"
    assert problem.rule == "must be a column of the file, but 'user_id' is not"
    assert problem.hint == "did you mean 'userid'?"


def test_where_no_column_is_near_all_are_named(write: Write) -> None:
    (problem,) = refusal(write(GOOD), columns={"weight": "qqq"}).problems
    assert problem.hint == "valid: datetime, item_id, user_id"


def test_all_problems_are_reported_at_once(write: Write) -> None:
    text = "userid,item_id,datetime,w\n1,,2024-01-01,1\n1,2,soon,inf\n1,,later,2\n"
    error = refusal(write(text), columns={"weight": "w"}, item_features=write("id\n1\n", "features.csv"))
    assert said(error) == {
        "data.columns.user": "must be a column of the file, but 'user_id' is not",
        "data.columns.item": "ids must not be missing, but 'item_id' is in 2 of 3 rows; the first is row 1: "
        "{'item_id': '', 'datetime': '2024-01-01', 'w': '1'}",
        "data.columns.datetime": "must be readable as iso, but 'datetime' is not in 2 of 3 rows; "
        "the first is row 2: {'item_id': '2', 'datetime': 'soon', 'w': 'inf'}",
        "data.columns.weight": "weights must be finite numbers, but 'w' is not in 1 of 3 rows; "
        "the first is row 2: {'item_id': '2', 'datetime': 'soon', 'w': 'inf'}",
        "data.item_features": "must have the columns id, feature, value, but feature, value is missing",
    }
    assert str(error).splitlines()[0].endswith("shop.csv: 5 problems")


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("iso", "soon"),
        ("iso", "2024-13-01"),
        ("iso", "9999-01-01"),
        ("iso", ""),
        ("unix_s", "x"),
        ("unix_s", ""),
        ("unix_s", "1700000000000000"),
        ("unix_ms", "2024-01-01"),
        pytest.param("unix_s", "inf"),
    ],
)
def test_unreadable_dates_are_counted_and_shown(kind: str, bad: str, write: Write) -> None:
    good = "2024-01-01" if kind == "iso" else "1700000000"
    text = HEADER + f"1,2,{good}\n1,3,{bad}\n1,4,{good}\n2,5,{bad}\n"
    rule = said(refusal(write(text), datetime=kind))["data.columns.datetime"]
    assert rule.startswith(f"must be readable as {kind}, but 'datetime' is not in 2 of 4 rows; ")
    assert "the first is row 2: {'user_id': '1'" in rule


def test_the_example_is_as_the_file_has_it(write: Write) -> None:
    text = HEADER + "9007199254740993,2,1700000000\n9007199254740993,3,\n"
    rule = said(refusal(write(text), datetime="unix_s"))["data.columns.datetime"]
    assert "{'user_id': '9007199254740993', 'item_id': '3'," in rule


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        ("1700000000", "the numbers look like `datetime: unix_s`"),
        ("1700000000.5", "the numbers look like `datetime: unix_s`"),
        ("1700000000000000", "the numbers look like `datetime: unix_us`"),
        (
            "20240101",
            'numbers are read with `datetime: unix_s` (_ms, _us, _ns), or a format such as "%Y%m%d"',
        ),
    ],
)
def test_numbers_are_not_dates_unless_said(number: str, hint: str, write: Write) -> None:
    (problem,) = refusal(write(HEADER + f"1,2,{number}\n")).problems
    assert problem.where == "data.columns.datetime"
    assert problem.rule.startswith("must hold dates, but 'datetime' holds numbers such as ")
    assert problem.hint == hint


@pytest.mark.parametrize("kind", ["unix_s", "unix_ms"])
def test_datetimes_are_no_unix_numbers(kind: str, tmp_path: Path) -> None:
    error = refusal(save(SHOP, str(tmp_path / "shop.parquet")), datetime=kind)
    assert "in 4 of 4 rows" in said(error)["data.columns.datetime"]


@pytest.mark.parametrize("bad", ["", "inf", "-inf", "many"])
def test_weights_must_be_finite(bad: str, write: Write) -> None:
    text = f"user_id,item_id,datetime,w\n1,2,2024-01-01,1\n1,3,2024-01-01,{bad}\n"
    rule = said(refusal(write(text), columns={"weight": "w"}))["data.columns.weight"]
    assert "'w' is not in 1 of 2 rows; the first is row 2: {'user_id': '1', 'item_id': '3'" in rule


@pytest.mark.parametrize(("row", "role"), [(",2,2024-01-01", "user"), ("1,,2024-01-01", "item")])
def test_ids_must_not_be_missing(row: str, role: str, write: Write) -> None:
    rule = said(refusal(write(GOOD + row + "\n")))[f"data.columns.{role}"]
    assert rule.startswith(
        f"ids must not be missing, but '{role}_id' is in 1 of 4 rows; the first is row 4: "
    )


@pytest.mark.parametrize("name", ["no.csv", "no.csv.gz", "no.parquet"])
@pytest.mark.parametrize("place", ["{folder}/", "file://{folder}/", "memory://nothing/"])
def test_a_file_that_is_not_there(name: str, place: str, tmp_path: Path) -> None:
    path = place.format(folder=tmp_path) + name
    error = refusal(path)
    (problem,) = error.problems
    assert problem.where == "data.interactions"
    assert "must be a file that exists" in problem.rule or "No such file" in problem.rule
    assert error.source == path


def test_an_unknown_ending_is_refused(write: Write) -> None:
    assert said(refusal(write(GOOD, "shop.xlsx"))) == {
        "data.interactions": "must be text (.csv, .tsv, .txt, .dat, .inter), .jsonl, .parquet or .feather, "
        f"but got {write(GOOD, 'shop.xlsx')!r}"
    }


@pytest.mark.parametrize(
    ("content", "name", "rule"),
    [
        ("", "shop.csv", "must be readable as a table, but the file is empty"),
        (HEADER, "shop.csv", "must have rows, but has none"),
        (b"PAR", "shop.parquet", "must be readable as a table, but "),
        (b"PK\x03\x04 and more", "shop.csv", "must be text (.csv, .tsv, .txt, .dat, .inter), .jsonl, "),
        (
            GOOD.replace("1,3", "é,3").encode("latin-1"),
            "shop.csv",
            "must be readable as a table, but is not text in utf-8",
        ),
        (
            GOOD + "1,2,3,4\n",
            "shop.csv",
            "each row must have as many fields as the header, 3, but line 5 has 4: 1,2,3,4",
        ),
        (
            GOOD + "\n1,2\n",
            "shop.csv",
            "each row must have as many fields as the header, 3, but line 6 has 2: 1,2",
        ),
        (
            GOOD + '3,"4,1600000000\n' + GOOD,
            "shop.csv",
            "each row must have as many fields as the header, 3, but line 5 has 2: 3,4,1600000000",
        ),
        pytest.param(
            gzip.compress(GOOD.encode(), mtime=0)[:-12],
            "shop.csv.gz",
            "must be readable as a table, but ",
            id="truncated",
        ),
    ],
)
def test_a_file_that_is_no_table(content: str | bytes, name: str, rule: str, write: Write) -> None:
    assert said(refusal(write(content, name)))["data.interactions"].startswith(rule)


def test_a_folder_or_an_unknown_protocol_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").mkdir()
    rule = "must hold data files, but the folder holds none"
    assert said(refusal(str(tmp_path / "shop.csv")))["data.interactions"] == rule
    assert said(refusal("nowhere://shop.csv"))["data.interactions"].startswith("must be readable as a table")


# ####  --------------  Item features  --------------  #### #

FEATURES = "id,feature,value\n2,genre,a\n3,genre,b\n3,price,5\n9,genre,c\n"


def dataset_with(write: Write, features: str, **settings: Any) -> Any:
    data = Data(interactions=write(GOOD), item_features=write(features, "features.csv"), **settings)
    source = load_source(data)
    return make_dataset(source.interactions, source.item_features, data)


def test_features_are_categories_unless_said_to_be_numbers(write: Write) -> None:
    categories = dataset_with(write, FEATURES).item_features
    assert set(categories.names) == {("genre", "a"), ("genre", "b"), ("price", "5")}


def test_numeric_features_keep_their_value(write: Write) -> None:
    text = "id,feature,value\n2,price,1.5\n3,price,5\n3,genre,7\n"
    dataset = dataset_with(write, text, numeric_features=("price",))
    columns = [name for name, _ in dataset.item_features.names]
    row = dataset.item_features.get_sparse().toarray()[dataset.item_id_map.convert_to_internal([3])[0]]
    assert dict(zip(columns, row, strict=True)) == {"price": 5.0, "genre": 1.0}


def test_features_of_items_without_interactions_are_left_out(write: Write) -> None:
    dataset = dataset_with(write, FEATURES)
    assert ("genre", "c") not in dataset.item_features.names
    assert 9 not in dataset.item_id_map.external_ids


def test_features_without_their_columns_are_refused(write: Write) -> None:
    error = refusal(write(GOOD), item_features=write("id,feat,value\n2,genre,a\n", "features.csv"))
    (problem,) = error.problems
    assert problem.where == "data.item_features"
    assert problem.rule == "must have the columns id, feature, value, but feature is missing"
    assert problem.hint == "it has: id, feat, value"


@pytest.mark.parametrize(
    ("features", "rule"),
    [
        ("id,feature,value\n2,genre,a\n,genre,b\n", "ids must not be missing, but 'id' is in 1 of 2 rows"),
        ("id,feature,value\n", "must have rows, but has none"),
        ("", "must be readable as a table"),
    ],
)
def test_features_that_cannot_be_read_are_refused(features: str, rule: str, write: Write) -> None:
    error = refusal(write(GOOD), item_features=write(features, "features.csv"))
    assert said(error)["data.item_features"].startswith(rule)


def test_text_is_no_numeric_feature(write: Write) -> None:
    with pytest.raises(DataError):
        dataset_with(write, FEATURES, numeric_features=("genre",))


def test_a_numeric_feature_that_is_not_there_is_refused(write: Write) -> None:
    with pytest.raises(DataError):
        dataset_with(write, FEATURES, numeric_features=("pirce",))


# ####  --------------  Duplicates  --------------  #### #

# user, item, day; the letter is the row's name
REPEATS = [
    ("a", 1, 10, "2024-01-03"),
    ("b", 1, 10, "2024-01-01"),
    ("c", 1, 11, "2024-01-01"),
    ("d", 1, 10, "2024-01-03"),  # as a
    ("e", 2, 10, "2024-01-02"),
    ("f", 1, 10, "2024-01-01"),  # as b
    ("g", 2, 10, "2024-01-02"),  # as e
    ("h", 1, 10, "2024-01-03"),  # as a
]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("keep", "abcdefgh"), ("drop_exact", "abce"), ("keep_first", "bce"), ("keep_last", "cgh")],
)
def test_duplicates_policies(policy: str, kept: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(REPEATS, columns=["row", "user_id", "item_id", "datetime"])
    frame["row"] = frame["row"].map(ord)
    path = save(frame, str(tmp_path / "shop.csv"))
    source = load(path, duplicates=policy, columns={"weight": "row"})
    assert "".join(chr(int(code)) for code in source.interactions[Columns.Weight]) == kept
    assert source.interactions.index.tolist() == list(range(len(kept)))
    assert source.duplicates == 4
    assert source.dropped == len(REPEATS) - len(kept)


# ####  --------------  Fingerprint  --------------  #### #


def test_fingerprint_is_of_the_content_alone(write: Write, tmp_path: Path) -> None:
    fingerprint = load(write(GOOD)).fingerprint
    frame = pd.read_csv(write(GOOD))
    renamed = frame.rename(columns={"user_id": "who"}).assign(comment="x")
    same = [
        load(save(frame, str(tmp_path / "shop.parquet"))),
        load(save(frame.astype({"user_id": "int32"}), str(tmp_path / "small.parquet"))),
        load(save(renamed, str(tmp_path / "renamed.csv")), columns={"user": "who"}),
        load(write(GOOD.replace("2024-01-01", "2024-01-01T00:00:00"))),
        load(write(GOOD), duplicates="drop_exact", min_user_interactions=2),
    ]
    assert {source.fingerprint for source in same} == {fingerprint}


def test_fingerprint_changes_with_the_content(write: Write) -> None:
    first, second, third = GOOD.removeprefix(HEADER).splitlines(keepends=True)
    features = write(FEATURES, "features.csv")
    sources = [
        load(write(GOOD)),
        load(write(HEADER + second + first + third)),
        load(write(HEADER + first + second)),
        load(write(GOOD + third)),
        load(write(GOOD.replace("1,2,", "1,4,"))),
        load(write(GOOD.replace("1,2,", "4,2,"))),
        load(write(GOOD.replace("2024-01-01", "2024-01-01T00:00:01"))),
        load(
            write("user_id,item_id,datetime,w\n1,2,2024-01-01,1\n1,3,2024-01-02,2\n2,3,2024-01-02,1\n"),
            columns={"weight": "w"},
        ),
        load(write(GOOD), item_features=features),
        load(write(GOOD), item_features=write(FEATURES.replace(",a", ",A"), "other.csv")),
    ]
    assert len({source.fingerprint for source in sources}) == len(sources)


# ####  --------------  Minimal counts  --------------  #### #


def test_users_are_counted_first_then_items_once_each() -> None:
    pairs = ["a1", "a2", "a3", "b1", "b2", "c3", "c4", "d1", "d3"]
    frame = pd.DataFrame(
        {
            Columns.User: [pair[0] for pair in pairs],
            Columns.Item: [int(pair[1]) for pair in pairs],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp("2024-01-01"),
        }
    )

    def left(**minimums: int) -> list[str]:
        dataset = make_dataset(frame, None, Data(interactions="x.csv", **minimums))
        raw = dataset.get_raw_interactions()
        return [f"{user}{item}" for user, item in zip(raw[Columns.User], raw[Columns.Item], strict=True)]

    assert left() == pairs
    assert left(min_user_interactions=3) == ["a1", "a2", "a3"]
    assert left(min_item_interactions=3) == ["a1", "a3", "b1", "c3", "d1", "d3"]
    # Item 4 goes; c, with one interaction left, stays: users were counted before.
    assert left(min_user_interactions=2, min_item_interactions=2) == [p for p in pairs if p != "c4"]
    # a alone has three; each of its items then has one.
    with pytest.raises(
        DataError, match="must leave interactions to train on, but none of 9 are left"
    ) as raised:
        left(min_user_interactions=3, min_item_interactions=2)
    assert "min_user_interactions=3" in str(raised.value)
    assert "min_item_interactions=2" in str(raised.value)
