"""A search whose trials train on two devices, in a real Ray, and what follows it.

The process of one device dies once during the search.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.conftest import Small
from tuner.reporting.final import read_final
from tuner.store import read_records
from tuner.trials.outcomes import OUT_OF_MEMORY

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

MODULE = """
import os, signal
from pathlib import Path
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers
from torch import distributed

TRACE = Path(__file__).with_name("trace")
DIED = Path(__file__).with_name("died")


class Traced(PreLNTransformerLayers):
    def forward(self, *args, **kwargs):
        if distributed.is_initialized() and distributed.get_rank() == 1:
            self.on_second()
        return super().forward(*args, **kwargs)

    def on_second(self):
        with TRACE.open("a") as trace:
            trace.write(f"{os.getpid()} {os.environ.get('GLOO_SOCKET_IFNAME')}\\n")


class Dying(Traced):
    def on_second(self):
        if not DIED.exists():
            DIED.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().on_second()


class Greedy(Traced):
    def on_second(self):
        raise MemoryError("no room on the second device")
"""
BASELINE = (
    "{{name: {name}, params: {{cls: SASRecModel, n_factors: 8, n_heads: 1, session_max_len: 8, "
    "batch_size: 16, transformer_layers_type: mine.{cls}}}}}"
)


def test_a_search_on_two_devices_survives_the_death_of_one(
    small: Small, own_module: Callable[[str], None]
) -> None:
    own_module(MODULE)
    own = ", ".join(BASELINE.format(name=cls.lower(), cls=cls) for cls in ("Dying", "Greedy"))
    changes = (
        f"baselines=[popular, {own}]",
        "resources={cpus_per_trial: 2, devices: 2}",
        "folds.n_folds=1",
        "search.trials=0",
        "metrics.reference=null",
        "metrics.report=[HitRate@10]",
    )
    done = small.tuner(
        "run", "study.yaml", *(word for one in changes for word in ("--set", one)), timeout=800
    )
    assert done.returncode == 0, done.stderr

    records = {record.name: record for record in read_records(small.results).records}
    dying, greedy = records["dying"], records["greedy"]
    assert records["popular"].status == "complete"
    assert dying.status == "complete"
    assert [one.lost for one in dying.attempts] == ["its worker died", ""]
    assert [evaluation.epoch for evaluation in dying.evaluations] == [1, 2]
    assert greedy.failure.kind == OUT_OF_MEMORY
    assert "no room on the second device; alone on the machine" in greedy.failure.cause
    assert any(" dying " in line for line in done.stdout.splitlines()), "it has a row on the leaderboard"
    log = (small.results / dying.log).read_text()
    assert "the process of device 2 of 2 was ended by SIGKILL" in log
    assert not list((small.results / "checkpoints").glob("*"))

    _again_on_two(small)
    _exported_from_one(small)

    fewer = [word for one in changes if "devices" not in one for word in ("--set", one)]
    other = small.tuner("run", "study.yaml", *fewer)
    assert other.returncode == 2
    assert "devices: must stay as it was when the study began: 2, but got None" in other.stderr


def _again_on_two(small: Small) -> None:
    """Run the trial again, and fit it for the final judgement: both use two devices, as the search did."""
    trace = small.folder / "trace"
    for command in (("reproduce", "studies/small", "dying"), ("final", "studies/small", "--seeds", "1")):
        before = len(trace.read_text())
        done = small.tuner(*command)
        assert done.returncode == 0, done.stderr
        assert len(trace.read_text()) > before, f"{command[0]} trains on the second device"
        if command[0] == "reproduce":
            assert ": equal, all " in done.stdout
    final = read_final(small.results)
    assert final is not None
    assert {row.name for row in final.rows} == {"popular", "dying"}


def _exported_from_one(small: Small) -> None:
    """Export the trial: one device fits it, with the batch of two."""
    trace = small.folder / "trace"
    before = trace.read_text()
    done = small.tuner("export", "studies/small", "dying", "--to", "model")
    assert done.returncode == 0, done.stderr
    assert json.loads((small.folder / "model" / "params.json").read_text())["batch_size"] == 32
    assert trace.read_text() == before
