"""Reads final judgements that earlier versions stored. `tuner final` judges their stored fits anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tuner.trials.objective import sort_key

__all__ = ["updated"]

Plain = Mapping[str, Any]

_NOTE = "an earlier version made this judgement; judged again, all rows are compared from its stored fits"


def updated(plain: Plain) -> dict[str, Any]:
    """Return an earlier judgement in the form of today.

    Earlier versions ordered the rows by the holdout and corrected p-values, not intervals. Of their
    comparisons, only the one of the winner with the best baseline is kept: its interval is the same today.
    """
    direction = plain["direction"]
    rows = sorted(plain["rows"], key=lambda row: (sort_key(row["validation"], direction), row["number"]))
    winner = next((row["number"] for row in rows if row["name"] is None), None)
    return {**plain, "rows": [_row(row, winner) for row in rows], "winner": winner, "note": _NOTE}


def _row(row: Plain, winner: int | None) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key not in {"against_next", "group"}}
    primary = row["against_baseline"] if row["number"] == winner else None
    return {
        **kept,
        "against_baseline": None if primary is None else _primary(primary),
        "against_winner": None,
        "letters": "",
    }


def _primary(compared: Plain) -> dict[str, Any]:
    """Return a comparison with the p-value of its interval."""
    interval = compared["interval"]
    error = (interval["high"] - interval["low"]) / (2 * 1.96)
    p = math.erfc(abs(compared["difference"]) / error / math.sqrt(2)) if error > 0 else 1.0
    return {**compared, "p_value": p, "n_compared": 1}
