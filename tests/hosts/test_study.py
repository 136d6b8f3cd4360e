"""A study on a cluster that `ray up` makes from `cluster.yaml` on real hosts, with another provider."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.hosts.conftest import ROOT, Cluster, Laptop
from tests.hosts.hosts import wait_until
from tests.integration.conftest import STUDY, write_interactions
from tuner.reporting.leaderboard import load_leaderboard
from tuner.store import read_records
from tuner.trials.stored import TrialRecord

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(2400),
]


BEAUTY = ROOT.parent / "shared" / "data" / "amazon-beauty-5core" / "interactions.parquet"
BEAUTY_STUDY = """
study: beauty
data: {interactions: beauty.parquet, min_user_interactions: 5, min_item_interactions: 10}
folds: {split: last_n, size: 1, n_folds: 1, holdout: 1}
metrics:
  objective: {NDCG@10: {divide_by_achievable: true}}
  direction: maximize
  report: [HitRate@10, Serendipity@10, CoveredUsers@10, Intersection@10, own_metrics.Half@10]
  reference: popular
space:
  use: search_spaces.guide
  set:
    cls: SASRecModel
    loss: BCE
    n_factors: 16
    n_heads: 1
    n_blocks: 1
    session_max_len: 10
    batch_size: 512
    lr: {float: [0.001, 0.01], log: true}
baselines:
  - popular
  - {name: small, params: {cls: SASRecModel, loss: BCE, n_factors: 16, n_heads: 1, n_blocks: 1,
     session_max_len: 10, batch_size: 512, lr: 0.003}}
search: {trials: 3, seed: 60}
training: {epochs: 8}
stopping: false
"""


#: A module of the user's that every node has to find.
METRIC = """
class Half:
    def __init__(self, k: int) -> None:
        self.k = k

    def calc(self, reco) -> float:
        return 0.5
"""
#: One that no process may import: it has the name of a module of Python.
SHADOW = 'raise RuntimeError("this is not Python\'s queue")\n'


def write_study(cluster: Cluster, name: str, more: str = "") -> str:
    """Write a study file of this name on the laptop."""
    folder = cluster.laptop.folder
    if not (folder / "clicks.csv").exists():
        write_interactions(folder / "clicks.csv")
    (folder / f"{name}.yaml").write_text(STUDY.replace("study: small", f"study: {name}") + more)
    return f"{name}.yaml"


def lines(log: Path, words: str) -> int:
    return log.read_text(errors="replace").count(words)


def write_beauty_study(cluster: Cluster) -> str:
    """Write a small study of Amazon Beauty beside its data and modules."""
    if not BEAUTY.exists():
        pytest.skip(f"needs Amazon Beauty in {BEAUTY}")
    shutil.copy(BEAUTY, cluster.laptop.folder / "beauty.parquet")
    (cluster.laptop.folder / "beauty.yaml").write_text(BEAUTY_STUDY)
    (cluster.laptop.folder / "own_metrics.py").write_text(METRIC)
    (cluster.laptop.folder / "queue.py").write_text(SHADOW)
    return "beauty.yaml"


def test_a_study_of_beauty_submitted_client_killed_attached_read_and_fetched(
    cluster: Cluster, tmp_path: Path
) -> None:
    laptop = cluster.laptop
    study = write_beauty_study(cluster)
    client = laptop.start("submit", study, "--output", "/shared/studies", log=tmp_path / "client.log")
    wait_until(lambda: lines(tmp_path / "client.log", "NDCG@10"), "no trial ended", seconds=600)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()

    attached = laptop.tuner("attach", "beauty", timeout=900)
    assert attached.returncode == 0, attached.stderr
    assert "the search ends: 3 trials are done" in attached.stderr
    assert attached.stdout.count("complete") == 5

    board = laptop.tuner("leaderboard", "beauty")
    assert board.returncode == 0, board.stderr
    assert board.stdout.splitlines()[0].startswith("rank")
    assert board.stdout.count("complete") == 5

    fetched = laptop.tuner("fetch", "beauty")
    assert fetched.returncode == 0, fetched.stderr
    here = laptop.folder / "studies" / "beauty"
    records = read_records(here).records
    assert [record.status for record in records] == ["complete"] * 5
    assert {record.evaluations[-1].metrics["Half@10"] for record in records} == {0.5}
    assert len(list((here / "logs").glob("trial-*.log"))) == 5
    assert load_leaderboard(here).best is not None
    hosts = {attempt.host for record in records for attempt in record.attempts}
    assert hosts <= {"one", "two"}, "no trial runs on the head"
    look_at_what_was_fetched(laptop, here)

    again = laptop.tuner("submit", study, "--trials", "4", timeout=600)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("complete") == 6, "submitting a study that exists continues it"


def look_at_what_was_fetched(laptop: Laptop, here: Path) -> None:
    """Read a fetched study as TensorBoard does, and make its report."""
    runs = [run for run in (here / "tensorboard").iterdir() if any(run.glob("events.out.tfevents.*"))]
    assert len(runs) == 5
    for run in runs:
        assert EventAccumulator(str(run)).Reload().Tags()["scalars"], run
    report = laptop.run([sys.executable, "-m", "tuner.cli", "report", "studies/beauty"])
    assert report.returncode == 0, report.stderr
    page = (here / "report.html").read_text()
    assert "beauty" in page
    assert "NDCG@10" in page


NO_HOST, NO_SERVER = "http://10.143.86.99:8265", "http://127.0.0.1:9"
#: A client's own version of Ray, as `pip install` would have changed it.
OTHER_RAY = "import ray, sys; ray.__version__ = '2.59.0'; from tuner.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def took() -> Iterator[dict[str, float]]:
    """Seconds until each mistake was told."""
    seconds: dict[str, float] = {}
    yield seconds
    print("\n" + "\n".join(f"{found:6.1f} s  {name}" for name, found in seconds.items()))


def told(laptop: Laptop, command: list[str], took: dict[str, float], name: str, **environment: str) -> str:
    """Run what cannot work; return the error."""
    began = time.monotonic()
    done = laptop.run(command, timeout=120, **environment)
    took[name] = time.monotonic() - began
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        ({"RAY_AUTH_TOKEN": "wrong"}, (), "refuses the token of this machine"),
        ({"HOME": "/nonexistent"}, (), "but this machine has no token"),
        ({}, ("--address", NO_HOST), "must be a cluster that can be reached"),
        ({}, ("--address", NO_SERVER), "is the cluster up, and the tunnel open?"),
        ({}, ("--set", "resources.gpus_per_trial=2"), "no node offers GPU: 2; the largest has 0"),
        ({}, ("--set", "data.interactions=/nowhere/clicks.csv"), "there is no /nowhere/clicks.csv"),
        ({}, ("--output", "/proc/results"), "must be a folder that the cluster's head can write"),
        ({}, ("--set", "artifacts=/proc/artifacts"), "must be a place to write and read, but here"),
        ({}, ("--set", "artifacts=/srv/artifacts"), "on node one"),
    ],
    ids=[
        "wrong token",
        "no token",
        "no such host",
        "no server there",
        "resources that no node has",
        "data absent on the head",
        "results that cannot be written",
        "artifacts that cannot be written",
        "artifacts that are not shared",
    ],
)
def test_what_cannot_work_is_told_with_its_cure(
    cluster: Cluster, took, request, environment, arguments, words
) -> None:
    study = write_study(cluster, "wrong")
    command = [*cluster.laptop.command("submit", study), *arguments]
    assert words in told(cluster.laptop, command, took, request.node.callspec.id, **environment)


@pytest.mark.parametrize("package", ["rectools", "rectools-tuner"])
def test_another_version_on_the_laptop_is_refused(
    cluster: Cluster, took, tmp_path: Path, package: str
) -> None:
    study = write_study(cluster, "wrong")
    metadata = tmp_path / f"{package.replace('-', '_')}-0.0.18.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.18\n")
    laptop = cluster.laptop
    path = f"{tmp_path}:{laptop.environment()['PYTHONPATH']}"
    error = told(laptop, laptop.command("submit", study), took, f"another {package}", PYTHONPATH=path)
    assert f"{package}: must be one version" in error
    assert "is 0.0.18 where you submitted it" in error


def test_another_ray_on_the_laptop_is_refused(cluster: Cluster, took) -> None:
    study = write_study(cluster, "wrong")
    laptop = cluster.laptop
    command = [sys.executable, "-c", OTHER_RAY, *laptop.command("submit", study)[3:]]
    error = told(laptop, command, took, "another ray", RAY_AUTH_MODE="token")  # asked for on import
    assert "must have the Ray of this machine, 2.59.0, but has" in error
    assert "pip install 'ray[default]==" in error


def test_a_module_that_workers_lack_is_told(cluster: Cluster, took) -> None:
    study = write_study(cluster, "wrong")
    layers = "from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers as Own\n"
    site = "~/tuner-env/lib/python3.*/site-packages"
    cluster.hosts.run("head", f"echo '{layers}' >$(echo {site})/head_only.py")
    (cluster.laptop.home / "elsewhere").mkdir(exist_ok=True)
    own = cluster.laptop.home / "elsewhere" / "site-packages"  # installed here as on the head: it is not sent
    own.mkdir(exist_ok=True)
    (own / "head_only.py").write_text(layers)
    path = f"{own}:{cluster.laptop.environment()['PYTHONPATH']}"
    change = "space.set.transformer_layers_type=head_only.Own"
    command = [*cluster.laptop.command("submit", study), "--set", "baselines=[]", "--set", change]
    error = told(cluster.laptop, command, took, "a module that workers lack", PYTHONPATH=path)
    assert "one: must have the module 'head_only', as the head has" in error
    assert "two: must have the module 'head_only', as the head has" in error


def test_stop_keeps_what_is_finished(cluster: Cluster, tmp_path: Path) -> None:
    study = write_study(cluster, "stopped")
    log = tmp_path / "client.log"
    client = cluster.laptop.start("submit", study, "--trials", "200", "--output", "/shared/studies", log=log)
    wait_until(lambda: lines(log, "NDCG@10"), "no trial ended", seconds=600)
    stopped = cluster.laptop.tuner("stop", "stopped")
    assert stopped.returncode == 0, stopped.stderr
    assert client.wait(timeout=120) == 130
    board = cluster.laptop.tuner("leaderboard", "stopped")
    assert "complete" in board.stdout


#: A module of the user's whose trials take a while and little of this machine.
SLOW = """
import time

from rectools.models.nn.transformers.sasrec import SASRecDataPreparator


class SlowPreparator(SASRecDataPreparator):
    def get_dataloader_train(self):
        time.sleep(5)
        return super().get_dataloader_train()
"""


def twenty() -> str:
    """Twenty small models that differ in a number, so that a trial's metrics do not depend on the others'."""
    params = "cls: SASRecModel, n_factors: 16, n_heads: 1, n_blocks: 1, session_max_len: 8, batch_size: 64"
    params += ", data_preparator_type: slow.SlowPreparator"
    models = [f"  - {{name: m{n}, params: {{{params}, lr: {0.0005 * (n + 1)}}}}}" for n in range(20)]
    return "\n".join(models)


def fixed_study(cluster: Cluster, name: str) -> str:
    study = write_study(cluster, name)
    path = cluster.laptop.folder / study
    (path.parent / "slow.py").write_text(SLOW)
    text = path.read_text().replace("baselines: [popular, sasrec]", f"baselines:\n{twenty()}")
    path.write_text(
        text.replace("reference: popular", "")
        .replace(", Intersection@10", "")
        .replace("epochs: 2", "epochs: 10")
    )
    return study


def outcome(record: TrialRecord) -> tuple[str | None, object]:
    assert record.summary is not None
    return record.name, record.summary.folds


def test_twenty_trials_through_lost_hosts_a_cut_cable_and_a_killed_driver(
    cluster: Cluster, tmp_path: Path
) -> None:
    laptop, hosts = cluster.laptop, cluster.hosts
    study = fixed_study(cluster, "faults")
    log = tmp_path / "first.log"
    arguments = (study, "--trials", "0", "--output", "/shared/studies")
    client = laptop.start("submit", *arguments, log=log)
    wait_until(lambda: lines(log, "NDCG@10") >= 2, "no trials ended", seconds=600)

    hosts.kill("one")
    wait_until(lambda: lines(log, "starts again"), "nobody noticed the lost host", seconds=300)
    hosts.boot("one")
    cluster.start_worker("one")
    cluster.wait_nodes(3)
    ended = lines(log, "NDCG@10")
    wait_until(lambda: lines(log, "NDCG@10") >= ended + 2, "no trials ended", seconds=600)

    begun = lines(log, "starts again")
    hosts.cut("two")
    cut_at = time.monotonic()
    wait_until(lambda: lines(log, "starts again") > begun, "nobody noticed the cut cable", seconds=300)
    # The brackets keep the pattern from finding the shell that holds it.
    hosts.run("head", "kill -9 $(pgrep -f '[p]ython -um tuner.cluster.on_head run')")
    assert client.wait(timeout=300) == 1
    assert "`tuner submit` of the same study continues" in log.read_text()
    again = laptop.start("submit", *arguments, log=tmp_path / "second.log")
    time.sleep(max(0.0, 90 - (time.monotonic() - cut_at)))
    hosts.mend("two")
    cluster.wait_nodes(3)  # the head starts Ray anew there, which had ended when it was given up
    assert again.wait(timeout=900) == 0, (tmp_path / "second.log").read_text()

    fetched = laptop.tuner("fetch", "faults")
    assert fetched.returncode == 0, fetched.stderr
    records = read_records(laptop.folder / "studies" / "faults").records
    assert [record.status for record in records] == ["complete"] * 20
    assert len({record.name for record in records}) == 20
    lost = [attempt for record in records for attempt in record.attempts if attempt.lost]
    assert {"one", "two"} <= {attempt.host for attempt in lost if attempt.by_machine}, lost
    assert not [attempt for attempt in lost if "worker died" in attempt.lost], "no trial is to blame"

    command = [sys.executable, "-m", "tuner.cli", "run", study, "--trials", "0", "--output", "undisturbed"]
    alone = laptop.run([*command, "--set", "resources.cpus_per_trial=0.5"], timeout=900)
    assert alone.returncode == 0, alone.stderr
    undisturbed = read_records(laptop.folder / "undisturbed" / "faults").records
    assert [outcome(record) for record in records] == [outcome(record) for record in undisturbed]
