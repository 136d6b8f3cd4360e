"""A run in a thread of this process, so that a notebook can be used while a study runs."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress

from tuner.errors import InterruptedSearchError, Problem, StoreError
from tuner.reporting.leaderboard import Leaderboard
from tuner.reporting.place import Place
from tuner.store import store_exists
from tuner.workflows.results import board_of

__all__ = ["BackgroundRun", "StopRequest"]


class StopRequest:
    """A wish that a search ends calmly. It may be expressed before the search can hear it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._listener: Callable[[], None] | None = None

    def ask(self) -> None:
        """Ask the search to end."""
        with self._lock:
            listener, known = self._listener, self._asked
            self._asked = True
        if listener is not None and not known:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function when the search is asked to end, or now if it was asked already."""
        with self._lock:
            self._listener, asked = listener, self._asked
        if asked:
            listener()


class BackgroundRun:
    """A run of a study in the background. It ends with this process, and another run continues it.

    Parameters
    ----------
    place
        Where the results are.
    search
        Runs the study until it ends, or until it is asked to stop.
    """

    def __init__(self, place: Place, search: Callable[[StopRequest], Leaderboard]) -> None:
        self._place = place
        self._stop = StopRequest()
        self._result: Leaderboard | None = None
        self._error: BaseException | None = None
        context = contextvars.copy_context()  # it says to which cell of a notebook the output belongs
        arguments = (self._run, search)
        self._thread = threading.Thread(target=context.run, args=arguments, name="tuner-run", daemon=True)
        self._thread.start()

    def _run(self, search: Callable[[StopRequest], Leaderboard]) -> None:
        try:
            self._result = search(self._stop)
        except BaseException as error:  # noqa: BLE001  # `wait` raises it in the thread of the user
            self._error = error

    @property
    def running(self) -> bool:
        """Whether the run has not ended."""
        return self._thread.is_alive()

    def status(self) -> str:
        """Return the state in words: ``running``, ``ended``, ``interrupted`` or ``failed``."""
        if self.running:
            return "running"
        if self._error is None:
            return "ended"
        return "interrupted" if isinstance(self._error, InterruptedSearchError) else "failed"

    def board(self) -> Leaderboard:
        """Return the leaderboard as it is now.

        Raises
        ------
        StoreError
            If the run has not made its store yet.
        """
        if self.running and not store_exists(self._place.folder):
            rule = "must have results to show, but the run is starting and has none yet"
            raise StoreError(self._place.folder.name, [Problem("", rule, "call board() again in a moment")])
        return board_of(self._place)

    def stop(self) -> Leaderboard:
        """End the run calmly, wait for its end, and return the leaderboard. Finished trials are kept."""
        if self.running:
            self._stop.ask()
        with suppress(InterruptedSearchError):
            self.wait()
        return self.board()

    def wait(self, timeout: float | None = None) -> Leaderboard:
        """Wait for the end of the run, and return its leaderboard.

        Parameters
        ----------
        timeout
            Seconds to wait; None waits until the end.

        Raises
        ------
        TimeoutError
            If the run has not ended by then.
        TunerError
            If the run has failed, or was stopped.
        """
        self._thread.join(timeout)
        if self.running:
            msg = f"the run has not ended within {timeout} seconds"
            raise TimeoutError(msg)
        if self._error is not None:
            raise self._error
        assert self._result is not None, "a run that has not failed has a result"
        return self._result

    def __repr__(self) -> str:
        return f"<run of {self._place.folder.name}: {self._told()}>"

    def _told(self) -> str:
        with suppress(StoreError):
            ended = sum(row.status.has_ended for row in self.board().rows)
            return f"{self.status()}, {ended} trials have ended"
        return self.status()
