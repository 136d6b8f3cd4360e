"""What is wrong with the params of one model that a user gives: a baseline, or a trial that is added."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tuner.errors import Problem, SpaceError
from tuner.models.feasibility import infeasible
from tuner.models.signatures import space_problems
from tuner.space import Space, Value

__all__ = ["params_problems"]


def params_problems(params: Mapping[str, Value], written: Collection[str] | None = None) -> list[Problem]:
    """Return all problems of the flat params of a model, each at its key.

    They are a space with one point: names, types and classes are checked as those of a space, and so is what
    cannot work.

    Parameters
    ----------
    params
        Flat params.
    written
        Keys whose names, types and classes are checked. By default these are all keys. Others come from the
        study's space, where they are checked.
    """
    if "cls" not in params:
        hint = "name a model of RecTools, such as SASRecModel"
        return [Problem("cls", "must be given, but is missing", hint)]
    try:
        found = space_problems(Space(params))
    except SpaceError as error:
        found = list(error.problems)
    wrong = {problem.where for problem in found}
    if "cls" not in wrong:
        found += infeasible({key: value for key, value in params.items() if key not in wrong})
    of_the_space = wrong.difference(wrong if written is None else written)
    return [problem for problem in found if problem.where not in of_the_space]
