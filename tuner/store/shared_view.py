"""What a driver learns of a study that others run too: pure functions of its trials and of who lives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.store.locking.drivers import Hold
from tuner.trials.outcomes import Usage
from tuner.trials.schema import ATTEMPTS, DRIVER, NAME, is_trial, record_of, usage_key
from tuner.trials.stored import TrialRecord

__all__ = ["News", "forsaken", "news_of", "searched", "waiting"]


@dataclass(frozen=True)
class News:
    """How a study stands, with all that its drivers have done.

    Attributes
    ----------
    records
        Of all trials. A trial that runs here is without what its attempt under way has held.
    others
        Those among them that are others', and have ended since the last news or run.
    cut_off, waiting, searched
        Numbers of trials that nobody runs; how many are queued, and how many the sampler has chosen.
    """

    records: Sequence[TrialRecord]
    others: Sequence[TrialRecord]
    interrupted: Sequence[int]
    waiting: int
    searched: int


def news_of(
    trials: Sequence[FrozenTrial], hold: Hold, here: Collection[int], ended: dict[int, TrialRecord]
) -> News:
    """Return how a study stands.

    Parameters
    ----------
    trials
        All that the study has.
    hold
        What this process has of it.
    here
        Numbers of the trials that run in this process, or are about to.
    ended
        Records of trials that had ended when news came last; is brought up to date.
    """
    records, others = [], []
    for trial in trials:
        record = ended.get(trial.number)
        if record is None:
            record = _without_attempt(trial) if trial.number in here else record_of(trial)
            if trial.state.is_finished():
                ended[trial.number] = record
            if record.evaluations and record.driver != hold.driver.id:
                others.append(record)
        records.append(record)
    interrupted = [number for number in forsaken(trials, hold) if number not in here]
    return News(records, others, interrupted, waiting(trials), searched(trials))


def forsaken(trials: Iterable[FrozenTrial], hold: Hold | None) -> list[int]:
    """Return the numbers of trials that run under no other living driver."""
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    if hold is None or not hold.shared or not running:
        return [trial.number for trial in running]
    others = {driver.id for driver in hold.living()} - {hold.driver.id}
    return [trial.number for trial in running if trial.user_attrs.get(DRIVER) not in others]


def waiting(trials: Iterable[FrozenTrial]) -> int:
    """Return how many queued trials have not begun: baselines, and hints of earlier studies."""
    return sum(trial.state == TrialState.WAITING for trial in trials)


def searched(trials: Iterable[FrozenTrial]) -> int:
    """Return how many trials the sampler has chosen, in whatever state."""
    return sum(NAME not in trial.user_attrs and is_trial(trial) for trial in trials)


def _without_attempt(trial: FrozenTrial) -> TrialRecord:
    """Return a trial's record without what its last attempt has held."""
    attributes: Mapping[str, Any] = trial.user_attrs
    last = attributes.get(usage_key(attributes.get(ATTEMPTS, 0)))
    record = record_of(trial)
    if not isinstance(last, Mapping):
        return record
    gone = Usage(**{name: -seconds for name, seconds in last.items()})
    return replace(record, usage=record.usage + gone)
