"""Three hosts, and a cluster on them made from `cluster.yaml` by Ray's own launcher."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.hosts.hosts import Hosts, hosts_up, wait_until, why_no_hosts

ROOT = Path(__file__).parents[2]
#: Sections of `cluster.yaml` that belong to a provider.
OF_PROVIDER = ("provider", "auth", "max_workers", "head_node_type", "available_node_types")


@dataclass(frozen=True)
class Laptop:
    """A machine outside the cluster: a home, a working folder, and `tuner` in it."""

    home: Path
    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNER_"))}
        bin_folder = str(Path(sys.executable).parent)
        own = {"HOME": str(self.home), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
        return {**kept, **own, "PATH": f"{bin_folder}:{kept['PATH']}", **more}

    def command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tuner.cli", name, *arguments, "--address", self.address]

    def tuner(
        self, name: str, *arguments: str, timeout: float = 240, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return self.run(self.command(name, *arguments), timeout=timeout, **more)

    def run(
        self, command: list[str], *, timeout: float = 240, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self, name: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start `tuner` in a process group of its own, its output in a file."""
        with log.open("wb") as file:
            return subprocess.Popen(
                self.command(name, *arguments),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )


@pytest.fixture(scope="session")
def wheels() -> Iterator[Callable[[Path], None]]:
    """What pip needs to build this project on hosts that reach no registry."""

    def fill(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        subprocess.run([*command, "-d", str(folder), "hatchling"], check=True, capture_output=True)

    return fill


@pytest.fixture(scope="session")
def hosts(tmp_path_factory, wheels) -> Iterator[Hosts]:
    why = why_no_hosts()
    if why is not None:
        pytest.skip(why)
    with hosts_up(tmp_path_factory.mktemp("hosts"), ["head", "one", "two"]) as up:
        wheels(up.shared / "wheels")
        yield up


def local_config(hosts: Hosts) -> dict[str, Any]:
    """Return `cluster.yaml` with the provider's sections exchanged, and nothing else."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    for key in OF_PROVIDER:
        config.pop(key)
    head, *workers = (host.address for host in hosts.named.values())
    return {
        **config,
        "provider": {"type": "local", "head_ip": head, "worker_ips": workers},
        "auth": {"ssh_user": "root", "ssh_private_key": str(hosts.key)},
    }


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs on the hosts."""

    hosts: Hosts
    laptop: Laptop
    config: Path

    def ray(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("ray")), *arguments]
        # Its newer autoscaler starts one of two workers of a local provider, and stays there.
        done = self.laptop.run(command, timeout=timeout, RAY_UP_enable_autoscaler_v2="0")
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done

    def n_nodes(self) -> int:
        """Ask the dashboard how many nodes are alive; 0 while it cannot be asked."""
        token = (self.laptop.home / ".ray" / "auth_token").read_text()
        address = f"{self.laptop.address}/api/v0/nodes"
        try:
            with urlopen(
                Request(address, headers={"Authorization": f"Bearer {token}"}), timeout=30
            ) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
        except (OSError, HTTPException):
            return 0
        return sum(node["state"] == "ALIVE" for node in nodes)

    def start_worker(self, name: str) -> None:
        """Make a host that was started anew, with an empty disk, a node by the commands of `cluster.yaml`."""
        plain = yaml.safe_load(self.config.read_text())
        home = self.hosts.shared / name
        shutil.copytree(self.laptop.home / ".ray", home / ".ray", dirs_exist_ok=True)

        def ignore(folder: str, names: list[str]) -> set[str]:
            # Only at the root: `tuner.data` is a package.
            at_root = {".venv", ".git", "data", "studies"} if Path(folder) == ROOT else set()
            return {name for name in names if name in at_root or name == "__pycache__"}

        shutil.copytree(ROOT, home / "rectools-tuner", dirs_exist_ok=True, ignore=ignore)
        head = next(iter(self.hosts.named.values())).address
        commands = [
            f"cp -r /shared/{name}/. ~/",
            *plain["setup_commands"],
            *plain["worker_start_ray_commands"],
        ]
        for command in commands:
            self.hosts.run(name, f"export RAY_HEAD_IP={head}; {command}", timeout=600)

    def wait_nodes(self, number: int, *, seconds: float = 400) -> None:
        wait_until(lambda: self.n_nodes() == number, f"there never were {number} nodes", seconds=seconds)


@pytest.fixture(scope="session")
def laptop(tmp_path_factory) -> Laptop:
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    token = subprocess.run(
        ["openssl", "rand", "-hex", "32"], capture_output=True, text=True, check=True
    ).stdout
    (home / ".ray" / "auth_token").write_text(token.strip())
    return Laptop(home, tmp_path_factory.mktemp("work"), 18265)


@pytest.fixture(scope="session")
def cluster(hosts: Hosts, laptop: Laptop) -> Iterator[Cluster]:
    """The cluster, up from the first test that asks for it; and the tunnel to its dashboard."""
    config = laptop.home / "cluster.yaml"
    plain = local_config(hosts)
    plain["file_mounts"] = {
        key: str(ROOT) if value == "." else value for key, value in plain["file_mounts"].items()
    }
    plain["cluster_name"] = f"tuner-test-{os.getpid()}"
    config.write_text(yaml.safe_dump(plain, sort_keys=False))
    up = Cluster(hosts, laptop, config)
    up.ray("up", "-y", "--no-config-cache", str(config))
    tunnel = subprocess.Popen(
        hosts.ssh("head", "-N", "-L", f"{laptop.port}:127.0.0.1:8265"), stdin=subprocess.DEVNULL
    )
    try:
        up.wait_nodes(3)
        yield up
        up.ray("down", "-y", str(config))
    finally:
        tunnel.kill()
        tunnel.wait()
