"""When a search ends: rules over what a study has used and reached so far. Imports no Ray.

The first budget that is reached ends the search. After `trials`, `target`, `plateau` and `terminator`, no
trial begins any more, and running trials are finished. When the time, or the CPU or GPU hours are used up,
running trials stop too, at their next evaluation or after a grace. They continue when the study is run again.

`Budget` holds what the rules look at. A search reports to it in the order of events. Budgets are not facts of
the study: another run with a larger budget continues it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tuner.config import Search
from tuner.errors.caller import hint
from tuner.formatting import duration, number
from tuner.trials.constraints import broken
from tuner.trials.objective import Direction, is_better, more_is_better
from tuner.trials.outcomes import Usage
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["Budget", "End", "fail_alike"]

#: The search ends if at least this many trials have ended, and all of them failed in the same way.
HOPELESS = 3

_HOUR = 3600.0


@dataclass(frozen=True)
class End:
    """Why a search ends.

    Attributes
    ----------
    budget
        Key of the budget in the study file.
    reason
        What has happened, for people.
    cure
        How to continue the study, for people.
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
    """Return the number of trials that have ended since the best one last improved.

    Small steps add up: a value is compared with the one that last counted as an improvement, not with the
    best.

    Parameters
    ----------
    values
        Objectives in the order in which trials ended; None for a trial without a result that counts.
    min_improvement
        Smallest difference that counts as an improvement, in units of the objective.
    direction
        Direction of the objective.
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


def fail_alike(kinds: Sequence[str | None]) -> bool:
    """Whether a search is hopeless: several trials have ended, and all of them failed in the same way.

    Parameters
    ----------
    kinds
        For each trial that has ended the kind of its failure, None if it did not fail.
    """
    return len(kinds) >= HOPELESS and None not in kinds and len(set(kinds)) == 1


class Budget:
    """The budgets of a study, what it has used over all its runs, and which budget ends the search.

    Parameters
    ----------
    search
        The section of the study with the budgets.
    objective, direction
        Objective of `target` and `plateau`, and its direction.
    settled
        Returns whether `terminator` ends the search; see `tuner.sampling.terminator`.
    clock
        Returns seconds that only increase.
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
        self._asked: tuple[int, bool] = (
            0,
            False,
        )  # number of complete trials at the last question, and its answer
        self._clock = clock
        self._used = Usage()
        self._best: tuple[float, int] | None = None  # of all trials: objective, number
        self._values: dict[int, float | None] = {}  # of the sampler's trials by number, as they ended
        self._baselines: dict[int, float | None] = {}
        self._up_since: float | None = None

    def start(self) -> None:
        """Begin to count the time of this run."""
        budget = self._search.time_budget
        self.ends_at = None if budget is None else self._clock() + budget

    def remember(self, records: Iterable[TrialRecord]) -> None:
        """Count all that earlier runs of the study recorded."""
        for record in sorted(records, key=lambda record: (record.ended or datetime.max, record.number)):
            self.use(record.usage)
            if record.status in {TrialStatus.COMPLETE, TrialStatus.STOPPED}:
                summary = record.summary
                counts = summary and record.excluded is None and not broken(self._search.constraints, summary)
                value = summary.mean if summary and counts else None
                self.ended(record.number, value, baseline=record.name is not None)

    def renew(self, records: Iterable[TrialRecord]) -> None:
        """Count all that a study has recorded, and nothing else."""
        self._used, self._best, self._values, self._baselines = Usage(), None, {}, {}
        self.remember(records)

    def use(self, usage: Usage) -> None:
        """Count the resource usage of an attempt that has ended."""
        self._used += usage

    def ended(self, number: int, value: float | None, *, baseline: bool) -> None:
        """Count a trial that ended, and its objective: None if it was stopped or breaks a constraint."""
        (self._baselines if baseline else self._values)[number] = value
        if value is not None and (self._best is None or is_better(value, self._best[0], self._direction)):
            self._best = (value, number)

    def exclude(self, number: int) -> None:
        """Let the result of a trial that has ended count no more; do nothing if it did not count."""
        for values in (self._values, self._baselines):
            if values.get(number) is not None:
                values[number], self._best = None, None
        if self._best is None:
            for other, value in {**self._baselines, **self._values}.items():
                if value is not None and (
                    self._best is None or is_better(value, self._best[0], self._direction)
                ):
                    self._best = (value, other)

    def no_more(self, searched: int) -> End | None:
        """Return why no trial may begin any more, None if one may. Running trials may end.

        Parameters
        ----------
        searched
            Number of trials that the sampler has chosen so far.
        """
        return (
            self._target_is_reached()  # before the trials, because it also ends the resuming of paused ones
            or self._trials_are_done(searched)
            or self._is_on_plateau()
            or self._is_terminated()
        )

    def time_is_up(self, running: Usage = Usage()) -> End | None:  # noqa: B008  # frozen
        """Return why running trials are to stop at their next evaluation, None if they may go on.

        Parameters
        ----------
        running
            Resource usage of the running attempts, which `use` has not counted yet.
        """
        end = self._time_end() or self._hours_end(running)
        if end is not None and self._up_since is None:
            self._up_since = self._clock()
        return end

    @property
    def grace_is_over(self) -> bool:
        """Whether the grace of running trials is over; it begins when the time or the hours are used up."""
        return self._up_since is not None and self._clock() - self._up_since >= self._search.grace

    def _trials_are_done(self, searched: int) -> End | None:
        if searched < self._search.trials:
            return None
        raises = hint(command="--trials N raises it", python="a larger `search.trials` continues it")
        return End("search.trials", f"{searched} trials are done", raises)

    def _target_is_reached(self) -> End | None:
        target = self._search.target
        if target is None or self._best is None or not reaches(self._best[0], target, self._direction):
            return None
        value, best = self._best
        reason = f"trial {best} has {self._objective} {number(value)}, and {target:g} was wanted"
        further = "a higher" if more_is_better(self._direction) else "a lower"
        return End("search.target", reason, _raise("target", f"{further} one, or null"))

    def _is_on_plateau(self) -> End | None:
        rule = self._search.plateau
        if rule is None:
            return None
        waited = stale([*self._values.values()], rule.min_improvement, self._direction)
        if waited < rule.trials:
            return None
        reason = f"no better trial among the last {waited}"
        return End("search.plateau", reason, _raise("plateau", "more trials, or null"))

    def _is_terminated(self) -> End | None:
        n_complete = sum(value is not None for value in self._values.values())
        if self._search.terminator is None or n_complete < self._search.terminator:
            return None
        if self._asked[0] != n_complete:
            self._asked = (n_complete, self._settled())
        if not self._asked[1]:
            return None
        reason = f"after {n_complete} complete trials further ones can gain only the noise of the folds"
        return End("search.terminator", reason, _raise("terminator", "more trials, or null"))

    def _time_end(self) -> End | None:
        if self.ends_at is None or self._clock() < self.ends_at:
            return None
        reason = f"{duration(self._search.time_budget)} are over"
        goes_on = hint(command="the same command goes on", python="the same call goes on")
        return End("search.time_budget", reason, goes_on)

    def _hours_end(self, running: Usage) -> End | None:
        usage = self._used + running
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
    return hint(
        command=f"to go on, --set search.{key}=... with {to}", python=f"to go on, set search.{key} to {to}"
    )
