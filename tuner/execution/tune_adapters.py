"""What Ray Tune sees of the search: adapters that hand its calls to `tuner.search.coordinator`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ray.tune import ProgressReporter, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher, SearchGenerator

from tuner.search.coordinator import Coordinator, NoTrial
from tuner.trials.messages import Job

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

__all__ = ["NoReports", "SpareWorkers", "StopWhenAsked", "TuneSearcher", "WorkerScheduler"]

_Done = TypeVar("_Done")
_Not = TypeVar("_Not")


class TuneSearcher(Searcher):
    """Gives Ray Tune the trials of a coordinator, and tells the coordinator what becomes of them.

    An error ends the search. The coordinator keeps it, because Tune would pass on only its text.

    Parameters
    ----------
    coordinator
        Decides everything.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._lost: dict[str, str] = {}

    @property
    def may_release_worker(self) -> bool:
        """Whether Tune may end a worker that waits for a trial."""
        return self._coordinator.may_release_worker

    @property
    def ending_now(self) -> bool:
        """Whether all trials are to stop at once."""
        return self._coordinator.ending_now

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # Ray's own FINISHED is a str
        """Return the next trial, None to wait, or FINISHED."""
        found = self._or_end(partial(self._coordinator.next_job, trial_id), NoTrial.FINISHED)
        if isinstance(found, Job):
            return {"job": found}
        return None if found is NoTrial.WAIT else Searcher.FINISHED

    def report(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Hand over the report of a worker; return whether the trial is to stop there."""
        return self._or_end(partial(self._coordinator.report, trial_id, result), otherwise=True)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: `StopWhenAsked` has handed over the report."""

    def lost(self, trial_id: str, text: str) -> None:
        """Keep Ray's text about a worker that it has lost. Tune calls `on_trial_complete` next."""
        self._lost[trial_id] = text

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # noqa: ARG002  # Ray's signature
        error: bool = False,
    ) -> None:
        """Hand over that an attempt has ended, or has lost its worker."""
        text = self._lost.pop(trial_id, "")
        if error:
            self._or_end(partial(self._coordinator.lost_worker, trial_id, text), None)
        else:
            self._or_end(partial(self._coordinator.released, trial_id), None)

    def _or_end(self, act: Callable[[], _Done], otherwise: _Not) -> _Done | _Not:
        """Act; if that raises, end the search."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001  # whatever it is ends the search; the workflow raises it
            self._coordinator.error = self._coordinator.error or error
            return otherwise

    def __getstate__(self) -> dict[str, Any]:
        """Go empty into Tune's snapshot, which nothing reads."""
        return {}

    def __deepcopy__(self, _memo: dict[int, object]) -> TuneSearcher:
        """Stay the one searcher when Tune copies its configuration."""
        return self

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store is the truth, not Tune's snapshots."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, as `save`."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Do nothing, as `save`."""


class SpareWorkers(SearchGenerator):
    """Brings trials from the searcher to Tune, and lets Tune end a worker that waits for a trial in vain.

    Tune keeps such a worker while more trials may come. Its machine, perhaps with a GPU, would be paid for
    until the last trial has ended.
    """

    def __init__(self, searcher: TuneSearcher) -> None:
        super().__init__(searcher)
        self._tune_searcher = searcher

    def is_finished(self) -> bool:
        """Whether there is no trial to ask for; Tune asks this at each of its steps."""
        return super().is_finished() or self._tune_searcher.may_release_worker

    def __deepcopy__(self, _memo: dict[int, object]) -> SpareWorkers:
        """Stay the one generator when Tune copies its configuration."""
        return self


class NoReports(ProgressReporter):
    """Shows nothing: the search shows itself. In a notebook Tune's own reporter would clear the cell."""

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:  # noqa: ARG002  # Ray's signature
        """Report never."""
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: str) -> None:
        """Show nothing."""


class StopWhenAsked(Stopper):
    """Hands each report to the search before Tune's other parts see it; stops a trial if the search says so.

    All trials stop when the search is ending: at once on Ctrl-C, else at their next evaluation or when their
    grace is over.
    """

    def __init__(self, searcher: TuneSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop this trial here."""
        return self._searcher.report(trial_id, result)

    def __deepcopy__(self, _memo: dict[int, object]) -> StopWhenAsked:
        """Keep the one searcher when Tune copies its configuration."""
        return self

    def stop_all(self) -> bool:
        """Whether to stop all trials now."""
        return self._searcher.ending_now


class WorkerScheduler(FIFOScheduler):
    """Gives a free worker to the newest trial, and tells the search why Ray has lost a worker.

    All older trials that wait have a worker of their own which is starting. Tune's own rule gives the free
    worker to the oldest of them, cancels the start of its own, and begins to start one for the newest. With
    trials that are shorter than a start, only one worker would ever work.
    """

    def __init__(self, searcher: TuneSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's own
        self._searcher = searcher

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Return the newest trial that waits."""
        trials: list[Trial] = tune_controller.get_trials()  # type: ignore[no-untyped-call]  # Ray does not type it
        return next((trial for trial in reversed(trials) if trial.status == Trial.PENDING), None)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:  # noqa: ARG002  # Ray's signature
        """Pass on what Ray wrote of the error."""
        if trial.error_file is not None:
            with suppress(OSError):  # a full disk has no room for the file
                self._searcher.lost(trial.trial_id, Path(trial.error_file).read_text(encoding="utf-8"))

    def __deepcopy__(self, _memo: dict[int, object]) -> WorkerScheduler:
        """Keep the one searcher when Tune copies its configuration."""
        return self
