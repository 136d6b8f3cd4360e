"""Trials by several objectives: which of them no other beats."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.trials.objective import Direction

__all__ = ["fronts"]


def fronts(points: Sequence[Sequence[float]], directions: Sequence[Direction]) -> list[int]:
    """Return the Pareto front of each point, from 1.

    A point dominates another that it equals or beats in all objectives and beats in one. The first front are
    the points that none dominates, the second those that none dominates once the first is taken away, and so
    on.

    Parameters
    ----------
    points
        Shape (n_points, n_objectives).
    directions
        Of the objectives.
    """
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    losses = [tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points]
    found = [0] * len(losses)
    members: list[list[tuple[float, ...]]] = []
    # In this order none dominates one that came before it, so that what is in a front stays there.
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
