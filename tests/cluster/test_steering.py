"""A job of a cluster is steered over its address, while it runs: a real Ray with its dashboard, on one node.

Cluster and clients are in a network and among processes of their own, which end together.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, write_interactions
from tests.integration.test_steering import STUDY, TRIALS, WANTED
from tuner.store import read_records
from tuner.trials.schema import pending_requests

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
        reason="needs root, util-linux and iproute2",
    ),
]

ADDRESS = "http://127.0.0.1:8265"
SCRIPT = """
set -eu
ip link set lo up
cd {folder}
ray start --head --num-cpus=4 --node-ip-address=127.0.0.1 --dashboard-host=127.0.0.1 >ray.out 2>&1
tuner() {{ python -m tuner.cli "$@" --address {address}; }}
ended() {{ tuner leaderboard small 2>/dev/null | grep -c complete || true; }}
(tuner submit study.yaml --set resources.concurrency=3 --output {folder}/there >job.out 2>&1; echo $? >code) &
until [ "$(ended)" -ge 1 ]; do [ ! -e code ] || exit 1; sleep 1; done
tuner add small --params wanted.json
tuner exclude small 1 --why 'a test'
tuner stop small --trial 0
until [ -e code ]; do sleep 1; done
echo "the job ended with $(cat code)"
tuner fetch small
python cells.py
"""
#: The same cluster from Python: data in memory, and an endless baseline that has to be stopped.
CELLS = """
import time
from contextlib import suppress
import pandas as pd
import yaml
from tuner import Study, attach, fetch, stop, submit
from tuner.errors import ClusterError, StoreError

given = yaml.safe_load(open("study.yaml"))
given |= {{"study": "cells", "data": {{"interactions": pd.read_csv("clicks.csv")}}}}
there = {{"address": "{address}"}}
run = submit(Study(**given), output="{folder}/there", **there)
assert (run.is_new, attach("cells", **there).job.job_id) == (True, run.job.job_id)
while True:
    assert run.status() in {{"pending", "running"}}, run.status()
    # There is no folder, and then no store, before the search has begun.
    with suppress(ClusterError, StoreError):
        if any(row.record.evaluations for row in run.board("seen").rows):
            break
    time.sleep(1)
assert submit(Study(**given), **there).is_new is False
assert (stop("cells", **there), stop("cells", **there), run.status()) == (True, False, "stopped")
print("fetched", fetch("cells", to="fetched", **there).board.rows[0].record.name)
"""


def test_a_job_is_steered_over_its_address(tmp_path: Path) -> None:
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "wanted.json").write_text(json.dumps(WANTED))
    (tmp_path / "cells.py").write_text(CELLS.format(folder=tmp_path, address=ADDRESS))
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    (tmp_path / "home" / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNER_"))}
    own = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "token"}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    script = SCRIPT.format(folder=tmp_path, address=ADDRESS)
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script],
        env={**kept, **own, "PATH": path},
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    said = "\n".join(
        (tmp_path / name).read_text() for name in ("ray.out", "job.out") if (tmp_path / name).exists()
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}\n{said[-5000:]}"
    assert "the job ended with 0" in done.stdout, said
    assert "queued as request " in done.stdout
    assert "carries it out at the next report of a trial" in done.stdout

    stored = read_records(tmp_path / "studies" / "small")
    assert pending_requests(stored.attributes) == []
    first, *others = stored.records
    assert (first.name, first.status, first.stop.rule) == ("endless", "stopped", "request")
    assert {record.status.value for record in others} == {"complete"}
    assert [record.params["n_factors"] for record in others if record.request] == [WANTED["n_factors"]]
    assert sum(record.request is None for record in others) == TRIALS
    assert [record.number for record in others if record.excluded] == [1]
