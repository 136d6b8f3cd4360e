"""Trials without memory or without end: they fail by name, and the others are unharmed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.integration.conftest import Small
from tuner.artifacts.layout import STUDY_FILE
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records
from tuner.trials.outcomes import OUT_OF_MEMORY, TIMEOUT
from tuner.trials.stored import TrialRecord

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LAYERS = "from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers\n"


def baselines(*names: str) -> str:
    """Small models over layers of `mine`, by name."""
    params = "cls: SASRecModel, n_factors: 8, n_heads: 1, session_max_len: 8, batch_size: 32"
    own = [f"{{name: {n.lower()}, params: {{{params}, transformer_layers_type: mine.{n}}}}}" for n in names]
    return f"baselines=[popular, {', '.join(own)}]"


def run(small: Small, *overrides: str, code: int = 0) -> dict[str, TrialRecord]:
    """Run baselines alone, to an exit code; return their records by name."""
    changes = [word for override in overrides for word in ("--set", override)]
    done = small.tuner("run", "study.yaml", "--trials", "0", *changes)
    assert done.returncode == code, done.stderr
    return {str(record.name): record for record in read_records(small.results).records}


def n_begun(small: Small, record: TrialRecord) -> int:
    """Return how often a trial was begun: each time it writes a head to its log."""
    return (small.results / str(record.log)).read_text().count(f"trial {record.number}: {record.name}\n")


def check_failed(small: Small, record: TrialRecord, cause: str) -> None:
    """Hold a trial to have failed by its own fault: with its cause, a log, and no second attempt."""
    assert (record.status, record.failure.cause) == ("failed", cause)
    assert n_begun(small, record) == 1, "an error of the user's is not tried again"
    assert "Traceback" in (small.results / str(record.log)).read_text()


@contextmanager
def reading(small: Small) -> Iterator[list[str]]:
    """Load the leaderboard in a loop meanwhile, which always can be; give the states that it had."""
    states: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.02):
            if (small.results / STUDY_FILE).exists():
                states.extend(row.status for row in load_leaderboard(small.results).rows)

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            yield states
        finally:
            done.set()
        reader.result()


@pytest.mark.long
def test_a_trial_that_needs_more_memory_than_there_is_fails_as_that(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(
        LAYERS + "import resource, torch\n\n"
        "class Hungry(PreLNTransformerLayers):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        before = resource.getrlimit(resource.RLIMIT_AS)\n"
        "        pages = int(open('/proc/self/statm').read().split()[0])\n"
        "        room = pages * resource.getpagesize() + 2**26\n"
        "        resource.setrlimit(resource.RLIMIT_AS, (room, before[1]))\n"
        "        try:\n"
        "            torch.ones(2**30)\n"
        "        finally:\n"
        "            resource.setrlimit(resource.RLIMIT_AS, before)\n\n"
        "class Calm(PreLNTransformerLayers):\n"
        "    pass\n\n"
        "class Broken(PreLNTransformerLayers):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        raise RuntimeError('flux capacitor missing')\n\n"
        "class Diverging(PreLNTransformerLayers):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        return super().forward(*args, **kwargs) * float('nan')\n"
    )
    with reading(small) as states:
        records = run(small, baselines("Hungry", "Calm", "Broken", "Diverging"))

    hungry = records["hungry"]
    assert hungry.status == "failed"
    assert hungry.failure.kind == OUT_OF_MEMORY
    assert "can't allocate memory: you tried to allocate 4294967296 bytes" in hungry.failure.cause
    assert "alone on the machine (estimated at " in hungry.failure.cause
    assert hungry.failure.peak_memory > 100 * 2**20, "a process with torch in it"
    assert n_begun(small, hungry) == 2
    assert (records["popular"].status, records["calm"].status) == ("complete", "complete")
    assert [records[name].failure.kind for name in ("broken", "diverging")] == ["RuntimeError", "TrialError"]
    check_failed(small, records["broken"], "fold 1: RuntimeError: flux capacitor missing")
    assert "mine.py" in (small.results / records["broken"].log).read_text()
    check_failed(
        small, records["diverging"], "fold 1: the training loss must be finite, but is nan in epoch 1"
    )
    assert {"running", "failed"} <= set(states), "the leaderboard was read while trials ran and failed"


@pytest.mark.long
def test_a_trial_that_found_no_memory_beside_others_runs_alone(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(
        LAYERS + "from pathlib import Path\n\n"
        "TRACE, TRIED = Path(__file__).with_name('trace'), Path(__file__).with_name('tried')\n\n"
        "class Traced(PreLNTransformerLayers):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        with TRACE.open('a') as trace:\n"
        "            trace.write(type(self).__name__ + '\\n')\n"
        "        return super().forward(*args, **kwargs)\n\n"
        "class One(Traced):\n"
        "    pass\n\n"
        "class Other(Traced):\n"
        "    pass\n\n"
        "class Greedy(Traced):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        if not TRIED.exists():\n"
        "            TRIED.touch()\n"
        "            raise MemoryError('no room')\n"
        "        return super().forward(*args, **kwargs)\n"
    )
    records = run(small, baselines("Greedy", "One", "Other"), "resources={concurrency: 2}")

    assert {record.status for record in records.values()} == {"complete"}
    assert n_begun(small, records["greedy"]) == 2
    trace = (small.folder / "trace").read_text().split()
    greedy = [place for place, name in enumerate(trace) if name == "Greedy"]
    assert greedy == list(range(greedy[0], greedy[-1] + 1)), "nothing else ran meanwhile"


@pytest.mark.long
def test_a_trial_that_hangs_is_ended_and_the_log_says_where(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(
        LAYERS + "import ctypes\n\n"
        "class Stuck(PreLNTransformerLayers):\n"
        "    def forward(self, *args, **kwargs):\n"
        "        ctypes.PyDLL(None).sleep(100_000)  # C code that lets no other thread of Python run\n\n"
        "class Calm(PreLNTransformerLayers):\n"
        "    pass\n"
    )
    records = run(small, baselines("Stuck", "Calm"), "training.timeout=20s")

    stuck = records["stuck"]
    assert stuck.failure.kind == TIMEOUT
    assert stuck.failure.cause == "took longer than training.timeout, 20 s; its log ends with where it was"
    log = (small.results / stuck.log).read_text()
    assert "Timeout (0:00:20)!" in log
    assert "mine.py" in log
    assert n_begun(small, stuck) == 1
    assert (records["popular"].status, records["calm"].status) == ("complete", "complete")


def test_a_worker_killed_by_the_memory_monitor_of_ray_counts_as_that(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.0001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    (record,) = run(small, "baselines=[sasrec]", "resources.concurrency=1", code=1).values()
    assert record.failure.kind == OUT_OF_MEMORY
