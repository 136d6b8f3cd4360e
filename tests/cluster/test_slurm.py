"""`examples/slurm.sh` on a real SLURM: a controller and two nodes, in a network of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, STUDY, write_interactions
from tuner.reporting.leaderboard import load_leaderboard

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare", "ip")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.geteuid() != 0
        or any(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None for name in PROGRAMS),
        reason="needs root, slurm-wlm and munge of Debian, and iproute2",
    ),
]

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={site}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SlurmctldTimeout=300
SlurmdTimeout=300
StateSaveLocation={site}/state
SlurmdSpoolDir={site}/spool.%n
SlurmctldPidFile={site}/slurmctld.pid
SlurmdPidFile={site}/slurmd.%n.pid
SlurmctldLogFile={site}/slurmctld.log
SlurmdLogFile={site}/slurmd.%n.log
NodeName=n[1-2] NodeHostname={host} NodeAddr={address} Port=[17001-17002] CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
HOST, ADDRESS = os.uname().nodename.partition(".")[0], "10.9.9.1"
#: Starts SLURM in the network of this process, then runs a job and waits for it. Everything ends with it.
SITE_SCRIPT = """
set -u
ip link set lo up
ip link add site type veth peer name other && ip address add {address}/24 dev site
ip link set site up && ip link set other up
cd {site}
printf '127.0.0.1 localhost\\n{address} {host}\\n' > hosts && mount --bind hosts /etc/hosts
export SLURM_CONF={site}/slurm.conf PATH=$PATH:/usr/sbin
head -c 128 /dev/urandom > munge.key && chmod 600 munge.key
munged --foreground --force --num-threads=2 --socket={site}/munge.socket --key-file={site}/munge.key \\
    --pid-file={site}/munge.pid --log-file={site}/munge.log --seed-file={site}/munge.seed &
until [ -S munge.socket ]; do sleep 0.1; done
slurmctld -D &
slurmd -D -N n1 &
slurmd -D -N n2 &
until [ "$(sinfo -h -o %T)" = idle ]; do sleep 0.5; done
cd {folder}
sbatch --wait --output={folder}/job.out --cpus-per-task=1 {script} study.yaml --trials 2
echo "the job ended with $?"
for _ in $(seq 300); do pgrep raylet >/dev/null || break; sleep 0.1; done
echo "left: $(pgrep -c raylet)"
"""


@pytest.fixture
def site() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # a short path, for sockets
    (folder / "state").mkdir()
    text = CONFIGURATION.format(host=HOST, address=ADDRESS, site=folder)
    (folder / "slurm.conf").write_text(text)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_study_runs_on_an_allocation(site: Path, tmp_path: Path) -> None:
    write_interactions(tmp_path / "clicks.csv")
    (tmp_path / "study.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 1"))
    script = SITE_SCRIPT.format(
        host=HOST, address=ADDRESS, site=site, folder=tmp_path, script=ROOT / "examples" / "slurm.sh"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script],
        env={**kept, "TUNER_ENV": str(Path(sys.executable).parents[1]), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )
    out = tmp_path / "job.out"
    said = out.read_text() if out.exists() else ""
    told = textwrap.indent(f"{done.stdout}\n{done.stderr[-3000:]}\n{said}", "  ")
    assert "the job ended with 0" in done.stdout, told
    assert "left: 0" in done.stdout, told
    assert said.count("Ray runtime started") == 2, told
    board = load_leaderboard(tmp_path / "studies" / "small")
    assert [row.status.value for row in board.rows] == ["complete"] * 4, told
