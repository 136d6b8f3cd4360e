"""The machines of a search, and what trials take of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tuner.search.capacity import Capacity, Shares
from tuner.search.exclusive_trials import LargeTrials
from tuner.trials.messages import Place

__all__ = ["Fleet"]


def _answers(_place: Place) -> bool:
    """Take every machine as reachable."""
    return True


@dataclass(frozen=True)
class Fleet:
    """The machines, and what trials take of them.

    Attributes
    ----------
    shares
        What trials take of a node.
    capacity
        For how many trials there is room.
    large
        Which trials have the machine to themselves.
    answers
        Function that returns whether the machine of an attempt can still be reached.
    """

    shares: Shares
    capacity: Capacity
    large: LargeTrials
    answers: Callable[[Place], bool] = _answers
