"""Checks the users and the number of items for which an exported model is asked in Python.

Each export contains this file, so it does not import rectools-tuner.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

__all__ = ["broken_rule", "unknown_users"]

#: Most unknown ids that a line names.
_MOST_NAMED = 10


def broken_rule(users: object, k: object) -> str | None:
    """Return the rule that the users or the number of items break, with what to give; None for none."""
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
    return f"k must be at least 1, but got {k}; give the number of items for each user" if k < 1 else None


def unknown_users(unknown: Sequence[str]) -> str:
    """Return the line about users that are not in the interactions. It names the first ones."""
    named = ", ".join(unknown[:_MOST_NAMED])
    total = f", ... ({len(unknown):,} in all)" if len(unknown) > _MOST_NAMED else ""
    return f"no recommendations for users that are not in the interactions: {named}{total}"
