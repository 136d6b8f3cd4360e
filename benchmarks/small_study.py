"""A small study on made-up data, to measure the tuner itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

__all__ = ["SMALL_STUDY", "write_interactions", "write_study"]

#: A study whose trials take a second or two: two folds of 80 users, and very small models.
SMALL_STUDY: dict[str, Any] = {
    "study": "small",
    "data": {"interactions": "clicks.csv"},
    "folds": {"split": "last_n", "size": 1, "n_folds": 2, "holdout": 1, "filter_viewed": False},
    "metrics": {
        "objective": {"NDCG@10": {"divide_by_achievable": True}},
        "direction": "maximize",
        "report": ["HitRate@10", "Serendipity@10", "CoveredUsers@10", "Intersection@10"],
        "reference": "popular",
    },
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
    "baselines": ["popular", "sasrec"],
    "search": {"trials": 4, "seed": 60},
    "training": {"epochs": 2},
    "stopping": False,
}


def write_interactions(path: Path) -> None:
    """Write walks of 80 users over a ring of 40 items with noise, so that models can learn an order."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(80):
        item = int(rng.integers(40))
        for step in range(int(rng.integers(6, 14))):
            item = (item + 1) % 40 if rng.random() < 0.8 else int(rng.integers(40))
            rows.append((f"u{user}", item, pd.Timestamp("2024-01-01") + pd.Timedelta(hours=step * 7 + user)))
    pd.DataFrame(rows, columns=["user_id", "item_id", "datetime"]).to_csv(path, index=False)


def write_study(folder: Path, study: dict[str, Any]) -> Path:
    """Write the data and a study into a folder; return the path of the study."""
    write_interactions(folder / "clicks.csv")
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path
