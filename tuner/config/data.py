"""The sections `data` and `folds`: the interactions, and how they are split."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from tuner.config.section import Section

__all__ = ["Columns", "Data", "Folds"]


class Columns(Section):
    """Names of the columns in your file. The defaults are RecTools' own names.

    Attributes
    ----------
    user
        Column of user ids, of any type.
    item
        Column of item ids, of any type.
    datetime
        Column of the time of an interaction. `data.datetime` names its format.
    weight
        Column that says how much an interaction counts. Without it, each interaction weighs 1.
    """

    user: str = "user_id"
    item: str = "item_id"
    datetime: str = "datetime"
    weight: str | None = None


class Data(Section):
    """Where the interactions are, and how they are filtered before the split into folds.

    Attributes
    ----------
    interactions
        Path or fsspec URL of a .csv, .csv.gz or .parquet file.
    columns
        Names of the columns in that file.
    datetime
        Format of the time: ``iso`` (dates, or text that starts with a date), ``unix_s`` or ``unix_ms``.
    item_features
        Path or URL of a table with the columns id, feature and value (RecTools' flat format).
    numeric_features
        Features whose value is used as a number. All other features are categories.
    min_user_interactions
        Drop users with fewer interactions. This filter runs once, before the filter of items. Interactions
        of the holdout are not counted.
    min_item_interactions
        Drop items with fewer interactions. This filter runs once, after the filter of users. Interactions
        of the holdout are not counted.
    duplicates
        What to do with repeated rows. ``keep`` keeps them all. ``drop_exact`` keeps one row for each (user,
        item, datetime). ``keep_first`` and ``keep_last`` keep the oldest or the newest row for each (user,
        item). They treat the rows before the holdout and the rows of the holdout separately.
    """

    interactions: str
    columns: Columns = Columns()
    datetime: Literal["iso", "unix_s", "unix_ms"] = "iso"
    item_features: str | None = None
    numeric_features: tuple[str, ...] = Field(default=(), strict=False)
    min_user_interactions: int = Field(default=1, ge=1)
    min_item_interactions: int = Field(default=1, ge=1)
    duplicates: Literal["keep", "drop_exact", "keep_first", "keep_last"] = "keep"


class Folds(Section):
    """How the interactions are split into folds. The oldest fold is the first.

    Attributes
    ----------
    split
        What the test part of a fold is. ``time_range``: a window of length `size` (such as 14D or 12H); the
        windows are at the end of the data. ``last_n``: the last `size` interactions of each user.
        ``random``: a share `size` of all interactions.
    n_folds
        Number of folds that the search uses.
    size
        Size of one fold's test part, in the unit of `split`.
    holdout
        Number of further folds, the newest. The search never sees them.
    filter_viewed
        Recommend only items that are new to the user. Drop pairs from test that are also in train.
    filter_cold_users
        Drop users from test that have no interactions in train.
    filter_cold_items
        Drop items from test that have no interactions in train.
    seed
        Seed of the ``random`` split.
    """

    split: Literal["time_range", "last_n", "random"]
    n_folds: int = Field(default=1, ge=1)
    holdout: int = Field(default=1, ge=0)
    size: str | int | float
    filter_viewed: bool = True
    filter_cold_users: bool = True
    filter_cold_items: bool = True
    seed: int = 60

    @field_validator("size", mode="plain")
    @classmethod
    def _check_size(cls, size: object, info: ValidationInfo) -> object:
        split = info.data.get("split")
        number = isinstance(size, (int, float)) and not isinstance(size, bool)
        if split is None and not number and not isinstance(size, str):
            msg = f"must be text or a number, but got {size!r}"
            raise ValueError(msg)
        if split == "time_range" and not (isinstance(size, str) and re.fullmatch(r"[1-9]\d*[DH]", size)):
            msg = f"must be days or hours for a time_range split, as 14D or 12H, but got {size!r}"
            raise ValueError(msg)
        if split == "last_n" and not (number and isinstance(size, int) and size >= 1):
            msg = f"must be an integer of at least 1 for a last_n split, but got {size!r}"
            raise ValueError(msg)
        if split == "random":
            total = info.data.get("n_folds", 1) + info.data.get("holdout", 0)
            if not (number and 0 < float(size) * total < 1):  # type: ignore[arg-type]  # a number, as just checked
                msg = (
                    f"must be a share for a random split, with 0 < size x {total} folds < 1, but got {size!r}"
                )
                raise ValueError(msg)
        return size
