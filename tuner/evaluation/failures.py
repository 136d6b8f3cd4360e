"""Makes a record of the error with which a trial failed."""

from __future__ import annotations

from tuner.errors import TrialError
from tuner.training.memory import is_out_of_memory, peak_gpu_memory, peak_memory
from tuner.trials.outcomes import OUT_OF_MEMORY, Failure

__all__ = ["RankFailedError", "as_failure"]


class RankFailedError(TrialError):
    """The trial failed in the process of one of its devices, which made the record.

    Parameters
    ----------
    failure
        The record.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


def as_failure(error: TrialError) -> Failure:
    """Return an error as a record, with the peak memory of this process if memory was not enough."""
    if isinstance(error, RankFailedError):
        return error.failure
    if is_out_of_memory(error):
        return Failure(error.message, OUT_OF_MEMORY, peak_memory(), peak_gpu_memory())
    cause = error.__cause__  # messages group failures by its class
    return Failure(error.message, "TrialError" if cause is None else type(cause).__name__)
