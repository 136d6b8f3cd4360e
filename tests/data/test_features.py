"""Features of items and users, scaling, further columns, items to recommend: read, checked, handed on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from rectools.dataset import Dataset

from tuner.config import Data, Folds
from tuner.data.folds import development_dataset, holdout_fold, make_folds, search_folds
from tuner.data.items import with_items
from tuner.data.source import Source, load_source, make_dataset
from tuner.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore")

OPEN = {"filter_viewed": False, "filter_cold_users": False, "filter_cold_items": False}
SECTION = Folds(split="last_n", size=1, n_folds=1, holdout=1, **OPEN)
CLICKS = """\
user_id,item_id,datetime,price,page
1,10,2024-01-01,2.5,home
1,11,2024-01-02,3,cart
2,10,2024-01-03,,home
2,12,2024-01-04,4,
2,11,2024-01-05,1,home
"""
USERS = "id,feature,value\n1,sex,m\n2,sex,f\n1,age,20\n2,age,40\n3,age,60\n"
ITEMS = """\
id,feature,value
10,genre,drama
11,genre,war
12,genre,drama
10,stock,yes
11,stock,yes
12,stock,no
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: str, name: str) -> str:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return str(tmp_path / name)

    return written


@pytest.fixture
def load(write: Write) -> Callable[..., Source]:
    """Read the clicks with settings; a text with a newline is written to a file first."""

    def loaded(**settings: Any) -> Source:
        named = {
            key: write(value, f"{key}.{'txt' if key.startswith('items') else 'csv'}")
            if isinstance(value, str) and "\n" in value
            else value
            for key, value in settings.items()
        }
        return load_source(Data(**{"interactions": write(CLICKS, "clicks.csv"), **named}))

    return loaded


def refusal(load: Callable[..., Source], **settings: Any) -> tuple[str, str, str | None]:
    with pytest.raises(DataError) as raised:
        load(**settings)
    (problem,) = raised.value.problems
    return problem.where, problem.rule, problem.hint


# ####  --------------  Features of users, and scaling  --------------  #### #


def matrix(dataset: Dataset, entity: str, external: list[Any]) -> dict[tuple[Any, Any], list[float]]:
    features = getattr(dataset, f"{entity}_features")
    ids = getattr(dataset, f"{entity}_id_map").convert_to_internal(external)
    values = features.get_sparse().toarray()[ids].T.tolist()
    return dict(zip(features.names, values, strict=True))


def test_user_features_are_those_of_rectools(load: Callable[..., Source]) -> None:
    source = load(user_features=USERS, numeric_user_features=("age",))
    data = Data(interactions="x.csv")
    dataset = make_dataset(source.interactions, None, data, source.user_features)
    found = matrix(dataset, "user", [1, 2])
    assert found == {("age", "__is_direct_feature"): [20, 40], ("sex", "m"): [1, 0], ("sex", "f"): [0, 1]}
    assert dataset.user_id_map.size == 2, "a user without interactions is unknown"
    assert source.notes == ("numeric features of users: age as written, 20 to 60",)


def test_repeated_categories_are_told(load: Callable[..., Source]) -> None:
    source = load(item_features=f"{ITEMS}{ITEMS.splitlines()[1]}\n")
    first = ITEMS.splitlines()[1].split(",")
    [warning] = [one for one in source.warnings if "item_features" in one]
    assert f"repeats 1 of {len(ITEMS.splitlines())} rows, such as [{first[0]}, '{first[1]}'" in warning
    assert not load(item_features=ITEMS).warnings


@pytest.mark.parametrize(
    ("how", "values", "said"),
    [
        (
            "standard",
            [-(1.5**0.5), 0.0],
            "age (20 to 60) by standard: (value - 40) / 16.3299",
        ),
        ("min_max", [0.0, 0.5], "age (20 to 60) by min_max: (value - 20) / 40"),
    ],
)
def test_scaling_is_said_and_uses_all_values(
    how: str, values: list[float], said: str, load: Callable[..., Source]
) -> None:
    source = load(user_features=USERS, numeric_user_features=("age",), scaling=how)
    dataset = make_dataset(source.interactions, None, Data(interactions="x.csv"), source.user_features)
    found = matrix(dataset, "user", [1, 2])
    assert found[("age", "__is_direct_feature")] == pytest.approx(values, abs=1e-7)
    assert source.notes == (f"numeric features of users: {said}",)
    assert source.facts()["notes"] == list(source.notes)
    plain = load(user_features=USERS, numeric_user_features=("age",))
    assert plain.fingerprint == source.fingerprint, "the file is the same; the facts have the scaling"


def test_a_feature_without_spread_becomes_zero(load: Callable[..., Source]) -> None:
    text = "id,feature,value\n1,age,7\n2,age,7\n"
    for how in ("standard", "min_max"):
        source = load(user_features=text, numeric_user_features=("age",), scaling=how)
        assert source.user_features is not None
        assert source.user_features.table["value"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"user_features": "id,feature,value\n9,sex,m\n"},
            (
                "data.user_features",
                "must describe users of the interactions, but no id matches: ids here are like 9, those of "
                "the interactions like 1",
                "write them as `user` of the interactions has them, leading zeros too",
            ),
        ),
        (
            {"user_features": USERS, "numeric_user_features": ("agee",)},
            (
                "data.numeric_user_features",
                "must be features of the file, but 'agee' is not",
                "did you mean 'age'?",
            ),
        ),
        (
            {"user_features": "id,feature,value\n1,age,inf\n", "numeric_user_features": ("age",)},
            (
                "data.numeric_user_features",
                "must have numbers as values, but 'age' has none in 1 of 1 rows; the first is row 1: "
                "{'id': '1', 'feature': 'age', 'value': 'inf'}",
                "mend the values in data.user_features, or leave the name out",
            ),
        ),
        (
            {
                "user_features": "id,feature,value\n1,age,3\n1,age,4\n",
                "numeric_user_features": ("age",),
            },
            (
                "data.numeric_user_features",
                "must have one number for each id, but 'age' has another one in 1 of 2 rows; the first is "
                "row 2: {'id': '1', 'feature': 'age', 'value': '4'}",
                "keep one row",
            ),
        ),
        (
            {"extra_columns": ("prize",)},
            (
                "data.extra_columns",
                "must be columns of the file, but 'prize' is not",
                "did you mean 'price'?",
            ),
        ),
        (
            {"item_features": ITEMS, "items_to_recommend": {"gender": "war"}},
            (
                "data.items_to_recommend",
                "must name features of items, but 'gender' is none",
                "did you mean 'genre'?",
            ),
        ),
        (
            {"item_features": ITEMS, "items_to_recommend": {"genre": ["dramma"]}},
            (
                "data.items_to_recommend",
                "must be values of 'genre', but no item has 'dramma'",
                "did you mean 'drama'?",
            ),
        ),
        (
            {"item_features": ITEMS, "items_to_recommend": {"genre": [True]}},
            (
                "data.items_to_recommend",
                "must be values of 'genre', but no item has 'true'",
                "YAML reads yes, no, on and off as true or false: write such words in quotes",
            ),
        ),
        (
            {"item_features": ITEMS, "items_to_recommend": {"genre": "war", "stock": "no"}},
            (
                "data.items_to_recommend",
                "must leave items to recommend, but none has genre: war and stock: no",
                None,
            ),
        ),
        (
            {"items_to_recommend": "x\ny\n"},
            (
                "data.items_to_recommend",
                "must have items of the interactions, but no id matches: ids here are like 'x', those of the "
                "interactions like 10",
                "write them as `item` of the interactions has them, leading zeros too",
            ),
        ),
        (
            {"items_to_recommend": "nowhere.csv"},
            ("data.items_to_recommend", "must be a file that exists, but it does not", None),
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_key_value_and_cure(
    settings: dict[str, Any], expected: tuple[str, str, str | None], load: Callable[..., Source]
) -> None:
    where, rule, hint = refusal(load, **settings)
    if rule == "must be a file that exists, but it does not":
        hint = None  # it names the working folder
    assert (where, rule, hint) == expected


def test_numeric_features_have_the_decimal_sign_of_the_interactions(write: Write) -> None:
    clicks = CLICKS.replace(",", ";").replace("2.5", "2,5")
    items = "id;feature;value\n10;price;2,5\n11;price;3\n10;sizes;1,5\n"
    data = Data(
        interactions=write(clicks, "clicks.csv"),
        item_features=write(items, "items.csv"),
        numeric_features=("price",),
        format={"delimiter": ";", "decimal": ","},
    )
    features = load_source(data).item_features
    assert features is not None
    assert [str(value) for value in features.table["value"]] == ["2.5", "3", "1,5"], "a category is a word"


@pytest.mark.parametrize(
    "value",
    [
        pa.array([dt.datetime(2024, 1, 1)]),
        pa.array([dt.datetime(2024, 1, 1)]).dictionary_encode(),
        pa.array([dt.date(2024, 1, 1)]),
        pa.array([dt.timedelta(1)]),
        pa.array([dt.time(1)]),
        pa.array([b"a"]),
    ],
    ids=str,
)
def test_numeric_features_that_are_times_are_refused(
    value: pa.Array, load: Callable[..., Source], tmp_path: Path
) -> None:
    feather.write_feather(pa.table({"id": [10], "feature": ["a"], "value": value}), tmp_path / "f.feather")
    where, rule, hint = refusal(
        load, item_features=str(tmp_path / "f.feather"), numeric_features=("a",), scaling="standard"
    )
    assert where == "data.numeric_features"
    assert "must have numbers as values, but 'value' holds" in rule or "but 'a' has none in 1 of 1" in rule
    assert hint == "mend the values in data.item_features, or leave the name out"


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("value", [["x"]], "values must be text or numbers, but 'value' holds a list in each row"),
        ("value", [{"x": 1}], "values must be text or numbers, but 'value' holds a struct in each row"),
        ("feature", [["x"]], "names must be text or numbers, but 'feature' holds a list in each row"),
    ],
)
@pytest.mark.parametrize("in_memory", [False, True])
def test_nested_features_are_refused_as_what_they_are(
    column: str, values: list[Any], said: str, in_memory: bool, load: Callable[..., Source], tmp_path: Path
) -> None:
    table = pa.table({"id": [10], "feature": ["a"], "value": ["x"]} | {column: values})
    parquet.write_table(table, tmp_path / "f.parquet")
    place: Any = table if in_memory else str(tmp_path / "f.parquet")
    where, rule, hint = refusal(load, item_features=place)
    assert (where, rule) == ("data.item_features", said)
    assert hint == "write one value a row, as pandas.explode does for lists"


def test_text_and_tables_with_one_type_are_kept_apart(load: Callable[..., Source]) -> None:
    """Values that are all numbers stay numbers; scaled ones beside text are text, as files can hold them."""
    source = load(user_features=USERS, numeric_user_features=("age",), scaling="min_max")
    assert source.user_features is not None
    assert source.user_features.table["value"].tolist() == ["m", "f", "0.0", "0.5", "1.0"]


# ####  --------------  Further columns  --------------  #### #


def test_further_columns_reach_the_dataset_with_their_types(load: Callable[..., Source]) -> None:
    source = load(extra_columns=("price", "page"))
    data = Data(interactions="x.csv", extra_columns=("price", "page"))
    frame = make_dataset(source.interactions, None, data).get_raw_interactions()
    assert frame["price"].fillna(-1).tolist() == [2.5, 3, -1, 4, 1]
    assert frame["page"].tolist() == ["home", "cart", "home", None, "home"]
    assert source.fingerprint != load().fingerprint
    fold = make_folds(development_dataset(source, data, SECTION), SECTION)[0]
    assert {"price", "page"} <= set(fold.test) & set(fold.seen)
    judged = holdout_fold(source, data, SECTION)
    assert {"price", "page"} <= set(judged.test) & set(judged.seen)


def test_columns_of_several_values_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"user_id": [1], "item_id": [2], "datetime": pd.Timestamp("2024-01-01"), "tags": [["a"]]}
    )
    frame.to_parquet(tmp_path / "i.parquet")
    with pytest.raises(DataError, match="must hold numbers, text or times, but 'tags' holds list"):
        load_source(Data(interactions=str(tmp_path / "i.parquet"), extra_columns=("tags",)))


# ####  --------------  Items to recommend  --------------  #### #


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"genre": "drama"}, [10, 12]),
        ({"genre": ["drama", "war"], "stock": "yes"}, [10, 11]),
        ("10\n12\n99\n", [10, 12, 99]),
        ("item_id,name\n10,a\n11,b\n10,a\n", [10, 11]),
    ],
)
def test_items_are_those_of_a_file_or_with_features(
    wanted: Any, expected: list[int], load: Callable[..., Source]
) -> None:
    source = load(item_features=ITEMS, items_to_recommend=wanted)
    assert source.items is not None
    assert list(map(int, source.items)) == expected
    known = len({10, 11, 12} & set(expected))
    assert source.notes[-1].startswith(f"items to recommend: {known} of 3; ")
    assert ("not in the interactions: 1, such as 99" in source.notes[-1]) == (99 in expected)
    assert source.fingerprint != load(item_features=ITEMS).fingerprint


def test_a_fold_that_knows_none_of_the_items_is_refused(load: Callable[..., Source]) -> None:
    data = Data(interactions="x.csv")
    source = load(items_to_recommend="12\n")
    folds = search_folds(source, data, SECTION)
    rule = "must have items that fold 1 was trained on, but has none of them"
    with pytest.raises(DataError, match=rule):
        with_items([fold for fold in folds if 12 not in fold.catalog], np.array([12]))
    (fold,) = with_items(folds, np.array([10, 99]))
    assert fold.items is not None
    assert fold.items.tolist() == [10]


def test_categories_that_are_one_number_stay_apart(load: Callable[..., Source]) -> None:
    versions = "id,feature,value\n10,version,1.1\n11,version,1.10\n12,version,1.2\n"
    source = load(item_features=versions)
    assert source.item_features is not None
    assert source.item_features.table["value"].tolist() == ["1.1", "1.10", "1.2"]
    long = "id,feature,value\n10,code,90071992547409921\n11,code,90071992547409922\n12,price,1.5\n"
    source = load(item_features=long, numeric_features=["price"])
    assert source.item_features is not None
    assert source.item_features.table["value"].tolist() == ["90071992547409921", "90071992547409922", "1.5"]


def test_features_whose_ids_mostly_do_not_match_are_told(load: Callable[..., Source]) -> None:
    few = "id,feature,value\n10,genre,drama\n0011,genre,war\n0012,genre,war\n"
    (line,) = load(item_features=few).warnings
    assert line == (
        "data.item_features describes 1 of 3 items of the interactions, and 2 ids that have none, such as "
        "'0011': are ids written alike, with leading zeros?"
    )
    assert not load(item_features=few.replace("0011", "11")).warnings, "most have features"


def test_categories_with_leading_zeros_stay_apart(load: Callable[..., Source]) -> None:
    source = load(user_features="id,feature,value\n1,zip,01\n2,zip,1\n")
    assert source.user_features is not None
    assert source.user_features.table["value"].tolist() == ["01", "1"]


@pytest.mark.parametrize("form", ["semicolon", "own", "latin"])
def test_features_may_be_written_as_the_interactions_or_as_usual(
    form: str, load: Callable[..., Source], tmp_path: Path
) -> None:
    text = ITEMS.replace("drama", "drôle")
    path = tmp_path / "f.csv"
    settings: dict[str, Any] = {}
    if form == "semicolon":
        path.write_text(text.replace(",", ";"), encoding="utf-8")
    else:
        path.write_bytes(text.replace(",", "," if form == "latin" else "~").encode("latin-1"))
        (tmp_path / "i.txt").write_bytes(CLICKS.replace(",", "~").encode("latin-1"))
        own = {"delimiter": "~", "encoding": "latin-1"}
        settings = {"interactions": str(tmp_path / "i.txt"), "format": own}
    if form == "latin":
        settings["format"] = {"encoding": "latin-1"}
        (tmp_path / "i.txt").write_bytes(CLICKS.encode("latin-1"))
    found = load(item_features=str(path), **settings).item_features
    assert found is not None
    assert "drôle" in found.table["value"].tolist()
