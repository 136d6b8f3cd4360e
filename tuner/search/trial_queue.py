"""The order of trials: which one begins next. It decides, and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.search.budgets import End
from tuner.search.capacity import Share, Shares
from tuner.search.early_stopping import EarlyStopping
from tuner.trials.status import TrialStatus

__all__ = ["NextTrial", "TrialQueue"]


@dataclass(frozen=True)
class NextTrial:
    """The decision which trial begins next.

    Attributes
    ----------
    status
        QUEUED for the next queued trial of the store, or a new one of the sampler; INTERRUPTED or PAUSED for
        a trial that begins again or resumes; RUNNING for another fold of a trial that runs.
    number
        Trial number; None if the status is QUEUED.
    exclusive
        Whether the trial is to have the machine to itself, because memory was not enough before.
    fold
        Index of the fold, if the status is RUNNING.
    """

    status: TrialStatus
    number: int | None = None
    exclusive: bool = False
    fold: int | None = None


class TrialQueue:
    """Decides which trial begins next.

    Order: further folds of running trials, interrupted trials, promotable paused trials, queued or new ones,
    the remaining paused ones as far as early stopping resumes them. At the end of a search, early stopping
    also resumes trials until enough are complete, unless the search has reached its target.

    Parameters
    ----------
    early_stopping
        Knows which trials are paused.
    n_queued
        Number of trials that are queued in the store.
    n_searched
        Number of trials that the sampler has chosen.
    """

    def __init__(self, early_stopping: EarlyStopping, *, n_queued: int, n_searched: int) -> None:
        self.exhausted = False
        self.n_searched = n_searched
        self._n_queued = n_queued
        self._early_stopping = early_stopping
        self._exclusive: list[int] = []
        self._interrupted: list[int] = []
        self._folds: list[tuple[int, int]] = []  # trial number, index of the fold

    @property
    def kept(self) -> set[int]:
        """Numbers of the trials that wait for the machine, or are paused here."""
        return {*self._exclusive, *self._early_stopping.paused}

    def next(self, end: End | None, *, n_running: int = 0) -> NextTrial | None:
        """Decide; None if only a running trial can bring another one.

        Parameters
        ----------
        end
            Why no trials are sampled any more, None while they are.
        n_running
            Number of searched trials that run.
        """
        if self._folds:
            of, fold = self._folds.pop(0)
            return NextTrial(TrialStatus.RUNNING, of, fold=fold)
        if self._exclusive:
            return NextTrial(TrialStatus.INTERRUPTED, self._exclusive.pop(0), exclusive=True)
        if self._interrupted:
            return NextTrial(TrialStatus.INTERRUPTED, self._interrupted.pop(0))
        may_resume = end is None or end.budget == "search.trials"
        number = self._early_stopping.promote() if may_resume else None
        if number is None and (self._n_queued or (end is None and not self.exhausted)):
            return NextTrial(TrialStatus.QUEUED)
        if number is None and may_resume:
            number = self._early_stopping.resume_best()
        if number is None and (end is None or end.budget != "search.target"):
            number = self._early_stopping.resume_lacking(n_running)
        return None if number is None else NextTrial(TrialStatus.PAUSED, number)

    def given(self, *, queued: bool) -> None:
        """Count a trial that the store gave: a queued one, or a new one of the sampler."""
        self._n_queued -= queued
        self.n_searched += not queued

    def none_given(self) -> None:
        """Note that every point of the space has been tried."""
        self.exhausted = True
        self._n_queued = 0

    def possible(self, shares: Shares) -> Sequence[Share]:
        """Return what the next trial may take of a node, as far as that is known before it is chosen."""
        known = (
            self._folds
            or self._exclusive
            or self._interrupted
            or self._n_queued
            or self._early_stopping.n_paused
        )
        return shares.queued if known else shares.sampled

    def queue_folds(self, number: int, folds: Sequence[int]) -> None:
        """Queue folds of a running trial, after those of trials that were queued before."""
        self._folds += [(number, fold) for fold in folds]

    def drop_folds(self, number: int) -> None:
        """Let no further fold of a trial begin."""
        self._folds = [queued for queued in self._folds if queued[0] != number]

    def requeue(self, number: int, *, exclusive: bool = False) -> None:
        """Let an interrupted trial begin again."""
        (self._exclusive if exclusive else self._interrupted).append(number)

    def take(self, number: int) -> bool:
        """Take an interrupted trial out of the queue; return False if it is not there."""
        for waiting in (self._exclusive, self._interrupted):
            if number in waiting:
                waiting.remove(number)
                return True
        return False

    def recount(self, n_queued: int) -> None:
        """Take the number of trials that are queued in the store now."""
        self._n_queued = n_queued

    def renew(self, *, n_queued: int, n_searched: int) -> None:
        """Take the numbers of a shared study. The caller queues its interrupted trials anew."""
        self._interrupted, self._n_queued, self.n_searched = [], n_queued, n_searched
