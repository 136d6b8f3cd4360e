"""The exceptions of the project, one tree.

    TunerError                 base: a message, an optional hint, an exit code
    ├── UserError              the user's input cannot be used; exit code 2
    │   ├── StudyError         the study file
    │   ├── SpaceError         the search space
    │   ├── DataError          the interactions, the features or the folds made from them
    │   ├── StoreError         the study's folder or storage (busy, changed, unreadable)
    │   └── ClusterError       the cluster: its address, token, versions, nodes
    ├── TrialError             one trial failed in the model's or the user's code; the search continues
    ├── RankLostError          one of the processes that trained a trial has died; the trial runs again
    └── SearchError            the whole search cannot continue; exit code 1
        └── InterruptedSearchError   the user ended the search; exit code 130

A `UserError` carries all problems that were found, not only the first one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "LASTING",
    "ClusterError",
    "DataError",
    "InterruptedSearchError",
    "Problem",
    "RankLostError",
    "SearchError",
    "SpaceError",
    "StoreError",
    "StudyError",
    "TrialError",
    "TunerError",
    "UserError",
    "did_you_mean",
]


#: Numbers of errors of a file or folder that stay until the user names another one, or changes its rights.
LASTING = frozenset(
    {
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
#: Most names that are compared, and most characters of them: a comparison takes long for long names.
_MOST_NAMES, _LONGEST_NAME = 200, 80
#: Most characters of a part of a message. A value in it may be a whole file.
_LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Problem:
    """One problem with the user's input.

    Attributes
    ----------
    where
        The key that has the problem, such as ``search.trials``, or the name of a column or param.
    rule
        The rule, then the value that violates it: "must be at least 1, but got 0".
    hint
        How to solve the problem.
    line
        Line of the file, counted from 1, if it is known.
    """

    where: str
    rule: str
    hint: str | None = None
    line: int | None = None

    @classmethod
    def of(cls, where: str, error: Exception) -> Problem:
        """Return an error as a problem: in its text, a semicolon separates the rule and the hint."""
        rule, separator, hint = str(error).rpartition("; ")
        is_within_value = rule.count("'") % 2 == 1
        return cls(where, rule, hint) if separator and not is_within_value else cls(where, str(error))

    def __str__(self) -> str:
        place = f"{self.where} (line {self.line})" if self.line else self.where
        text = f"{_short(place)}: {_short(self.rule)}" if place else _short(self.rule)
        return f"{text}\n    {_short(self.hint)}" if self.hint else text


def _short(text: str) -> str:
    """Return a text without its middle if it is too long to read."""
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]} [...] {text[-half:]}"


class TunerError(Exception):
    """Base of all errors raised on purpose by this project."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message says what to do, and the traceback does not help."""
        return [f"{type(self).__name__}: {self}"]


class UserError(TunerError):
    """The user's input cannot be used. The error lists all problems at once."""

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
        """Pickle the problems too. An exception pickles only its `args`, which here is the source."""
        return type(self), (self.source, self.problems)


class StudyError(UserError):
    """The study file cannot be used.

    Attributes
    ----------
    rest
        The study without the params of its space that cannot be read, to look for further problems; None if
        there is no such study.
    """

    rest: object = None


class SpaceError(UserError):
    """The search space is not well formed, or a point lies outside it."""


class DataError(UserError):
    """The data, or the folds made from it, cannot be used for a search."""


class StoreError(UserError):
    """The study's folder or storage cannot be used."""


class ClusterError(UserError):
    """The cluster cannot be used: its address, token, versions or nodes."""


class TrialError(TunerError):
    """One trial failed during a fit or an evaluation. The cause is chained."""


class RankLostError(TunerError):
    """A process that trained a trial on one of its devices has died. The trial itself is not to blame."""


class SearchError(TunerError):
    """The search cannot continue."""


class InterruptedSearchError(SearchError):
    """The user ended the search. All finished work is in the store."""

    exit_code = 130


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """Return a hint with the nearest valid name, or with all valid names if none is similar."""
    folded = {option.lower(): option for option in valid[:_MOST_NAMES] if len(option) <= _LONGEST_NAME}
    near = get_close_matches(name[:_LONGEST_NAME].lower(), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return "valid: " + ", ".join(sorted(valid))
