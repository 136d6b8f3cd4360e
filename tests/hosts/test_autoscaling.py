"""A study on a cluster that has no worker before it and none after it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.conftest import ROOT
from tests.hosts.hosts import hosts_up, why_no_hosts
from tests.integration.conftest import STUDY, write_interactions
from tuner.store import read_records

pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]

#: A module of the user's: its trials wait for one on another node, and the longest one until that has gone.
MEETING = """
import time
from pathlib import Path

import ray
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

MET = Path("/shared/met")


def wait_until(holds, otherwise):
    deadline = time.monotonic() + 100
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.2)


class Meeting(SASRecDataPreparator):
    def get_dataloader_train(self):
        MET.mkdir(exist_ok=True)
        (MET / ray.get_runtime_context().get_node_id()).touch()
        wait_until(lambda: len(list(MET.iterdir())) == 2, "no trial has run beside this one")
        return super().get_dataloader_train()


class Longest(Meeting):
    def get_dataloader_train(self):
        loader = super().get_dataloader_train()
        wait_until(lambda: ray.cluster_resources()["GPU"] == 1, "the other worker is still there")
        return loader
"""
SMALL = "cls: SASRecModel, n_factors: 16, n_heads: 1, n_blocks: 1, session_max_len: 8, batch_size: 64"
BASELINES = "\n".join(
    ["baselines:", "  - popular"]
    + [
        f"  - {{name: {name.lower()}, params: {{{SMALL}, data_preparator_type: meeting.{name}}}}}"
        for name in ("Meeting", "Longest")
    ]
)


def run_on_autoscaled(folder: Path, autoscaler: str, command: str) -> dict[str, Any]:
    """Run the study on a host of its own; return what was seen, with the study's folder."""
    with hosts_up(folder, ["solo"], number=1) as hosts:
        for name in ("tuner", "search_spaces", "tests"):
            shutil.copytree(ROOT / name, hosts.shared / name, ignore=shutil.ignore_patterns("__pycache__"))
        write_interactions(hosts.shared / "clicks.csv")
        (hosts.shared / "meeting.py").write_text(MEETING)
        study = STUDY.replace("baselines: [popular, sasrec]", BASELINES).replace("trials: 4", "trials: 2")
        study = study.replace("n_folds: 2", "n_folds: 1")  # two folds of the longest would hold both workers
        (hosts.shared / "study.yaml").write_text(study + "resources: {gpus_per_trial: 1}\n")
        said = hosts.run(
            "solo",
            "unset SSH_CLIENT SSH_CONNECTION SSH_TTY; cd /shared; export PYTHONPATH=/shared "
            f"PATH=~/tuner-env/bin:$PATH; python tests/hosts/autoscaled.py {autoscaler} "
            f"{command} --output /shared/studies",
            timeout=400,
        )
        return {**json.loads(said.splitlines()[-1]), "folder": hosts.shared / "studies" / "small"}


@pytest.mark.parametrize(
    ("autoscaler", "command"),
    [
        ("older", "run study.yaml --address auto"),
        ("newer", "submit study.yaml --address http://127.0.0.1:8265"),
    ],
    ids=["run, older autoscaler", "submit, newer autoscaler"],
)
def test_workers_come_for_trials_and_go(tmp_path: Path, autoscaler: str, command: str) -> None:
    why = why_no_hosts()
    if why is not None:
        pytest.skip(why)
    seen = run_on_autoscaled(tmp_path, autoscaler, command)
    assert seen["code"] == 0, seen["err"]
    assert (seen["first"], seen["most"], seen["last"]) == (0, 2, 0), "GPUs before, at most, and after"
    assert {words.split()[0] for words in seen["held"]} == {"actor", "placement", "object"}
    assert seen["remains"] == [], "nothing of the study keeps a worker"

    records = read_records(seen["folder"]).records
    assert [record.status for record in records] == ["complete"] * 5
    assert {record.name for record in records} == {"popular", "meeting", "longest", None}

    said = seen["err"].splitlines()
    waits = "search: 2 trials at once, none before the autoscaler has brought machines; results in"
    (line,) = [number for number, words in enumerate(said) if words.startswith(waits)]
    assert "trial 0 popular: " in said[line + 1], "nothing more is said until the first trial has ended"
    # Tune, which was made impatient, did complain meanwhile, but where nobody has to read it.
    complaint = "Ignore this message if the cluster is autoscaling"
    assert complaint in (seen["folder"] / "logs" / "driver.log").read_text()
    for words in (complaint, "WARNING", "ERROR", "(autoscaler", "Traceback"):
        assert words not in seen["err"] + seen["out"]
