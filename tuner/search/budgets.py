"""When a search ends: rules over what a study has had so far. Knows no Ray.

Whichever budget comes first ends a search. After `trials`, `target`, `plateau` and `terminator` no trial is
begun any more, and those that run are finished. When the time, or the CPU or GPU hours are up, those that run
stop as well, at their next evaluation or after a grace; they go on when the study is run again.

`Budget` holds what the rules look at, and is fed in the order of events. None of it is a fact of the study:
running again with more goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuner.config import Search
from tuner.formatting import duration, number
from tuner.trials.constraints import broken
from tuner.trials.objective import Direction, is_better
from tuner.trials.outcomes import Usage
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["Budget", "End", "reaches", "stale"]

_HOUR = 3600.0


@dataclass(frozen=True)
class End:
    """Why a search ends.

    Attributes
    ----------
    budget
        Key of the study.
    reason
        What has come about, for people.
    cure
        What goes on from there.
    """

    budget: str
    reason: str
    cure: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.budget}); {self.cure}"


def reaches(value: float, target: float, direction: Direction) -> bool:
    """Whether an objective is as good as the target, or better."""
    return value == target or is_better(value, target, direction)


def stale(values: Sequence[float | None], min_improvement: float, direction: Direction) -> int:
    """Return how many trials have ended since the best one last improved.

    Small steps add up: a value is held against the one that last counted as an improvement, not against the
    best.

    Parameters
    ----------
    values
        Objectives in the order in which trials ended; None for one that has no result that counts.
    min_improvement
        In units of the objective; a smaller one is none.
    direction
        Of the objective.
    """
    level: float | None = None
    waited = 0
    for value in values:
        if value is not None and (
            level is None or (is_better(value, level, direction) and abs(value - level) >= min_improvement)
        ):
            level, waited = value, 0
        else:
            waited += 1
    return waited


class Budget:
    """What a study may have, what it has had over all its runs, and which of its budgets ends it.

    Parameters
    ----------
    search
        The section of the study with the budgets.
    objective, direction
        What `target` and `plateau` look at.
    settled
        Tells what `terminator` asks; see `tuner.sampling.terminator`.
    clock
        Seconds that only go forward.
    """

    def __init__(
        self,
        search: Search,
        *,
        objective: str,
        direction: Direction,
        settled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends_at: float | None = None
        self._search = search
        self._objective = objective
        self._direction = direction
        self._settled = settled
        self._asked: tuple[int, bool] = (0, False)  # with how many complete trials, and the answer
        self._clock = clock
        self._held = Usage()
        self._best: tuple[float, int] | None = None  # of all trials: objective, number
        self._values: list[float | None] = []  # of the sampler's trials, as they ended
        self._up_since: float | None = None

    def start(self) -> None:
        """Begin to count the time of this run."""
        budget = self._search.time_budget
        self.ends_at = None if budget is None else self._clock() + budget

    def remember(self, records: Iterable[TrialRecord]) -> None:
        """Take all that earlier runs of the study recorded."""
        for record in sorted(records, key=lambda record: (record.ended or datetime.max, record.number)):
            self.use(record.usage)
            if record.status in {TrialStatus.COMPLETE, TrialStatus.STOPPED}:
                summary = record.summary
                counts = summary and not broken(self._search.constraints, summary)
                value = summary.mean if summary and counts else None
                self.ended(record.number, value, baseline=record.name is not None)

    def renew(self, records: Iterable[TrialRecord]) -> None:
        """Take all that a study has recorded, in place of what was taken before."""
        self._held, self._best, self._values = Usage(), None, []
        self.remember(records)

    def use(self, usage: Usage) -> None:
        """Take what an attempt at a trial has held of the machines."""
        self._held += usage

    def ended(self, number: int, value: float | None, *, baseline: bool) -> None:
        """Take the objective of a trial that ended, None if it was stopped early or breaks a constraint."""
        if not baseline:
            self._values.append(value)
        if value is not None and (self._best is None or is_better(value, self._best[0], self._direction)):
            self._best = (value, number)

    def no_more(self, searched: int) -> End | None:
        """Return why no trial is to be begun any more; those that run may end.

        Parameters
        ----------
        searched
            Trials that the sampler has chosen so far.
        """
        return (
            self._trials_are_done(searched)
            or self._target_is_reached()
            or self._is_on_plateau()
            or self._is_terminated()
        )

    def time_is_up(self, running: Usage = Usage()) -> End | None:  # noqa: B008  # frozen
        """Return why those that run are to stop as well, at their next evaluation.

        Parameters
        ----------
        running
            What trials have held that have not been taken by `use` yet.
        """
        end = self._time_end() or self._hours_end(running)
        if end is not None and self._up_since is None:
            self._up_since = self._clock()
        return end

    @property
    def grace_is_over(self) -> bool:
        """Whether trials have had their time to come to an evaluation since time was up."""
        return self._up_since is not None and self._clock() - self._up_since >= self._search.grace

    def _trials_are_done(self, searched: int) -> End | None:
        if searched < self._search.trials:
            return None
        return End("search.trials", f"{searched} trials are done", "--trials N raises it")

    def _target_is_reached(self) -> End | None:
        target = self._search.target
        if target is None or self._best is None or not reaches(self._best[0], target, self._direction):
            return None
        value, best = self._best
        reason = f"trial {best} has {self._objective} {number(value)}, and {target:g} was wanted"
        further = "a higher" if self._direction == "maximize" else "a lower"
        return End("search.target", reason, _raise("target", f"{further} one, or null"))

    def _is_on_plateau(self) -> End | None:
        rule = self._search.plateau
        if rule is None:
            return None
        waited = stale(self._values, rule.min_improvement, self._direction)
        if waited < rule.trials:
            return None
        reason = f"no better trial among the last {waited}"
        return End("search.plateau", reason, _raise("plateau", "more trials, or null"))

    def _is_terminated(self) -> End | None:
        n_complete = sum(value is not None for value in self._values)
        if self._search.terminator is None or n_complete < self._search.terminator:
            return None
        if self._asked[0] != n_complete:
            self._asked = (n_complete, self._settled())
        if not self._asked[1]:
            return None
        reason = f"after {n_complete} complete trials more can gain no more than the noise of the folds"
        return End("search.terminator", reason, _raise("terminator", "more trials, or null"))

    def _time_end(self) -> End | None:
        if self.ends_at is None or self._clock() < self.ends_at:
            return None
        reason = f"{duration(self._search.time_budget)} are over"
        return End("search.time_budget", reason, "the same command goes on")

    def _hours_end(self, running: Usage) -> End | None:
        usage = self._held + running
        for key, seconds, limit in (
            ("gpu_hours", usage.gpu_seconds, self._search.gpu_hours),
            ("cpu_hours", usage.cpu_seconds, self._search.cpu_hours),
        ):
            if limit is not None and seconds >= limit * _HOUR:
                kind = key[:3].upper()
                reason = f"trials have held {seconds / _HOUR:.3g} {kind} hours of {limit:g}"
                return End(f"search.{key}", reason, _raise(key, "more"))
        return None


def _raise(key: str, to: str) -> str:
    return f"to go on, --set search.{key}=... with {to}"
