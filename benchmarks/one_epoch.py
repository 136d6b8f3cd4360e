"""The baseline "1-Epoch": every configuration has one epoch, and then the best continue to their end.

References
----------
Egele, Guyon, Sun and Balaprakash 2023, "Is One Epoch All You Need For Multi-Fidelity Hyperparameter
Optimization?", https://arxiv.org/abs/2307.15422. There, the best K after one epoch are trained to their end.
Here K is open: they continue one by one, the best first, so that the compute to the best is that of the
smallest K that is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.recording import Table

__all__ = ["OneEpoch"]


class OneEpoch:
    """1-Epoch on a recorded table, as a contender of `benchmarks.replay`.

    The one epoch is the first one of the first fold. No row continues before the first epochs of all rows are
    reported. To continue a row costs by how much its first epoch takes longer than its second one.
    """

    def __init__(self, table: Table, seed: int) -> None:
        self._table = table
        self._order = np.random.default_rng(seed).permutation(len(table)).tolist()
        self._n_open = len(table)  # rows whose first epoch is not reported yet
        self._waiting: list[int] = []
        self._took = np.diff(table.seconds.reshape(len(table), -1), axis=1, prepend=0)

    def begin(self) -> tuple[int, int, Sequence[float]] | None:
        """Choose a row without an epoch; or, if all have theirs, the best one that has only one."""
        if self._order:
            row = self._order.pop(0)
            return row, 0, self._took[row].cumsum().tolist()
        if self._n_open or not self._waiting:
            return None
        row = self._waiting.pop(0)
        again = max(0.0, float(self._took[row, 0] - self._took[row, 1]))
        return row, 1, (again + self._took[row, 1:].cumsum()).tolist()

    def report(self, row: int, index: int) -> bool:  # noqa: ARG002  # a contender's signature
        """Stop each row after its first epoch, and none later."""
        if index:
            return False
        self._n_open -= 1
        if not self._n_open:
            values = self._table.values[:, 0, 0]
            self._waiting = np.argsort(-values, kind="stable").tolist()
        return True

    def is_complete(self, row: int) -> bool:  # noqa: ARG002  # a contender's signature
        """Return True: this is asked after the last report of a row's one worker."""
        return True
