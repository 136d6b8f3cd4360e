"""Whose turn it is: which trial runs next, of those that were cut off, that rest, that wait, and new ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tuner.search.budgets import End
from tuner.search.capacity import Share, Shares
from tuner.search.early_stopping import Referee
from tuner.search.exclusive_trials import LargeTrials
from tuner.space import Space, Value
from tuner.store import Asked, News, StudyStore
from tuner.trials.outcomes import Pause, Stop

__all__ = ["Turn", "Turns"]


@dataclass(frozen=True)
class Turn:
    """A trial that is to run next.

    Attributes
    ----------
    asked
        The trial.
    again
        Whether it was cut off and begins again.
    rested
        Where it rested; None for one that did not.
    alone
        Whether no other runs until it has ended.
    """

    asked: Asked
    again: bool
    alone: bool
    paused: Pause | None = None


class Turns:
    """Says which trial runs next, and keeps those that rest.

    First what was cut off; then what rests and is among the best at its rung by now; then what waits and what
    the sampler chooses; and when no more of that is to begin, what rests, as far as the referee says.

    Parameters
    ----------
    store, space, referee, large, n_folds, finish, refuse
        See `StudySearcher`.
    """

    def __init__(
        self,
        store: StudyStore,
        space: Space,
        referee: Referee,
        large: LargeTrials,
        *,
        n_folds: int,
        finish: Callable[[Mapping[str, Value]], dict[str, Value]],
        refuse: Callable[[Mapping[str, Value]], str | None],
    ) -> None:
        self.exhausted = False
        self.searched = store.n_searched()
        self._store = store
        self._space = space
        self._referee = referee
        self._large = large
        self._n_folds = n_folds
        self._finish = finish
        self._refuse = refuse
        self._held: list[Turn] = []
        self._again = store.interrupted()
        self._waiting = store.n_waiting()
        self._paused: dict[int, Pause] = {}
        # Of a shared study what rests under a dead driver comes with the news of what was cut off.
        for number, pause in ({} if store.shared else store.paused()).items():
            if referee.pauses(number, pause.rung):
                self._paused[number] = pause
            else:  # the rules are others by now: it goes on, and is judged by them
                self._again.append(number)

    def next(self, end: End | None) -> Turn | None:
        """Return the next turn; None where only a trial that runs now can bring another.

        Parameters
        ----------
        end
            Why the sampler is to choose no more trials; None while it is to.
        """
        if self._held:
            return self._held.pop(0)
        if self._again:
            return self._turn(self._ask_again(self._again.pop(0)), again=True)
        to_resume = end is None or end.budget == "search.trials"
        number = self._referee.promoted() if to_resume else None
        if number is None and (self._waiting or (end is None and not self.exhausted)):
            asked = self._store.ask(self._space, self._n_folds, self._finish, self._refuse)
            if asked is not None:
                self._waiting -= asked.queued
                self.searched += not asked.queued
                return self._turn(asked)
            self.exhausted = True
        if number is None and to_resume:
            number = self._referee.last_chance()
        if number is None:
            return None
        return self._turn(self._ask_again(number), paused=self._paused.pop(number))

    def possible(self, shares: Shares) -> Sequence[Share]:
        """Return what the next turn may take of a node, as far as that is known before it is chosen."""
        if self._held:
            return [shares.of(self._held[0].asked.params)]
        return shares.queued if self._again or self._waiting or self._paused else shares.sampled

    @property
    def kept(self) -> set[int]:
        """Numbers of the trials that are held here, or rest."""
        return {turn.asked.number for turn in self._held} | self._paused.keys()

    def catch_up(self, news: News) -> None:
        """Take how a study that others run too stands by now."""
        self._again, self._waiting, self.searched = list(news.interrupted), news.waiting, news.searched

    def hold(self, turn: Turn) -> None:
        """Let a turn that cannot be taken yet be the next."""
        self._held.insert(0, turn)

    def begin_again(self, number: int) -> None:
        """Let a trial that lost its worker begin again."""
        self._again.append(number)

    def begin_alone(self, number: int) -> None:
        """Let a trial begin again with the machine to itself."""
        self._held.append(Turn(self._ask_again(number), again=True, alone=True))

    def pause(self, number: int, pause: Pause) -> None:
        """Let a trial rest."""
        self._store.pause(number, pause)
        self._referee.pauses(number, pause.rung)
        self._paused[number] = pause

    def dismiss(self) -> list[tuple[Asked, Pause, Stop]]:
        """Return the trials that rest and are not taken up any more: they are to be told as stopped."""
        return [
            (self._ask_again(number), self._paused.pop(number), stop)
            for number, stop in self._referee.dismissed()
        ]

    def _turn(self, asked: Asked, *, again: bool = False, paused: Pause | None = None) -> Turn:
        return Turn(asked, again, alone=self._large.holds(asked.params), paused=paused)

    def _ask_again(self, number: int) -> Asked:
        return self._store.ask_again(number, self._space, self._n_folds, self._finish)
