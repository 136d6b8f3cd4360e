"""The parts of Ray Tune that tell the search of results and losses, and end trials and workers as it says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import SearchGenerator

from tuner.execution.study_searcher import StudySearcher

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

__all__ = ["NoteLostWorkers", "SpareWorkers", "StopWhenAsked"]


class SpareWorkers(SearchGenerator):
    """Brings trials from the search to Tune, and lets it end the worker that waits for a next one in vain.

    Tune keeps one for as long as it is told that more trials may come: a GPU would be paid for until the last
    trial has ended.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__(searcher)
        self._search = searcher

    def is_finished(self) -> bool:
        """Whether there is no trial to ask for; Tune asks this at each of its steps."""
        return super().is_finished() or self._search.spares_workers

    def __deepcopy__(self, _memo: dict[int, object]) -> SpareWorkers:
        """Stay the one generator when Tune copies its configuration."""
        return self


class StopWhenAsked(Stopper):
    """Brings each result to the search, before Tune's other parts see it, and stops the trials that it says.

    All trials end when the search is ending: on Ctrl-C at once, else at their next evaluation, or when their
    grace is over.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop this trial here."""
        return self._searcher.take(trial_id, result)

    def __deepcopy__(self, _memo: dict[int, object]) -> StopWhenAsked:
        """Keep asking the one searcher when Tune copies its configuration."""
        return self

    def stop_all(self) -> bool:
        """Whether to stop everything now."""
        return self._searcher.ending_now


class NoteLostWorkers(FIFOScheduler):
    """Tells the search why Ray has lost a worker; Tune's searchers learn only that it has."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's own
        self._searcher = searcher

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:  # noqa: ARG002  # Ray's signature
        """Pass on what Ray wrote of the error."""
        if trial.error_file is not None:
            with suppress(OSError):  # a full disk has no room for it
                self._searcher.lost(trial.trial_id, Path(trial.error_file).read_text(encoding="utf-8"))

    def __deepcopy__(self, _memo: dict[int, object]) -> NoteLostWorkers:
        """Keep telling the one searcher when Tune copies its configuration."""
        return self
