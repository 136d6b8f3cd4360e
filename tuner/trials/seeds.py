"""Seeds that are derived from others by a stable hash, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from tuner.space import Value

__all__ = ["fold_seed", "rank_seed"]


def fold_seed(study_seed: int, params: Mapping[str, Value], fold: int) -> int:
    """Return the seed of one fold of a trial.

    Returns
    -------
    int
        From 0 to 2**32 - 1, the range that NumPy's generator accepts.
    """
    return _hashed([study_seed, params, fold])


def rank_seed(seed: int, rank: int) -> int:
    """Return the seed of one of the processes that train a trial together, in the same range.

    Parameters
    ----------
    seed
        Seed of the fold, with which the first process draws.
    rank
        Number of the process, from 1.
    """
    return _hashed([seed, "rank", rank])


def _hashed(values: list[object]) -> int:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
