"""docs/data.md: each file that it shows is read by the section under it, to the same two interactions."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.finished import ROOT
from tuner.config import Data
from tuner.data.source import load_source

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```text\n(.*?)```\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
TIMES = [pd.Timestamp("2024-03-01 10:20:30"), pd.Timestamp("2024-03-02")]


def test_the_page_shows_files() -> None:
    assert len(SHOWN) == 6


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
