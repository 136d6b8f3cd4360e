"""The statuses of a trial."""

from __future__ import annotations

from enum import Enum

__all__ = ["TrialStatus"]


class TrialStatus(str, Enum):
    """The statuses of a trial. `tuner.search.lifecycle` has the table of transitions between them.

    ::

                            +------------- promoted / resumed ------------+
                            v                                             |
     QUEUED --asked--> RUNNING --at a rung, not among the best--> PAUSED --+--search ends--> STOPPED
                        | | |
                        | | +-- race lost / halving without resume ----------------------> STOPPED
                        | +---- a person asked (also QUEUED, PAUSED, INTERRUPTED) ---> STOPPED
                        | +---- all folds measured --------------------------------------> COMPLETE
                        | ----- error of the model, timeout, no memory even alone -------> FAILED
                        +------ worker, machine or driver lost --> INTERRUPTED --> RUNNING
                                                                        +-- too often --> FAILED
     never trained: INFEASIBLE (refused) . DUPLICATE (known point) . IMPORTED (warm start)

    An interrupted trial runs again with the same number, params and seeds.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    COMPLETE = "complete"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    DUPLICATE = "duplicate"
    IMPORTED = "imported"

    def __str__(self) -> str:
        return self.value

    @property
    def is_trained(self) -> bool:
        """Whether the trial is trained at some time: it is not infeasible, a duplicate or imported."""
        return self not in {TrialStatus.INFEASIBLE, TrialStatus.DUPLICATE, TrialStatus.IMPORTED}

    @property
    def has_ended(self) -> bool:
        """Whether the trial never runs again: it is complete, stopped or failed."""
        return self in {TrialStatus.COMPLETE, TrialStatus.STOPPED, TrialStatus.FAILED}
