"""A trial that the store gives to be run."""

from __future__ import annotations

from dataclasses import dataclass, field

from tuner.space import Value
from tuner.trials.outcomes import Pause

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """A trial to run: a new one, or an interrupted or paused one that continues.

    Attributes
    ----------
    number
        Trial number.
    params
        Flat params.
    name
        Name of a baseline, None for a trial of the sampler.
    seeds
        Seeds, one for each fold.
    queued
        Whether the trial comes from the queue: a baseline, or a hint of an earlier study.
    pause
        Where the trial was paused, None if it was not.
    attempt
        Number of the attempt in the store, from 1.
    """

    number: int
    params: dict[str, Value]
    name: str | None
    seeds: tuple[int, ...]
    queued: bool = field(default=False, compare=False)
    pause: Pause | None = field(default=None, compare=False)
    attempt: int = field(default=1, compare=False)
