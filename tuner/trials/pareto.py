"""Pareto fronts: the rank of trials by several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.trials.objective import Direction, sort_key

__all__ = ["fronts"]


def fronts(points: Sequence[Sequence[float]], directions: Sequence[Direction]) -> list[int]:
    """Return the number of each point's Pareto front, counted from 1.

    A point dominates another point if it is at least as good in all objectives and better in one. The first
    front has the points that no point dominates. The second front has the points that only points of the
    first front dominate, and so on.

    Parameters
    ----------
    points
        Values of the objectives, shape (n_points, n_objectives).
    directions
        Direction of each objective.

    Returns
    -------
    list of int
        Shape (n_points,).
    """
    losses = [tuple(map(sort_key, point, directions)) for point in points]
    found = [0] * len(losses)
    members: list[list[tuple[float, ...]]] = []
    # In this order no point dominates an earlier one, so a point never leaves the front it was put into.
    for index in sorted(range(len(losses)), key=losses.__getitem__):
        loss = losses[index]
        place = next((at for at, front in enumerate(members) if not _is_dominated(loss, front)), len(members))
        if place == len(members):
            members.append([])
        members[place].append(loss)
        found[index] = place + 1
    return found


def _is_dominated(loss: tuple[float, ...], front: Sequence[tuple[float, ...]]) -> bool:
    return any(
        other != loss and all(theirs <= mine for theirs, mine in zip(other, loss, strict=True))
        for other in reversed(front)
    )
