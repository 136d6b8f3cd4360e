"""Whether a machine answers, asked of real nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

#: Several raylets on one host are a real cluster of several nodes.
LOSE_A_NODE = """
import json
import sys

import ray
from ray.cluster_utils import Cluster

from tuner.execution.node_health import Reach
from tuner.trials.messages import Place

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": sys.argv[1]})
other = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
machines = Reach()
places = [Place("head", ray.get_runtime_context().get_node_id()), Place("other", other.node_id)]
before = [machines.answer(place) for place in places]
cluster.remove_node(other, allow_graceful=False)
print(json.dumps([before, [machines.answer(place) for place in places]]))
ray.shutdown()
cluster.shutdown()
"""


def test_a_machine_that_died_is_known_as_lost_at_once() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # a short path, since sockets are in it
    (folder / "ray").mkdir()  # for the address, which Ray else writes where every ray.init() looks
    command = [sys.executable, "-c", LOSE_A_NODE, str(folder)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "RAY_TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("[[")]
    before, after = json.loads(said[0])
    assert before == [True, True]
    assert after == [True, False]
