"""Replays searches on a recorded table with a virtual clock. Nothing is trained.

The table is finite, and a search may run each row once. A sampler suggests a point of the real space. The
nearest recorded configuration that has not run yet is run, and the sampler learns from it. This holds for
every contender with a sampler (`OverTable`). Random search runs the rows in random order. With enough time,
each contender would run every row, and random search finds the best row after half of the rows in the median.
So the table does not exaggerate a lead over random search.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import TPESampler

from benchmarks.over_table import OverTable
from benchmarks.recording import Table
from tuner.config import Sampler, Search, Stopping
from tuner.sampling.samplers import make_sampler
from tuner.search.budgets import Budget
from tuner.search.capacity import Capacity, Shares
from tuner.search.coordinator import Coordinator
from tuner.search.early_stopping import EarlyStopping
from tuner.search.effect_runner import Sinks
from tuner.search.exclusive_trials import LargeTrials
from tuner.search.fleet import Fleet
from tuner.search.lifecycle import Goal
from tuner.search.study_rules import StudyRules
from tuner.space import Space
from tuner.store import StudyStore
from tuner.trials.messages import DONE, EVALUATION, USERS, Job
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary, Users
from tuner.trials.stored import TrialRecord

__all__ = ["Contender", "Ours", "RandomOrder", "Span", "Stock", "replay"]

OBJECTIVE = "objective"


class Contender(Protocol):
    """A search over a table. It may pause a row at a report, and continue it from there later.

    It may also run a row on several workers at once, each with other reports, such as those of one fold.
    """

    def begin(self) -> tuple[int, int, Sequence[float]] | None:
        """Choose what a free worker runs.

        Returns
        -------
        tuple or None
            A row, the index of its next report, and the seconds from now until that report and each later one
            that the worker makes. None if there is nothing to run until another worker has reported.
        """

    def report(self, row: int, index: int) -> bool:
        """Process a report of a trial; return whether its worker has to stop there."""

    def is_complete(self, row: int) -> bool:
        """Return whether a trial has made all its reports."""


@dataclass(frozen=True)
class Span:
    """What a worker did at once: some reports of a row, one after the other.

    Attributes
    ----------
    worker, row
        The worker and the row, from 0.
    first, last
        Indices of the first and the last report.
    begin, end
        Seconds since the begin of the search.
    """

    worker: int
    row: int
    first: int
    last: int
    begin: float
    end: float


def replay(
    contender: Contender, n_workers: int, watch: Callable[[Span], None] = lambda _: None
) -> Iterator[tuple[float, int]]:
    """Let a contender search until it has no more row to run.

    Parameters
    ----------
    contender, n_workers
        The search, and the number of workers.
    watch
        Is called with each span when it ends.

    Yields
    ------
    tuple
        Worker-seconds of all workers until then, and the row, for each complete trial in order.
    """
    idle = list(range(n_workers))
    events: list[tuple[float, int, int, int]] = []  # time, worker, row, index of the report
    moments: dict[int, dict[int, float]] = {}  # worker -> index of the report -> time
    begun: dict[int, float] = {}  # worker -> time

    def begin_all(now: float) -> None:
        while idle and (found := contender.begin()) is not None:
            row, first, after = found
            worker = idle.pop(0)
            begun[worker] = now
            moments[worker] = {first + i: now + seconds for i, seconds in enumerate(after)}
            heapq.heappush(events, (moments[worker][first], worker, row, first))

    begin_all(0.0)
    while events:
        now, worker, row, index = heapq.heappop(events)
        stops = contender.report(row, index)
        following = moments[worker].get(index + 1)
        if following is not None and not stops:
            heapq.heappush(events, (following, worker, row, index + 1))
        else:
            watch(Span(worker, row, min(moments[worker]), index, begun[worker], now))
            idle.append(worker)
            idle.sort()
        if following is None and contender.is_complete(row):
            yield now * n_workers, row
        begin_all(now)


class RandomOrder:
    """Random search without stopping; over `trials` rows, or over all."""

    def __init__(self, table: Table, seed: int, trials: int | None = None) -> None:
        self._order = iter(np.random.default_rng(seed).permutation(len(table))[:trials].tolist())
        self._table = table

    def begin(self) -> tuple[int, int, Sequence[float]] | None:
        """Choose the next row."""
        row = next(self._order, None)
        return None if row is None else (row, 0, self._table.seconds[row].ravel().tolist())

    def report(self, row: int, index: int) -> bool:  # noqa: ARG002  # a contender's signature
        """Let the trial continue."""
        return False

    def is_complete(self, row: int) -> bool:  # noqa: ARG002  # a contender's signature
        """Return True: this is asked after the last report of a trial's one worker."""
        return True


class _Complete:
    """An observer that notes which trials are complete.

    Attributes
    ----------
    numbers
        Their numbers.
    """

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:  # noqa: ARG002  # an observer's signature
        self.numbers.add(job.number)

    def started(self, job: Job, *, again: bool) -> None: ...

    def evaluated(self, job: Job, evaluation: Evaluation) -> None: ...

    def paused(self, job: Job, pause: Pause) -> None: ...

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None: ...

    def failed(self, job: Job, cause: str, log: str) -> None: ...


class Ours:
    """Coordinator, store, sampler and early stopping of this project, as a run has them, without Ray.

    Parameters
    ----------
    stopping
        Rules that stop trials.
    sampler
        The sampler; by default, the default of a study.
    folds_in_turn
        Whether one worker runs all folds of a row, also if others are free.
    trials
        Budget of the search; by default, all rows of the table.
    """

    def __init__(
        self,
        table: Table,
        space: Space,
        seed: int,
        *,
        stopping: Stopping,
        sampler: Sampler | None = None,
        folds_in_turn: bool = False,
        trials: int | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._table = table
        self._complete = _Complete()
        self._over = OverTable(make_sampler(sampler or Sampler(), seed, space), table, space)
        self._store = StudyStore(optuna.create_study(direction="maximize", sampler=self._over), seed)
        self._coordinator = Coordinator(
            self._store,
            Budget(Search(trials=trials or len(table)), objective=OBJECTIVE, direction="maximize"),
            EarlyStopping(
                stopping.halving,
                stopping.race,
                epochs=table.n_epochs,
                n_folds=table.n_folds,
                direction="maximize",
                complete=stopping.complete,
            ),
            rules=StudyRules(
                space,
                Goal(OBJECTIVE, "maximize"),
                n_folds=table.n_folds,
                finish=lambda params: {**params, "epochs": table.n_epochs},
                refuse=lambda _: None,
                folds_in_turn=folds_in_turn,
            ),
            fleet=Fleet(Shares.alike({"CPU": 1}), Capacity.of(len(table)), LargeTrials(lambda _: None)),
            sinks=Sinks(
                keep_users=lambda *_: None, drop_checkpoint=lambda _: None, observers=[self._complete]
            ),
        )
        self._n_begun = 0
        self._rows: dict[int, int] = {}  # by number of the trial in the store
        self._numbers: dict[int, int] = {}  # by row
        self._ids: dict[tuple[int, int], str] = {}  # (row, index of the report) -> id of the attempt
        self._ends: dict[str, int] = {}  # id of the attempt -> index after its last report
        self._n_reported = np.zeros((len(table), table.n_folds), dtype=int)
        self._took = np.diff(table.seconds.reshape(len(table), -1), axis=1, prepend=0)

    def begin(self) -> tuple[int, int, Sequence[float]] | None:
        """Ask the coordinator for a trial, or for further folds of one.

        A paused trial first reports its earlier evaluations again, in no time. If its fold has ended, that is
        all it does.
        """
        while True:
            attempt = str(self._n_begun)
            self._n_begun += 1
            job = self._coordinator.next_job(attempt)
            if not isinstance(job, Job):
                return None
            found = self._begin(attempt, job)
            if found is not None:
                return found

    def records(self) -> dict[int, TrialRecord]:
        """Return what the store has of each row that has begun."""
        records = self._store.records()
        return {row: records[number] for row, number in self._numbers.items()}

    def _begin(self, attempt: str, job: Job) -> tuple[int, int, Sequence[float]] | None:
        """Begin an attempt; return None if it has reported everything before."""
        assert job.folds is not None, "the coordinator names the folds"
        row, n_epochs = self._rows.setdefault(job.number, self._over.row), self._table.n_epochs
        self._numbers[row] = job.number
        begin, end = job.folds[0] * n_epochs, (job.folds[-1] + 1) * n_epochs
        self._ids |= dict.fromkeys(((row, index) for index in range(begin, end)), attempt)
        self._ends[attempt] = end
        first = begin + int(self._n_reported[row, list(job.folds)].sum())
        for index in range(begin, first):
            self._report(row, index)
        if first == end:
            self._coordinator.released(attempt)
            return None
        after = np.cumsum(self._took[row, first:end])
        return row, first, (after + (self._set_up(row, first) if first % n_epochs else 0.0)).tolist()

    def report(self, row: int, index: int) -> bool:
        """Report an evaluation, per-user values after the last one of a fold, and the end of the attempt."""
        stops = self._report(row, index)
        fold, epoch = divmod(index, self._table.n_epochs)
        self._n_reported[row, fold] = epoch + 1
        attempt = self._ids[row, index]
        if stops or index + 1 == self._ends[attempt]:
            self._coordinator.released(attempt)
        return stops

    def is_complete(self, row: int) -> bool:
        """Return whether all folds of a row have been measured, and it was not stopped before."""
        return self._numbers[row] in self._complete.numbers

    def _report(self, row: int, index: int) -> bool:
        attempt, table = self._ids[row, index], self._table
        fold, epoch = divmod(index, table.n_epochs)
        value = float(table.values[row, fold, epoch])
        evaluation = Evaluation(fold, epoch + 1, {OBJECTIVE: value})
        if self._coordinator.report(attempt, {EVALUATION: evaluation}):
            return True
        if epoch + 1 < table.n_epochs:
            return False
        ends = {DONE: 0.0} if index + 1 == self._ends[attempt] else {}
        return self._coordinator.report(attempt, {USERS: self._users(row, fold)} | ends)

    def _users(self, row: int, fold: int) -> Users:
        """Return the per-user values of a fold. The table has none of the last fold, so they are empty."""
        if fold + 1 < self._table.n_folds:
            return self._table.users_of(row, fold)
        return Users(fold, (self._table.n_epochs,), np.empty((1, 0), dtype=np.float32))

    def _set_up(self, row: int, index: int) -> float:
        """Return the seconds to continue within a fold: by how much its first epoch exceeds the second."""
        first = index // self._table.n_epochs * self._table.n_epochs
        return max(0.0, float(self._took[row, first] - self._took[row, first + 1]))


class Stock:
    """Ray Tune's `OptunaSearch` and `ASHAScheduler`, with their defaults except for `reduction_factor`.

    Parameters
    ----------
    lockstep
        If true, all folds of a trial are trained epoch by epoch in parallel, and a report is the mean over
        all folds after an epoch. If false, one fold is trained after the other, a report is the mean over the
        folds so far, and the number of the iteration continues from fold to fold. In both cases the report is
        that of the best epoch so far, so the last report is the value of the trial.
    reduction_factor
        Reduction factor of the scheduler.
    trials
        Budget of the search; by default, all rows of the table.
    """

    def __init__(
        self,
        table: Table,
        space: Space,
        seed: int,
        *,
        lockstep: bool,
        reduction_factor: float = 4,
        trials: int | None = None,
    ) -> None:
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._seconds, self._values = _lockstep(table) if lockstep else _fold_by_fold(table)
        self._over = OverTable(TPESampler(seed=seed), table, space)

        def suggest(trial: optuna.Trial) -> None:
            space.suggest(trial)

        self._search = OptunaSearch(suggest, metric=OBJECTIVE, mode="max", sampler=self._over)
        self._scheduler = ASHAScheduler(
            metric=OBJECTIVE, mode="max", max_t=self._values.shape[1], reduction_factor=reduction_factor
        )
        self._n_begun = 0
        self._n_trials = trials or len(table)
        self._trials: dict[int, Any] = {}  # row -> the parts of a Ray trial that Ray's objects need

    def begin(self) -> tuple[int, int, Sequence[float]] | None:
        """Ask Ray's searcher."""
        if self._n_begun == self._n_trials:
            return None
        trial = SimpleNamespace(trial_id=str(self._n_begun))
        self._n_begun += 1
        self._search.suggest(trial.trial_id)
        row = self._over.row
        self._trials[row] = trial
        self._scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]  # the scheduler uses neither
        return row, 0, self._seconds[row].tolist()

    def report(self, row: int, index: int) -> bool:
        """Report to the scheduler, and the last result to the searcher, as Ray Tune does."""
        trial = self._trials[row]
        result = {"training_iteration": index + 1, OBJECTIVE: float(self._values[row, index])}
        stops = self._scheduler.on_trial_result(None, trial, result) == "STOP"
        if stops or index + 1 == self._values.shape[1]:
            self._search.on_trial_complete(trial.trial_id, result)
        return stops

    def is_complete(self, row: int) -> bool:  # noqa: ARG002  # a contender's signature
        """Return True: this is asked after the last report of a trial's one worker."""
        return True


def _fold_by_fold(table: Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return seconds and values of the reports, both of shape (n_rows, n_folds * n_epochs)."""
    so_far = np.cumsum(table.values, axis=1) / np.arange(1, table.n_folds + 1)[:, None]
    values = np.maximum.accumulate(so_far, axis=2)
    return table.seconds.reshape(len(table), -1), values.reshape(len(table), -1)


def _lockstep(table: Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return seconds and values of the reports, both of shape (n_rows, n_epochs)."""
    flat = table.seconds.reshape(len(table), -1)
    taken = np.diff(flat, axis=1, prepend=0).reshape(table.seconds.shape)
    values = np.maximum.accumulate(table.values.mean(axis=1), axis=1)
    return np.cumsum(taken.sum(axis=1), axis=1), values
