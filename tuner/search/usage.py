"""The resource usage of an attempt: wall time multiplied by its share of a machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.search.capacity import Share
from tuner.trials.outcomes import Usage

__all__ = ["NOTE_USAGE_SECONDS", "Meter"]

#: A killed driver loses at most this much of an attempt's usage, plus the time to the next evaluation.
NOTE_USAGE_SECONDS = 60.0


class Meter:
    """Measures the resource usage of one attempt, from its start on a machine.

    Parameters
    ----------
    share
        What the attempt takes of a node.
    clock
        Returns seconds that only increase.
    """

    def __init__(self, share: Share, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share = share
        self._clock = clock
        self._began = clock()
        self._on_machine = False
        self._noted = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the attempt began."""
        return self._clock() - self._began

    @property
    def usage(self) -> Usage:
        """Usage so far. An attempt that waits for a machine uses nothing."""
        if not self._on_machine:
            return Usage()
        seconds = self.seconds
        return Usage(seconds * self._share.get("CPU", 0), seconds * self._share.get("GPU", 0))

    @property
    def is_due(self) -> bool:
        """Whether the usage is to be written to the store now."""
        return self.seconds >= self._noted + NOTE_USAGE_SECONDS

    def begin(self) -> None:
        """Start to measure: a worker has begun with the attempt."""
        self._on_machine = True
        self._began = self._clock()

    def evaluated(self) -> None:
        """Note that the attempt has reported, so it is on a machine."""
        self._on_machine = True

    def note(self) -> Usage:
        """Return the usage so far, for the store."""
        self._noted = self.seconds
        return self.usage
