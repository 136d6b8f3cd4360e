"""Finds values of a space that no trial can have, such as a misspelt loss among the options of a choice."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tuner.errors import Problem
from tuner.space import Space, Value
from tuner.space.describe import sample

__all__ = ["Dead", "dead_values"]

Check = Callable[[Mapping[str, Value]], list[Problem]]

#: Random points that are looked at first, and how many must have a value before it is suspected.
_DRAWS, _FEW = 200, 10
#: Points with a suspected value that must all be infeasible for the same param, and most points to find them.
_ENOUGH, _MOST = 200, 4000


@dataclass(frozen=True)
class Dead:
    """Values that no trial can have.

    Attributes
    ----------
    problems
        Why their points are infeasible: one problem for each param.
    is_all
        Whether every point of the space is infeasible.
    """

    problems: tuple[Problem, ...]
    is_all: bool


def dead_values(space: Space, infeasible: Check, *, seed: int) -> Dead:
    """Return the values of the space of which all points are infeasible.

    A value that works with some others is not dead.

    Parameters
    ----------
    space
        The space.
    infeasible
        Returns the problems of a point.
    seed
        Seed of the random points.
    """
    generator = random.Random(seed)
    points = [sample(space, generator) for _ in range(_DRAWS)]
    seen = _by_value(points, infeasible)
    suspected = {
        value for value, found in seen.items() if len(found) >= _FEW and all(found) and _of_all(found)
    }
    is_all = all(map(infeasible, points))
    if suspected or is_all:
        more = [sample(space, generator) for _ in range(_MOST)]
        seen = _by_value([*points, *more], infeasible, only=suspected)
        is_all = is_all and all(map(infeasible, more))
    dead: dict[str, Problem] = {}
    for value in sorted(suspected):
        for where in _of_all(seen[value]):
            dead.setdefault(where, next(one for one in seen[value][0] if one.where == where))
    if is_all and not dead:  # each point for another reason
        dead = {problem.where: problem for point in points for problem in infeasible(point)}
    return Dead(tuple(dead[where] for where in sorted(dead)), is_all)


def _by_value(
    points: list[dict[str, Value]], infeasible: Check, *, only: set[tuple[str, str]] | None = None
) -> dict[tuple[str, str], list[list[Problem]]]:
    """Return the problems of the points that have a value, for each param and value as text."""
    seen: dict[tuple[str, str], list[list[Problem]]] = defaultdict(list)
    for point in points:
        values = {(key, repr(value)) for key, value in point.items()}
        values = {one for one in (values if only is None else values & only) if len(seen[one]) < _ENOUGH}
        if values:
            problems = infeasible(point)
            for one in values:
                seen[one].append(problems)
    return seen


def _of_all(found: list[list[Problem]]) -> set[str]:
    """Return the params that all points have a problem with."""
    return set.intersection(*({problem.where for problem in problems} for problems in found))
