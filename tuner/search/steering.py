"""Steering: carries out what people ask of a search while it runs. See `tuner.trials.requests`.

Only the driver that holds the lock writes. So it reads the requests from the store, carries each of them out
once, and writes the answer. A request that was carried out when the driver was killed is only answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tuner.errors import TrialError
from tuner.search.budgets import Budget
from tuner.search.early_stopping import EarlyStopping
from tuner.search.study_rules import StudyRules
from tuner.store import StudyStore
from tuner.trials.requests import Request, RequestKind

__all__ = ["Steering"]

logger = logging.getLogger(__name__)

#: Seconds between two looks into the store, except when the search is about to end.
LOOK_SECONDS = 1.0


class Steering:
    """Carries out requests.

    Parameters
    ----------
    store, budget, early_stopping, rules
        The study, and what an exclusion changes.
    stop
        Function that stops a trial, given its number and whether it may only stop one that runs here. It
        returns what became of the trial, or None if it cannot be stopped here now.
    """

    def __init__(
        self,
        store: StudyStore,
        budget: Budget,
        early_stopping: EarlyStopping,
        *,
        rules: StudyRules,
        stop: Callable[[int, bool], str | None],
    ) -> None:
        self._store = store
        self._budget = budget
        self._early_stopping = early_stopping
        self._rules = rules
        self._stop = stop
        self._settled: set[int] = set()  # excluded trials that have ended
        self._looked: dict[bool, float] = {}  # last look by `only_here`

    def carry_out(self, *, only_here: bool = False, now: bool = False) -> bool:
        """Carry out what was asked since the last look; return whether a trial may have been queued.

        Parameters
        ----------
        only_here
            Whether to do only what concerns trials that run here, because another driver could do the rest at
            the same time.
        now
            Whether to look also if the last look was less than `LOOK_SECONDS` ago.
        """
        clock = time.perf_counter()
        if not now and clock - self._looked.get(only_here, -LOOK_SECONDS) < LOOK_SECONDS:
            return False
        self._looked[only_here] = clock
        requests = self._store.requests.read()
        self._leave_out(only_here=only_here)
        added = False
        for request in requests:
            if request.kind is RequestKind.ADD and only_here:
                continue
            answer = self._answer(request, only_here=only_here)
            if answer is not None:
                added |= request.kind is RequestKind.ADD
                self._store.requests.answer(request, answer)
                logger.warning("%s asked: %s", request.by or "somebody", answer)
        return added

    def _leave_out(self, *, only_here: bool) -> None:
        """Stop excluded trials that have not ended, and let nothing be compared with excluded ones."""
        for number in self._store.requests.excluded.keys() - self._settled:
            self._budget.exclude(number)
            if self._stop(number, only_here) is not None:
                self._early_stopping.exclude(number)
                self._settled.add(number)

    def _answer(self, request: Request, *, only_here: bool) -> str | None:
        """Carry out a request; return the answer, None if it has to wait."""
        try:
            if request.kind is RequestKind.ADD:
                return self._add(request)
            return self._stop(int(request.trial if request.trial is not None else -1), only_here)
        except (KeyError, TypeError, ValueError, TrialError) as error:
            return f"refused: {type(error).__name__}: {error}"

    def _add(self, request: Request) -> str:
        params = self._rules.finish(request.params)
        reason = self._rules.refuse(params)
        if reason is not None:
            return f"refused: {reason}"
        return self._store.requests.queue(request, params, self._rules.point_of(params))
