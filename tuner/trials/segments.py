"""Segments: the users of a fold in groups, such as those with a short history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NONE",
    "SEVERAL",
    "Grouping",
    "SegmentMean",
    "by_amount",
    "by_category",
    "by_history",
    "hot_and_cold",
    "segment_means",
]

Numbers = NDArray[np.int64] | NDArray[np.float64]

#: Segments of a grouping by category at most; the smallest are one segment then.
_MOST_SEGMENTS = 6
#: Names of segments of users without a value, with several values, and with one of few users.
NONE, SEVERAL, OTHERS = "none", "several", "others"


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
    ranges
        What the users of each segment have in this fold, such as ``1 to 4``; empty if the names say all.
    """

    by: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]
    ranges: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the segments with their ranges."""
        if not self.ranges:
            return self.names
        return tuple(f"{name} ({span})" for name, span in zip(self.names, self.ranges, strict=True))


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
    return _thirds("history", lengths, ("few", "some", "many"))


def by_amount(by: str, values: NDArray[np.float64]) -> Grouping | None:
    """Group users by a number: low, middle and high, about a third each.

    Parameters
    ----------
    by
        Name of the number.
    values
        Shape (n_users,); nan for a user without one.

    Returns
    -------
    Grouping or None
        None if all users are in one segment.
    """
    has = ~np.isnan(values)
    if has.all():
        return _thirds(by, values, ("low", "middle", "high"))
    known = _thirds(by, values[has], ("low", "middle", "high")) if has.any() else None
    if known is None:
        labels = np.where(has, "some", NONE)
        return by_category(by, labels.tolist())
    codes = np.full(len(values), len(known.names))
    codes[has] = known.codes
    return Grouping(by, (*known.names, NONE), codes)


def by_category(by: str, labels: Sequence[str]) -> Grouping | None:
    """Group users by a category, the most frequent first; those of rare categories are one segment.

    Parameters
    ----------
    by
        Name of the category.
    labels
        Category of each user, length n_users.

    Returns
    -------
    Grouping or None
        None if all users are in one segment.
    """
    names, codes, counts = np.unique(
        np.asarray(labels, dtype=object), return_inverse=True, return_counts=True
    )
    if len(names) < 2:  # noqa: PLR2004  # one segment
        return None
    order = np.argsort(-counts, kind="stable")
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    shown = [str(name) for name in names[order]]
    if len(shown) > _MOST_SEGMENTS:
        shown = [*shown[: _MOST_SEGMENTS - 1], OTHERS]
    return Grouping(by, tuple(shown), np.minimum(place[codes], len(shown) - 1))


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


def _thirds(by: str, values: Numbers, words: Sequence[str]) -> Grouping | None:
    """Group users by a number into three segments of about a third each; see `by_history`."""
    low, high = np.quantile(values, [1 / 3, 2 / 3], method="inverted_cdf")
    codes = np.searchsorted([low, high], values)
    present = [code for code in range(3) if (codes == code).any()]
    if len(present) == 1:
        return None
    names = words if len(present) == len(words) else (words[0], words[-1])
    ranges = () if values.dtype.kind == "f" else tuple(_range(values[codes == code]) for code in present)
    return Grouping(by, tuple(names), np.searchsorted(present, codes), ranges)


def _range(lengths: Numbers) -> str:
    least, most = int(lengths.min()), int(lengths.max())
    return str(least) if least == most else f"{least} to {most}"


@dataclass(frozen=True)
class SegmentMean:
    """The objective on the users of one segment, over all folds.

    Attributes
    ----------
    by, name
        The segment.
    share
        Share of the users that it has: the mean over folds. The means of a grouping, weighted by it, are the
        objective.
    value
        Mean over its users, in which each fold has the same weight.
    """

    by: str
    name: str
    share: float
    value: float


def segment_means(
    values: Mapping[int, NDArray[np.float32]], groupings: Mapping[int, Sequence[Grouping]]
) -> tuple[SegmentMean, ...]:
    """Return the objective of a trial on each segment of users; a grouping that a fold lacks is left out.

    Parameters
    ----------
    values
        Values of the users of each fold, shape (n_users,).
    groupings
        Groupings of the users of each fold.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    folds_with: dict[str, int] = {}
    for fold, of_users in values.items():
        for grouping in groupings.get(fold, ()):
            if len(grouping.codes) != len(of_users):
                continue
            folds_with[grouping.by] = folds_with.get(grouping.by, 0) + 1
            for code, name in enumerate(grouping.names):
                inside = of_users[grouping.codes == code].astype(np.float64)
                part = (len(inside) / len(of_users), float(inside.sum()) / len(of_users))
                found.setdefault((grouping.by, name), []).append(part)
    made = []
    for (by, name), parts in found.items():
        share, total = (sum(part[k] for part in parts) / len(values) for k in (0, 1))
        if folds_with[by] == len(values) and share > 0:
            made.append(SegmentMean(by, name, share, total / share))
    return tuple(made)
