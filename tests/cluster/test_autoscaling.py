"""A study on a cluster that has no worker before it and none after it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT
from tests.cluster.hosts import hosts_up, why_no_hosts
from tests.integration.conftest import STUDY, write_interactions

pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.mark.xfail(strict=False, reason="both workers come; Ray's autoscaler does not take them away here")
def test_workers_come_for_trials_and_go(tmp_path: Path) -> None:
    why = why_no_hosts()
    if why is not None:
        pytest.skip(why)
    with hosts_up(tmp_path, ["solo"], number=1) as hosts:
        for name in ("tuner", "search_spaces", "tests"):
            shutil.copytree(ROOT / name, hosts.shared / name, ignore=shutil.ignore_patterns("__pycache__"))
        write_interactions(hosts.shared / "clicks.csv")
        more = "resources: {gpus_per_trial: 1}\n"
        (hosts.shared / "study.yaml").write_text(STUDY + more)
        said = hosts.run(
            "solo",
            "unset SSH_CLIENT SSH_CONNECTION SSH_TTY; cd /shared; export PYTHONPATH=/shared "
            "PATH=~/tuner-env/bin:$PATH; python tests/cluster/autoscaled.py study.yaml /shared/studies",
            timeout=900,
        )
    seen = json.loads(said.splitlines()[-1])
    assert (seen["first"], seen["most"], seen["last"]) == (0, 2, 0)
    assert seen["slots"] == 2, "trials wait for as many workers as the autoscaler may bring"
    assert seen["states"] == ["complete"] * 6
