"""What a study says of its trials, as far as a search needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tuner.search.lifecycle import Goal
from tuner.space import Space, Value

__all__ = ["StudyRules"]


@dataclass(frozen=True)
class StudyRules:
    """What the study says of its trials.

    Attributes
    ----------
    space
        What may be tried.
    goal
        What makes a trial good.
    n_folds
        Number of seeds that a trial needs.
    finish
        Function from suggested params to full params.
    refuse
        Function from full params to why they cannot work, None if they may.
    timeout
        Seconds that a trial may take over all its folds.
    folds_in_turn
        Whether one worker evaluates all folds of a trial, also if others are free.
    point_of
        Function from full params to the point of the space, None if they are outside. It raises `TrialError`
        if no model can be built from them.
    """

    space: Space
    goal: Goal
    n_folds: int
    finish: Callable[[Mapping[str, Value]], dict[str, Value]]
    refuse: Callable[[Mapping[str, Value]], str | None]
    timeout: float | None = None
    folds_in_turn: bool = False
    point_of: Callable[[Mapping[str, Value]], Mapping[str, Value] | None] = lambda _: None
