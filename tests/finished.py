"""A small study that was run for real, once: what people look at is tested on it, each test on a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.integration.conftest import PATIENCE

ROOT = Path(__file__).resolve().parents[1]

#: What makes README's study a matter of seconds.
SMALL: dict[str, Any] = {
    "space": {
        "use": "search_spaces.guide",
        "set": {
            "n_factors": [8, 16],
            "n_heads": [1, 2],
            "n_blocks": {"int": [1, 2]},
            "session_max_len": 8,
            "batch_size": 32,
        },
    },
    "search": {"trials": 4, "time_budget": "1h", "seed": 60},
    "baselines": ["popular", "ease", "sasrec"],
    "training": {"epochs": 2, "patience": 3},
    "resources": {"cpus_per_trial": 1},
}


def readme_study() -> dict[str, Any]:
    """Return the study that README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [
        found for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "study: shop" in found
    ]
    plain: dict[str, Any] = yaml.safe_load(block)
    return plain


def write_shop(folder: Path, interactions: pd.DataFrame, item_features: pd.DataFrame) -> None:
    """Write README's study, made small, with its data under the names that README uses."""
    clicks = pd.DataFrame(
        {
            "userId": interactions["user_id"],
            "sku": interactions["item_id"],
            "ts": interactions["datetime"].astype("int64") // 10**9,
        }
    )
    clicks.to_parquet(folder / "clicks.parquet", index=False)
    item_features.to_csv(folder / "items.csv", index=False)
    study = yaml.safe_dump({**readme_study(), **SMALL}, sort_keys=False)
    (folder / "shop.yaml").write_text(study, encoding="utf-8")


@pytest.fixture(scope="session")
def finished_shop(
    tmp_path_factory: pytest.TempPathFactory, interactions: pd.DataFrame, item_features: pd.DataFrame
) -> Path:
    """Return a folder with ``shop.yaml``, its data, ``studies/shop`` what the run printed; change nothing."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, interactions, item_features)
    with started(folder, "watch", "studies/shop") as watch:
        with started(folder, "run", "shop.yaml", "--json-lines", "events.jsonl") as run:
            out, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
        watched = watch.communicate(timeout=PATIENCE)[1]
    for name, text in {"stdout": out, "stderr": err, "watched": watched}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `tuner` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def shop_folder(finished_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of it, as the working folder."""
    folder = tmp_path / "shop"
    shutil.copytree(finished_shop, folder)
    monkeypatch.chdir(folder)
    return folder
