"""Checks what an exported model is asked for, and says what of it cannot be answered as asked.

Each export contains this file, so it does not import rectools-tuner.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rectools.dataset import Dataset

__all__ = ["broken_options", "broken_rule", "to_tell"]

#: Number of items for each user, unless it is given.
DEFAULT_K = 10
#: Most ids of users that a line names.
_MOST_NAMED = 10


def broken_options(options: Namespace) -> str | None:
    """Return the rule that options of the command line break; None for none."""
    if options.check and (options.interactions is not None or options.k != DEFAULT_K):
        return "--check makes the sample of the export again: leave -k and --interactions out"
    return f"-k must be at least 1, but got {options.k}" if options.k < 1 else None


def broken_rule(users: object, k: object, at: object) -> str | None:
    """Return the rule that users, the number of items or the time break, with what to give; None for none."""
    cure = "give a list of ids, such as ['U1', 'U2']"
    if isinstance(users, (str, bytes)):
        return f"users must be a list of ids, but got the single text {users!r}; give [{users!r}]"
    if hasattr(users, "columns"):
        return "users must be a list of ids, but got a table; give one column of it, such as df['user_id']"
    try:
        iter(users)  # type: ignore[call-overload]  # whether it can be iterated is the question
    except TypeError:
        return f"users must be a list of ids, but got {users!r}; {cure}"
    if isinstance(k, bool) or not isinstance(k, Integral):
        return f"k must be a whole number of items, such as 10, but got {k!r}"
    if k < 1:
        return f"k must be at least 1, but got {k}; give the number of items for each user"
    return None if at is None or _is_time(at) else f"at must be a time, such as 2024-12-31, but got {at!r}"


def _is_time(at: object) -> bool:
    import pandas as pd  # noqa: PLC0415  # as in `recommend.py`: a light start

    try:
        return not pd.isna(pd.Timestamp(at))  # type: ignore[arg-type]  # whether it is one is the question
    except (ValueError, TypeError):
        return False


def to_tell(
    dataset: Dataset, known: Sequence[Any], unknown: Sequence[str], *, at: str | None, uses_time: bool
) -> Iterator[str]:
    """Yield a line about each part of a question that is not answered as it was asked.

    Parameters
    ----------
    dataset
        What the model recommends from.
    known, unknown
        The users that were asked for, in the data and not in them.
    at, uses_time
        Time of the recommendation if it was given, and whether the model uses one.
    """
    if unknown:
        yield f"no recommendations for users that are not in the interactions: {_named(unknown)}"
    if known:
        internal, rows = dataset.user_id_map.convert_to_internal(known), dataset.interactions.df["user_id"]
        have_rows = set(rows[rows.isin(internal)].unique().tolist())
        without = [user for user, row in zip(known, internal, strict=True) if row not in have_rows]
        if without:
            what = "they get what the model recommends without a history, or nothing"
            yield f"no rows in these interactions for {_named(without)}: {what}"
    if at is not None and not uses_time:
        yield "the time of the recommendation changes nothing: this model does not use it"


def _named(users: Sequence[Any]) -> str:
    named = ", ".join(map(str, users[:_MOST_NAMED]))
    return named + (f", ... ({len(users):,} in all)" if len(users) > _MOST_NAMED else "")
