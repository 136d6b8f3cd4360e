"""Makes a tracker from the study's section: MLflow, Weights & Biases, or a class by its import path."""

from __future__ import annotations

import importlib.util
import inspect
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tuner.config import Study
from tuner.config.tracking import Tracking
from tuner.errors import Problem, StudyError, did_you_mean
from tuner.monitoring.trackers.background import BackgroundTracker
from tuner.monitoring.trackers.mlflow_runs import MlflowRuns
from tuner.monitoring.trackers.wandb_runs import WandbRuns
from tuner.space.imports import import_problem
from tuner.trials.messages import Job
from tuner.trials.observer import Observer
from tuner.trials.outcomes import Pause, Stop
from tuner.trials.records import Evaluation, Summary
from tuner.trials.stored import TrialRecord

__all__ = ["Tracker", "check_tracking", "make_tracker"]

logger = logging.getLogger(__name__)

_SINKS: dict[str, type[MlflowRuns] | type[WandbRuns]] = {"mlflow": MlflowRuns, "wandb": WandbRuns}


class _Guarded(Observer):
    """An observer of the user's. Its first error is logged and said, and then it is no longer called."""

    def __init__(self, observer: Observer, say: Callable[[str], None]) -> None:
        self._observer: Observer | None = observer
        self._say = say

    def started(self, job: Job, *, again: bool) -> None:
        """Pass it on."""
        self._tell("started", job, again=again)

    def evaluated(self, job: Job, evaluation: Evaluation) -> None:
        """Pass it on."""
        self._tell("evaluated", job, evaluation)

    def fold_lost(self, job: Job, fold: int, why: str) -> None:
        """Pass it on."""
        self._tell("fold_lost", job, fold, why)

    def interrupted(self, job: Job, why: str) -> None:
        """Pass it on."""
        self._tell("interrupted", job, why)

    def finished(self, job: Job, summary: Summary, seconds: float) -> None:
        """Pass it on."""
        self._tell("finished", job, summary, seconds)

    def paused(self, job: Job, pause: Pause) -> None:
        """Pass it on."""
        self._tell("paused", job, pause)

    def stopped(self, job: Job, stop: Stop, seconds: float) -> None:
        """Pass it on."""
        self._tell("stopped", job, stop, seconds)

    def failed(self, job: Job, cause: str, log: str) -> None:
        """Pass it on."""
        self._tell("failed", job, cause, log)

    def close(self, *, last: bool) -> None:  # noqa: ARG002  # as `BackgroundTracker`
        """Close the observer if it can be closed."""
        if hasattr(self._observer, "close"):
            self._tell("close")

    def _tell(self, what: str, *values: Any, **named: Any) -> None:
        if self._observer is None:
            return
        try:
            getattr(self._observer, what)(*values, **named)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's class may raise anything
            name = type(self._observer).__name__
            text = f"the tracker {name} gets no more events: {what} raised {type(error).__name__}: {error}"
            logger.warning(text)
            self._say(f"warning: {text}")
            self._observer = None


Tracker = BackgroundTracker | _Guarded


def check_tracking(tracking: Tracking) -> type:
    """Return the class of a tracker.

    Raises
    ------
    StudyError
        If it is not installed, cannot be imported, or does not take the options.
    """
    if tracking.use in _SINKS:
        cls: Any = _SINKS[tracking.use]
        if importlib.util.find_spec(tracking.use) is None:
            rule = f"must be a tracker that is installed, but the package {tracking.use!r} is not"
            raise _wrong(rule, f"pip install 'rectools-tuner[{tracking.use}]'")
        allowed = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    else:
        cls, allowed = _imported(tracking.use), list(tracking.options)
    for option in tracking.options:
        if option not in allowed:
            rule = f"must be an option of {tracking.use}, but is not"
            raise _wrong(rule, did_you_mean(option, allowed), key=f"tracking.options.{option}")
    return cls  # type: ignore[no-any-return]  # a class, as found


def _imported(path: str) -> type:
    module, _, attribute = path.rpartition(".")
    try:
        cls = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a user's module may raise anything when it is imported
        raise StudyError("study", [import_problem("tracking", path, error)]) from error
    events = [name for name in vars(Observer) if not name.startswith("_")]
    missing = [name for name in events if not hasattr(cls, name)]
    if missing:
        rule = f"must be a class with the methods of an observer, but {path!r} has no {missing[0]}"
        raise _wrong(rule, "let it inherit from tuner.trials.observer.Observer")
    return cls  # type: ignore[no-any-return]  # a class, as found


def make_tracker(
    study: Study,
    identity: str,
    folder: Path,
    records: Sequence[TrialRecord],
    say: Callable[[str], None],
) -> Tracker | None:
    """Return the tracker of a study, None if it has none.

    Parameters
    ----------
    study
        The study.
    identity
        Id of the study, which no other study has.
    folder
        Folder of the study.
    records
        Trials of earlier runs.
    say
        Shows a line to the user.

    Raises
    ------
    StudyError
        See `check_tracking`; or if the class of the user's cannot be made.
    """
    tracking = study.tracking
    if tracking is None:
        return None
    cls: Any = check_tracking(tracking)
    if tracking.use in _SINKS:
        sink = cls(study.study, identity, folder.resolve(), **tracking.options)
        return BackgroundTracker(tracking.use, sink, records, direction=study.metrics.direction, say=say)
    try:
        return _Guarded(cls(**tracking.options), say)
    except (Exception, SystemExit) as error:  # a user's constructor may raise anything
        raise _wrong(f"{tracking.use} could not be created: {type(error).__name__}: {error}") from error


def _wrong(rule: str, hint: str = "", *, key: str = "tracking") -> StudyError:
    return StudyError("study", [Problem(key, rule, hint)])
