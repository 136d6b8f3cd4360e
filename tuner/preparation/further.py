"""Finds what else is wrong with a space of which some params cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from tuner.config import Study
from tuner.errors import Problem, StudyError, UserError

__all__ = ["read_study"]


def read_study(path: Path | str, overrides: Sequence[str] = (), profile: str | None = None) -> Study:
    """Read a study file that is to be checked or run, as `Study.load` does.

    Raises
    ------
    StudyError
        Lists every problem that was found. If params of the space cannot be read, the names and classes of
        the others have been checked as well.
    """
    try:
        return Study.load(path, list(overrides), profile)
    except StudyError as error:
        if not isinstance(error.rest, Study):
            raise
        raise StudyError(error.source, [*error.problems, *_further(error, error.rest)]) from None


def _further(error: StudyError, rest: Study) -> tuple[Problem, ...]:
    """Return the problems of the params that can be read, without those that come from what is missing."""
    from tuner.preparation.prepare import study_space  # noqa: PLC0415  # torch

    unread = {problem.where.removeprefix("space.set.") for problem in error.problems}
    try:
        study_space(rest)
    except UserError as more:
        return tuple(problem for problem in more.problems if not _depends(problem, unread))
    return ()


def _depends(problem: Problem, unread: Collection[str]) -> bool:
    """Whether a problem may come from the lack of a param that could not be read."""
    key = problem.where.removeprefix("space.").removeprefix("set.")
    owner = f"{key.partition('_kwargs.')[0]}_type"
    return owner in unread or any(repr(name) in f"{problem.rule} {problem.hint}" for name in unread)
