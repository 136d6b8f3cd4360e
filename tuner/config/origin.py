"""Where a study is written: the name of its file and the line of each key, for messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tuner.errors import Problem

__all__ = ["Origin"]

#: What follows a key in the name of a place, as in ``baselines[0] popular, cls``.
_DETAIL = re.compile(r"[ ,].*", re.DOTALL)


@dataclass(frozen=True)
class Origin:
    """Where a study is written. Two are always equal, because studies are equal if they say the same.

    Attributes
    ----------
    name
        Name of the file; empty if the study does not come from one.
    lines
        Line of each key, by its place as text.
    """

    name: str = field(default="", compare=False)
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)

    def located(self, problem: Problem) -> Problem:
        """Add the line of the key to a problem, or of the nearest section above it."""
        if problem.line is not None:
            return problem
        where = _DETAIL.sub("", problem.where)
        while where and where not in self.lines:
            where = where.rpartition(".")[0]
        return replace(problem, line=self.lines.get(where) or None)
