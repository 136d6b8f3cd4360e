"""Segments: the users of a fold in groups, such as those with a short history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grouping", "by_history", "hot_and_cold"]


@dataclass(frozen=True)
class Grouping:
    """The users of a fold in segments. Each user is in exactly one of them.

    Attributes
    ----------
    by
        What the users are grouped by, such as ``history``.
    names
        Names of the segments.
    codes
        Place of each user's segment in `names`, shape (n_users,), users in the fold's order.
    """

    by: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]


def by_history(lengths: NDArray[np.int64]) -> Grouping | None:
    """Group users by the length of their history: few, some and many interactions, about a third each.

    Parameters
    ----------
    lengths
        Number of train interactions of each user, shape (n_users,).

    Returns
    -------
    Grouping or None
        None if more than two thirds of the users have the longest history. Users with equally long histories
        are in one segment, so there may be two segments, and they may differ in size.
    """
    low, high = np.quantile(lengths, [1 / 3, 2 / 3], method="inverted_cdf")
    codes = np.searchsorted([low, high], lengths)
    present = [code for code in range(3) if (codes == code).any()]
    if len(present) == 1:
        return None
    words = ("few", "some", "many") if len(present) == 3 else ("few", "many")  # noqa: PLR2004  # three thirds
    names = [f"{word} ({_range(lengths[codes == code])})" for word, code in zip(words, present, strict=True)]
    return Grouping("history", tuple(names), np.searchsorted(present, codes))


def hot_and_cold(lengths: NDArray[np.int64], featured: NDArray[np.bool_] | None = None) -> Grouping | None:
    """Group users as RecTools does: hot with interactions, warm with features alone, cold with neither.

    Parameters
    ----------
    lengths
        Number of train interactions of each user, shape (n_users,).
    featured
        Whether each user has features, shape (n_users,); None if no user has.

    Returns
    -------
    Grouping or None
        None if all users are hot.
    """
    if (lengths > 0).all():
        return None
    codes = np.where(lengths > 0, 0, 2)
    if featured is not None:
        codes[(lengths == 0) & featured] = 1
    present = np.unique(codes)
    names = [("hot", "warm", "cold")[code] for code in present]
    return Grouping("interactions", tuple(names), np.searchsorted(present, codes))


def _range(lengths: NDArray[np.int64]) -> str:
    least, most = int(lengths.min()), int(lengths.max())
    return str(least) if least == most else f"{least} to {most}"
