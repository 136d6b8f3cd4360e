"""What a driver needs to know of a shared study: pure functions of the trials and of the living drivers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.store.locking.drivers import Hold
from tuner.trials.outcomes import Usage
from tuner.trials.schema import DRIVER, NAME, REQUEST, is_trial, record_of, usage_key
from tuner.trials.stored import TrialRecord

__all__ = ["News", "news_of", "searched", "waiting", "without_driver"]


@dataclass(frozen=True)
class News:
    """State of a study with the work of all its drivers.

    Attributes
    ----------
    records
        Records of all trials. They do not have the usage of attempts that run here.
    others
        Records of trials of other drivers that have ended since the last news.
    interrupted
        Numbers of interrupted trials, which no living driver runs.
    waiting, searched
        How many trials are queued, and how many the sampler has chosen.
    """

    records: Sequence[TrialRecord]
    others: Sequence[TrialRecord]
    interrupted: Sequence[int]
    waiting: int
    searched: int


def news_of(
    trials: Sequence[FrozenTrial],
    hold: Hold,
    here: Mapping[int, Collection[int]],
    ended: dict[int, TrialRecord],
) -> News:
    """Return the state of a study.

    Parameters
    ----------
    trials
        All trials of the study.
    hold
        The lock that this process holds.
    here
        The trials that this driver runs, is about to start, or keeps paused, by number, with the numbers of
        their attempts that run.
    ended
        Records of trials that had ended at the last call. They are updated in place.
    """
    records, others = [], []
    for trial in trials:
        record = ended.get(trial.number)
        if record is None:
            record = _without_usage(trial, here.get(trial.number, ()))
            if trial.state.is_finished():
                ended[trial.number] = record
            if record.evaluations and record.driver != hold.driver.id:
                others.append(record)
        records.append(record)
    interrupted = [number for number in without_driver(trials, hold) if number not in here]
    return News(records, others, interrupted, waiting(trials), searched(trials))


def without_driver(trials: Iterable[FrozenTrial], hold: Hold | None) -> list[int]:
    """Return the numbers of running trials that no other living driver runs."""
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    if hold is None or not hold.shared or not running:
        return [trial.number for trial in running]
    others = {driver.id for driver in hold.living()} - {hold.driver.id}
    return [trial.number for trial in running if trial.user_attrs.get(DRIVER) not in others]


def waiting(trials: Iterable[FrozenTrial]) -> int:
    """Return the number of queued trials: baselines, and hints of earlier studies."""
    return sum(trial.state == TrialState.WAITING for trial in trials)


def searched(trials: Iterable[FrozenTrial]) -> int:
    """Return the number of trials that the sampler has chosen, in any state."""
    chosen = (trial for trial in trials if not {NAME, REQUEST} & trial.user_attrs.keys())
    return sum(map(is_trial, chosen))


def _without_usage(trial: FrozenTrial, attempts: Collection[int]) -> TrialRecord:
    """Return a trial's record without the resource usage of some attempts."""
    attributes: Mapping[str, Any] = trial.user_attrs
    record = record_of(trial)
    noted = [attributes.get(usage_key(attempt)) for attempt in attempts]
    gone = [Usage(-one["cpu_seconds"], -one["gpu_seconds"]) for one in noted if one]
    return replace(record, usage=sum(gone, record.usage)) if gone else record
