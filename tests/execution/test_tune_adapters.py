"""What Ray Tune is told about workers and trials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(
    ("statuses", "chosen"),
    [
        (["TERMINATED", "PENDING", "RUNNING", "PENDING"], 3),
        (["PENDING", "RUNNING"], 0),
        (["RUNNING", "TERMINATED", "ERROR"], None),
        ([], None),
    ],
)
def test_a_free_worker_gets_the_newest_trial_that_waits(statuses: list[str], chosen: int | None) -> None:
    from tuner.execution.tune_adapters import WorkerScheduler

    trials = [SimpleNamespace(status=status) for status in statuses]
    searcher: Any = None
    controller: Any = SimpleNamespace(get_trials=lambda: trials)
    found = WorkerScheduler(searcher).choose_trial_to_run(controller)
    assert found is (None if chosen is None else trials[chosen])
