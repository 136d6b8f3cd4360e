"""The seed of each fold, derived from the study's seed and the trial's params."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from tuner.space import Value

__all__ = ["fold_seed"]


def fold_seed(study_seed: int, params: Mapping[str, Value], fold: int) -> int:
    """Return the seed of one fold of a trial: a stable hash, which is the same on every machine.

    Returns
    -------
    int
        From 0 to 2**32 - 1, the range that NumPy's generator accepts.
    """
    text = json.dumps([study_seed, params, fold], sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
