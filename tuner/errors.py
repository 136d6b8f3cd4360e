"""The exceptions of the project, one tree.

    TunerError                 base: a message, an optional hint, an exit code
    ├── UserError              something the user wrote or asked for cannot be used; exit code 2
    │   ├── StudyError         the study file
    │   ├── SpaceError         the search space
    │   ├── DataError          the interactions, the features or the folds made from them
    │   └── StoreError         the study's folder or storage (busy, changed, unreadable)
    ├── TrialError             one trial failed in the model's or the user's code; the search goes on
    └── SearchError            the search as a whole cannot go on; exit code 1
        └── InterruptedSearchError   the user ended it; exit code 130

A `UserError` carries every problem found, not the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "DataError",
    "InterruptedSearchError",
    "Problem",
    "SearchError",
    "SpaceError",
    "StoreError",
    "StudyError",
    "TrialError",
    "TunerError",
    "UserError",
    "did_you_mean",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what the user gave.

    Attributes
    ----------
    where
        The key it stands under, such as ``search.trials``, or a column or parameter name.
    rule
        What must hold, then the value: "must be at least 1, but got 0".
    hint
        What to do about it.
    line
        Line of the file, counted from 1, when known.
    """

    where: str
    rule: str
    hint: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.where} (line {self.line})" if self.line else self.where
        text = f"{place}: {self.rule}" if place else self.rule
        return f"{text}\n    {self.hint}" if self.hint else text


class TunerError(Exception):
    """Base of all errors raised on purpose by this project."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UserError(TunerError):
    """What the user gave cannot be used; lists all problems at once."""

    exit_code = 2

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(source)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        body = "\n".join("  " + str(problem).replace("\n", "\n  ") for problem in self.problems)
        return f"{self.source}: {count}\n{body}"

    def __reduce__(self) -> tuple[type[UserError], tuple[str, tuple[Problem, ...]]]:
        """Exceptions pickle by `args`, which here is the source alone."""
        return type(self), (self.source, self.problems)


class StudyError(UserError):
    """The study file cannot be used."""


class SpaceError(UserError):
    """The search space is not well formed, or a point lies outside it."""


class DataError(UserError):
    """The data, or the folds made from it, cannot be searched on."""


class StoreError(UserError):
    """The study's folder or storage cannot be used."""


class TrialError(TunerError):
    """One trial failed while fitting or evaluating; the cause is chained."""


class SearchError(TunerError):
    """The search cannot go on."""


class InterruptedSearchError(SearchError):
    """The user ended the search; all finished work is kept."""

    exit_code = 130


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """Return a hint that names the nearest valid spelling, or all of them when none is near."""
    folded = {option.lower(): option for option in valid}
    near = get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return "valid: " + ", ".join(sorted(valid))
