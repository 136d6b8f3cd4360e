"""Newer interactions for an exported model, read as the search read its own, with the ids of the fit.

Each export contains this file, so it does not import rectools-tuner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd
    from rectools.dataset import Dataset

__all__ = ["Newer", "NewerError", "with_newer"]


class NewerError(Exception):
    """The interactions cannot be used. The message says why."""


@dataclass(frozen=True)
class Newer:
    """Newer interactions, ready to recommend from.

    Attributes
    ----------
    dataset
        RecTools' dataset of them, with the ids of the fit.
    n_left_out
        Number of interactions whose items the model does not know.
    warnings
        What may be wrong with them.
    """

    dataset: Dataset
    n_left_out: int
    warnings: tuple[str, ...]


def with_newer(fitted_on: Dataset, facts: dict[str, Any], path: str, reading: ModuleType) -> Newer:
    """Return newer interactions as a dataset.

    Parameters
    ----------
    fitted_on
        Dataset of the fit. Its items and users keep their internal ids.
    facts
        Settings of the export.
    path
        File of the newer interactions.
    reading
        The package that reads interactions.

    Raises
    ------
    NewerError
        If the interactions cannot be used.
    """
    from rectools.dataset import Dataset, Interactions  # noqa: PLC0415  # a light start, as in `recommend.py`

    items, users = fitted_on.item_id_map, fitted_on.user_id_map
    newer, warnings = _read(path, facts, reading)
    newer = newer.assign(
        user_id=reading.like_known(newer["user_id"], users.external_ids),
        item_id=reading.like_known(newer["item_id"], items.external_ids),
    )
    usable = newer["item_id"].isin(items.external_ids)
    if not newer["user_id"].isin(users.external_ids).any():
        mine, other = newer["user_id"].iloc[0], users.external_ids[0]
        warnings += (
            f"none of the users that the model was fitted on is in {path}: ids there are like {mine!r}, "
            f"those of the fit like {other!r}",
        )
    if facts["new_users"]:
        new = newer[~newer["user_id"].isin(users.external_ids)]
        enough = reading.enough_interactions(new, "user_id", facts.get("min_user_interactions", 1))
        users = users.add_ids(enough.loc[usable.loc[enough.index], "user_id"].unique())
    rows = newer[usable & newer["user_id"].isin(users.external_ids)]
    if rows.empty:
        raise NewerError("the interactions must have items and users that the model knows, but have none")
    internal = Interactions.from_raw(rows, users, items, keep_extra_cols=True)
    # Users beyond those of the fit have no features; models that know them only by their history use none.
    of_users = fitted_on.user_features if users.size == fitted_on.user_id_map.size else None
    dataset = Dataset(users, items, internal, of_users, fitted_on.item_features)
    return Newer(dataset, int((~usable).sum()), warnings)


def _read(path: str, facts: dict[str, Any], reading: ModuleType) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read newer interactions as the study's were read, with its policy for duplicates; also what is odd."""
    dialect = reading.Format(**facts.get("text", {}))
    try:
        found = reading.read_interactions(
            path,
            facts["columns"],
            datetime=facts["datetime"],
            ids=facts.get("ids", "auto"),
            dialect=dialect,
            extra=facts.get("extra_columns", ()),
        )
    except reading.TableError as error:
        raise NewerError(f"interactions {error.rule}: {path}; {_form(facts)}") from error
    if found.troubles:
        lines = [f"{one.where}: {one.rule}" + _cure(one.hint) for one in found.troubles]
        msg = f"{path} must be interactions as those of the search, but {'; '.join(lines)}; {_form(facts)}"
        raise NewerError(msg)
    kept: pd.DataFrame = reading.deduplicated(found.frame, facts.get("duplicates", "keep"))
    return kept, tuple(found.warnings)


def _cure(hint: str | None) -> str:
    """Return a hint that can be followed here, where there is no study to change, in parentheses."""
    return "" if hint is None or "data." in hint or "`datetime:" in hint else f" ({hint})"


def _form(facts: dict[str, Any]) -> str:
    """Say how interactions have to be written for this model."""
    roles = ", ".join(f"{name!r} ({role})" for role, name in facts["columns"].items() if name is not None)
    times = {"iso": "dates", "unix_s": "seconds since 1970"}.get(facts["datetime"], facts["datetime"])
    usual = {"encoding": "utf-8", "decimal": ".", "delimiter": None, "header": True}
    text = [f", {key} {value!r}" for key, value in facts.get("text", {}).items() if value != usual.get(key)]
    return f"write it as the data of the search: columns {roles}, times as {times}{''.join(text)}"
