"""The section `folds`: how the interactions are split."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tuner.config.durations import nearest_window
from tuner.config.section import Section, with_paths

__all__ = ["Folds", "OwnSplitter"]


class OwnSplitter(Section):
    """A splitter of your own. It splits all interactions at once, the oldest fold first.

    Attributes
    ----------
    use
        Import path of a subclass of RecTools' `Splitter`.
    options
        Keyword arguments of the splitter. They may also be keys of `folds` itself.
    """

    use: str
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("use")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if "." not in path:
            msg = f"must be an import path, as my_module.MySplitter, but got {path!r}"
            raise ValueError(msg)
        return path

    @field_validator("options", mode="after")
    @classmethod
    def _check_plain(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Make options those that a study file read again gives: dates are text there."""
        try:
            plain: dict[str, Any] = json.loads(json.dumps(options, default=date.isoformat))
        except (TypeError, ValueError) as error:
            msg = f"must be numbers, text, dates, lists and mappings, but got {options!r}"
            raise ValueError(msg) from error
        return plain


class Folds(Section):
    """How the interactions are split into folds. The oldest fold is the first.

    Attributes
    ----------
    split
        What the test part of a fold is. ``time_range``: a window of length `size` (such as 14D or 12H); the
        windows are at the end of the data. ``last_n``: the last `size` interactions of each user.
        ``random``: a share `size` of all interactions.
    splitter
        A splitter of your own instead of `split` and `size`: ``my_module.MySplitter``, from Python also the
        class. Other keys of the section are its keyword arguments, `size` and `seed` too. Its last `holdout`
        folds are the holdout.
    n_folds
        Number of folds that the search uses.
    size
        Size of one fold's test part, in the unit of `split`, which needs it.
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

    splitter: OwnSplitter | None = None
    split: Literal["time_range", "last_n", "random"] | None = Field(default=None, validate_default=True)
    n_folds: int = Field(default=1, ge=1)
    holdout: int = Field(default=1, ge=0)
    size: str | int | float = Field(default="", validate_default=True)
    filter_viewed: bool = True
    filter_cold_users: bool = True
    filter_cold_items: bool = True
    seed: int = Field(default=60, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, plain: object) -> object:
        """Give a splitter named by its path the keys that this section does not have."""
        plain = with_paths(plain)
        if not isinstance(plain, Mapping) or not isinstance(plain.get("splitter"), str):
            return plain
        own = {
            "n_folds",
            "holdout",
            "split",
            *(name for name in cls.model_fields if name.startswith("filter")),
        }
        options = {str(key): value for key, value in plain.items() if key not in {*own, "splitter"}}
        kept = {key: value for key, value in plain.items() if key in own}
        return {**kept, "splitter": {"use": plain["splitter"], "options": options}}

    @field_validator("split", mode="after")
    @classmethod
    def _check_split(cls, split: str | None, info: ValidationInfo) -> str | None:
        given = info.data.get("splitter", ...)
        if split is None and given is None:
            raise ValueError("must be given, but is missing")
        if split is not None and given not in (None, ...):
            msg = f"must not be given beside a splitter, but got {split!r}"
            raise ValueError(msg)
        return split

    @field_validator("size", mode="plain")
    @classmethod
    def _check_size(cls, size: object, info: ValidationInfo) -> object:
        if info.data.get("splitter") is not None:
            if size != "":
                msg = f"must be an option of the splitter, but got {size!r}"
                raise ValueError(msg)
            return size
        split = info.data.get("split")
        if size == "":
            raise ValueError("must be given, but is missing")
        number = isinstance(size, (int, float)) and not isinstance(size, bool)
        if split is None and not number and not isinstance(size, str):
            msg = f"must be text or a number, but got {size!r}"
            raise ValueError(msg)
        if split == "time_range" and not (isinstance(size, str) and re.fullmatch(r"[1-9]\d{0,8}[DH]", size)):
            near = nearest_window(size) if isinstance(size, str) else None
            cure = f"; did you mean {near}?" if near else ""
            msg = f"must be days or hours for a time_range split, as 14D or 12H, but got {size!r}{cure}"
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
