"""docs/data.md: each file that it shows is read by the section under it, to the same two interactions."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

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
            "recommend",
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
