"""docs/data.md: each file that it shows is read by the section under it, to the same two interactions."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
import yaml

from tests.finished import ROOT
from tuner.config import Data, Folds
from tuner.data.folds import search_folds
from tuner.data.source import Source, load_source, make_dataset

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
#: Files that the page names before it shows them; and each file with the section under it.
NAMED = re.findall(r"`(\w+\.(?:csv|txt))`:\n\n```text\n(.*?)```", PAGE, re.DOTALL)
SHOWN = [
    pair
    for pair in re.findall(r"```text\n((?:(?!```).)*)```\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    if pair[0] not in dict(NAMED).values()
]
TIMES = [pd.Timestamp("2024-03-01 10:20:30"), pd.Timestamp("2024-03-02")]


def test_the_page_shows_files() -> None:
    assert len(SHOWN) == 7
    assert [name for name, _ in NAMED] == ["items.csv", "users.csv", "sale.txt"]


@pytest.mark.parametrize(("text", "section"), SHOWN)
def test_a_shown_file_is_read_by_what_stands_under_it(
    text: str, section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = Data.model_validate(yaml.safe_load(section)["data"])
    assert isinstance(data.interactions, str)
    Path(data.interactions).write_text(text, encoding=data.format.encoding)
    source = load_source(data)
    frame = source.interactions
    assert frame["user_id"].tolist() == [1, 2]
    assert frame["item_id"].tolist() == ["a", "b"]
    assert frame["datetime"].tolist() == TIMES
    if data.columns.weight is not None:
        assert frame["weight"].iloc[1] == 1
        assert frame["weight"].iloc[0] > 1
    assert source.warnings == ()


# ####  --------------  Features, items to recommend, splitters  --------------  #### #

CLICKS = "user_id,item_id,datetime\n1,a,2024-03-01 10:20:30\n2,b,2024-03-02 00:00:00\n"


def sections_under(heading: str) -> list[dict[str, Any]]:
    """Return the parts of studies under a heading."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", part, re.DOTALL)]


@pytest.fixture
def shown_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files that the page names, and clicks."""
    monkeypatch.chdir(tmp_path)
    for name, text in [*NAMED, ("clicks.csv", CLICKS)]:
        Path(name).write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("shown_files")
def test_shown_features_are_scaled_as_the_page_says() -> None:
    (section,) = sections_under("Features of items and users")
    data = Data.model_validate(section["data"])
    source = load_source(data)
    (line,) = source.notes
    assert f"```text\n{line}\n```" in PAGE
    dataset = make_dataset(source.interactions, source.item_features, data, source.user_features)
    assert [feature for feature, _ in dataset.item_features.names] == ["price", "genre", "genre"]
    assert dataset.item_features.get_sparse().toarray().tolist() == [[0, 1, 0], [1, 0, 1]]
    assert dataset.user_features.names == (("country", "AT"), ("country", "PL"))


@pytest.mark.usefixtures("shown_files")
def test_shown_items_to_recommend() -> None:
    by_file, by_feature = sections_under("Which items may be recommended")
    for section, items in ((by_file, ["a", "c"]), (by_feature, ["a"])):
        source = load_source(Data.model_validate(section["data"]))
        assert source.items is not None
        assert source.items.tolist() == items
        assert source.notes == (
            "items to recommend: 1 of 2; 50.0% of the interactions are with other items, which no model may "
            f"recommend{'; not in the interactions: 1, such as c' if section is by_file else ''}",
        )


@pytest.mark.usefixtures("shown_files")
def test_a_shown_splitter_makes_its_folds(
    interactions: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    (code,) = re.findall(r"```python\n(# splitters.py\n.*?)```", PAGE, re.DOTALL)
    Path("splitters.py").write_text(code, encoding="utf-8")
    (section,) = sections_under("Folds by a splitter of your own")
    folds = Folds.model_validate(section["folds"])
    source = Source(interactions, None, "", 0, 0)
    found = search_folds(source, Data(interactions="clicks.csv"), folds)
    days = [set(fold.test["datetime"].dt.strftime("%Y-%m-%d")) for fold in found]
    assert days == [{"2024-04-15"}, {"2024-04-22"}]
    assert found[1].seen["datetime"].max() < pd.Timestamp("2024-04-22")
    del sys.modules["splitters"]


# ####  --------------  Repeated rows, several files, the first table  --------------  #### #


def part_under(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.usefixtures("shown_files")
def test_each_shown_policy_leaves_the_rows_that_the_page_names() -> None:
    part = part_under("Repeated rows")
    (text,) = re.findall(r"```text\n(.*?)```", part, re.DOTALL)
    Path("clicks.csv").write_text(text, encoding="utf-8")
    rows = text.splitlines()[1:]
    policies = re.findall(r"^\| `(\w+)`.*\| ([\d, ]+) \|$", part, re.MULTILINE)
    assert [policy for policy, _ in policies] == ["keep", "drop_exact", "keep_first", "keep_last"]
    for policy, left in policies:
        frame = load_source(
            Data.model_validate({"interactions": "clicks.csv", "duplicates": policy})
        ).interactions
        columns = [
            frame["user_id"].astype(str),
            frame["item_id"],
            frame["datetime"].map("{:%Y-%m-%d %H:%M:%S}".format),
        ]
        found = [",".join(row) for row in zip(*columns, strict=True)]
        assert found == [rows[int(number) - 1] for number in left.split(", ")]


def test_shown_places_of_several_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, pattern, files = sections_under("Several files")
    clicks = pd.read_csv(io.StringIO(CLICKS))
    parts = [clicks[:1], clicks[1:]]
    for name, section in (("folder", folder), ("glob", pattern), ("list", files)):
        place = tmp_path / name
        (place / "events").mkdir(parents=True)
        monkeypatch.chdir(place)
        interactions = section["data"]["interactions"]
        if section is folder:
            for day, part in zip(("2024-03-01", "2024-03-02"), parts, strict=True):
                (place / "events" / f"day={day}").mkdir()
                part.to_csv(place / "events" / f"day={day}" / "part-0.csv", index=False)
            (place / "events" / "_SUCCESS").touch()
        elif section is pattern:
            for day, part in zip(("2024-03-01", "2024-03-02"), parts, strict=True):
                part.to_csv(place / "events" / f"{day}.csv.gz", index=False)
        else:
            march, april = interactions
            parts[0].to_parquet(place / march, index=False)
            interactions = [march, april.replace("s3://", "memory://")]  # the same way in, without a network
            fsspec.filesystem("memory").pipe(
                f"/{april.removeprefix('s3://')}", parts[1].to_parquet(index=False)
            )
        frame = load_source(Data.model_validate({"interactions": interactions})).interactions
        assert frame["user_id"].tolist() == [1, 2], name
        assert frame["datetime"].tolist() == TIMES, name


def test_what_the_first_table_says_is_what_a_study_can_say() -> None:
    table = PAGE.split("| in my file ...")[1].split("\n\n")[0]
    said = [yaml.safe_load(span) for span in re.findall(r"`(\w+: .+?)`[;,]? ?[^|]*\|", table)]
    assert len(said) == 7
    for one in said:
        columns = (
            {"user": 0, "item": 1, "datetime": 2} if one.get("format", {}).get("header") is False else {}
        )
        Data.model_validate({"interactions": "clicks.csv", "columns": columns, **one})
    anchors = re.findall(r"\]\(#([\w-]+)\)", table)
    headings = [
        line.removeprefix("## ").lower().replace(" ", "-") for line in PAGE.splitlines() if line[:3] == "## "
    ]
    assert set(anchors) <= set(headings)
