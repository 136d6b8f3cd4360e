"""Several hosts on this machine: each has its own network, processes, root folder, `/tmp`, home and sshd.

They stand on a bridge of their own, on which this machine has an address too: it is the laptop. Nothing
leads from them to the internet.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Host", "Hosts", "hosts_up", "why_no_hosts"]

_PREFIX = "tnr"
_INIT = Path(__file__).with_name("host_init.py")


def why_no_hosts() -> str | None:
    """Return why this machine cannot make hosts, None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts are made from namespaces, which takes Linux and root"
    missing = [
        name for name in ("ip", "ssh", "ssh-keygen", "rsync", "unshare", "nsenter") if not shutil.which(name)
    ]
    missing += [] if Path("/usr/sbin/sshd").exists() else ["sshd"]
    if missing:
        return f"hosts need {', '.join(missing)}: apt-get install iproute2 openssh-server rsync"
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False).returncode:
        return "this machine, a container perhaps, allows no namespaces"
    return None


@dataclass
class Host:
    """One host.

    Attributes
    ----------
    name, address
        Its name, and its IPv4 address on the bridge.
    process
        Its first process, seen from here: a host dies with it.
    """

    name: str
    address: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def link(self) -> str:
        """This machine's end of the host's cable."""
        return f"{_PREFIX}-{self.name}"


@dataclass
class Hosts:
    """All hosts, and what lies in the folder that they share.

    Attributes
    ----------
    folder
        Of this set-up; ``shared`` in it is `/shared` on every host.
    named
        Hosts by name; the first is the head.
    number
        Of the set-up, where there are several at once.
    """

    folder: Path
    named: dict[str, Host] = field(default_factory=dict)
    number: int = 0

    @property
    def bridge(self) -> str:
        """Name of the bridge that they stand on."""
        return f"{_PREFIX}br{self.number}"

    @property
    def network(self) -> str:
        """Begin of their addresses; this machine's ends in 1."""
        return f"10.143.{86 + self.number}"

    @property
    def shared(self) -> Path:
        """What every host sees as `/shared`."""
        return self.folder / "shared"

    @property
    def key(self) -> Path:
        """Private key that opens every host."""
        return self.folder / "key"

    def ssh(self, name: str, *arguments: str) -> list[str]:
        """Return the command that runs another one on a host."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options += ["ConnectTimeout=5", "IdentitiesOnly=yes"]
        given = [part for option in options for part in ("-o", option)]
        return ["ssh", *given, "-i", str(self.key), f"root@{self.named[name].address}", *arguments]

    def run(self, name: str, command: str, *, timeout: float = 120) -> str:
        """Run a shell command on a host; return what it says.

        Raises
        ------
        AssertionError
            If it fails, with all that it said.
        """
        ran = subprocess.run(
            self.ssh(name, command), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert ran.returncode == 0, f"{name}: {command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def boot(self, name: str) -> None:
        """Start a host that is off, with an empty disk, and wait for its sshd."""
        host = self.named[name]
        state = self.folder / name
        state.mkdir(exist_ok=True)
        plan = {
            "name": name,
            "state": str(state),
            "shared": str(self.shared),
            "python": _python_folders(),
            "hosts": "127.0.0.1 localhost\n"
            + "".join(f"{other.address} {other.name}\n" for other in self.named.values()),
        }
        inside = ["nsenter", f"--net=/run/netns/{host.link}", "unshare", "--mount", "--pid", "--uts", "--ipc"]
        inside += ["--fork", "--kill-child", sys.executable, str(_INIT), json.dumps(plan)]
        with (self.folder / f"{name}.log").open("wb") as log:
            host.process = subprocess.Popen(
                inside, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: self._answers(name), f"{name} does not answer; see {log.name}")
        self.run(name, _MAKE_ENVIRONMENT.format(python=sys._base_executable, paths=repr(_site_folders())))

    def _answers(self, name: str) -> bool:
        process = self.named[name].process
        assert process is not None
        assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        asked = subprocess.run(self.ssh(name, "true"), capture_output=True, timeout=20, check=False)
        return asked.returncode == 0

    def kill(self, name: str) -> None:
        """End a host at once, with all that runs on it, as a lost machine does."""
        process = self.named[name].process
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            self.named[name].process = None

    def cut(self, name: str) -> None:
        """Pull a host's network cable."""
        _ip("link", "set", self.named[name].link, "down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        _ip("link", "set", self.named[name].link, "up")


#: An environment that sees the packages of the one which runs the tests, as an image made for it would.
_MAKE_ENVIRONMENT = """
set -e
{python} -m venv --without-pip ~/tuner-env
~/tuner-env/bin/python - <<'END'
import site, pathlib
pathlib.Path(site.getsitepackages()[0], "image.pth").write_text("\\n".join({paths}))
END
printf '#!%s\nfrom ray.scripts.scripts import main\nmain()\n' ~/tuner-env/bin/python >~/tuner-env/bin/ray
chmod +x ~/tuner-env/bin/ray
"""


def _site_folders() -> list[str]:
    return [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]


def _python_folders() -> list[str]:
    return [sys.base_prefix, *_site_folders()]


def wait_until(holds: Callable[[], object], otherwise: str, *, seconds: float = 60) -> None:
    """Wait for something to hold; fail with `otherwise` if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


@contextmanager
def hosts_up(folder: Path, names: Sequence[str], number: int = 0) -> Iterator[Hosts]:
    """Start hosts; end them and all that they run afterwards."""
    hosts = Hosts(folder, number=number)
    for last, name in enumerate(names, 10):
        hosts.named[name] = Host(name, f"{hosts.network}.{last}")
    (hosts.shared / "ssh").mkdir(parents=True)
    (hosts.shared / "wheels").mkdir()
    for path in (hosts.key, hosts.shared / "ssh" / "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    shutil.copy(hosts.key.with_suffix(".pub"), hosts.shared / "ssh" / "key.pub")
    _unplug(hosts)  # what an earlier run may have left when it was killed
    try:
        _ip("link", "add", hosts.bridge, "type", "bridge")
        _ip("address", "add", f"{hosts.network}.1/24", "dev", hosts.bridge)
        _ip("link", "set", hosts.bridge, "up")
        for host in hosts.named.values():
            _plug_in(host, hosts)
        for name in hosts.named:
            hosts.boot(name)
        yield hosts
    finally:
        for name in hosts.named:
            with suppress(subprocess.SubprocessError):
                hosts.kill(name)
        _unplug(hosts)


def _plug_in(host: Host, hosts: Hosts) -> None:
    inside = ("-n", host.link)
    _ip("netns", "add", host.link)
    _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.link)
    _ip("link", "set", host.link, "master", hosts.bridge, "up")
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")
    _ip(*inside, "route", "add", "default", "via", f"{hosts.network}.1")


def _unplug(hosts: Hosts) -> None:
    for host in hosts.named.values():
        _ip("link", "delete", host.link, check=False)
        _ip("netns", "delete", host.link, check=False)
    _ip("link", "delete", hosts.bridge, check=False)
