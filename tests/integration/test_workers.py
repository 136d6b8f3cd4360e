"""Two workers: trials that are shorter than the start of a worker keep both busy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.integration.conftest import PATIENCE, Small

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SHORT = '''
    """Notes in which process it is fitted."""

    import os
    import time
    from pathlib import Path

    from rectools.models import PopularModel
    from rectools.models.popular import PopularModelConfig


    class ShortConfig(PopularModelConfig):
        n: int = 0


    class Short(PopularModel):
        config_class = ShortConfig

        def __init__(self, n: int = 0, verbose: int = 0) -> None:
            super().__init__(verbose=verbose)
            self.n = n

        def _get_config(self) -> ShortConfig:
            return ShortConfig(cls=type(self), n=self.n, verbose=self.verbose)

        @classmethod
        def _from_config(cls, config: ShortConfig) -> "Short":
            return cls(config.n, config.verbose)

        def _fit(self, dataset) -> None:
            Path(__file__).with_name(f"in-{os.getpid()}").touch()
            time.sleep(0.3)
            super()._fit(dataset)
'''
STUDY = """
study: small
data: {interactions: clicks.csv}
folds: {split: last_n, size: 1, n_folds: 1, holdout: 1, filter_viewed: false}
metrics: {objective: NDCG@10, direction: maximize}
space: {set: {cls: mine.Short, n: {int: [0, 1000000000]}}}
search: {trials: 5000, sampler: random, seed: 60}
stopping: false
resources: {cpus_per_trial: 1, concurrency: 2}
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")  # one for each worker
def test_short_trials_keep_two_workers_busy(small: Small, own_module: Callable[[str], None]) -> None:
    """The study has more trials than one worker could run until the second one has started."""
    own_module(SHORT)
    (small.folder / "study.yaml").write_text(STUDY)
    run = small.start("run", "study.yaml")
    try:
        until = time.monotonic() + PATIENCE
        while len(list(small.folder.glob("in-*"))) < 2 and run.poll() is None:  # two workers
            assert time.monotonic() < until, "only one worker has run trials"
            time.sleep(0.1)
        assert len(list(small.folder.glob("in-*"))) == 2  # as above
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE)
