"""The first process of one host: gives it a root of its own over this machine's, then becomes its sshd.

Started by `tests.hosts.hosts` inside new mount, PID, UTS and IPC namespaces. What a host writes lies in
memory and goes when it dies; only `/shared` is one folder for all hosts, as a network file system would be.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def new_root(state: Path) -> Path:
    """Lay a writable layer over this machine's root; processes of other hosts are not to be seen in it."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "size=6g", "tuner-test", state)
    upper, work, root = (state / name for name in ("upper", "work", "root"))
    for folder in (upper, work, root):
        folder.mkdir()
    mount("-t", "overlay", "tuner-test", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", root)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "sysfs", "-o", "ro", "sysfs", root / "sys")
    mount("--rbind", "/dev", root / "dev")
    for folder, size in (("dev/shm", "1g"), ("tmp", "2g"), ("run", "64m")):
        mount("-t", "tmpfs", "-o", f"size={size},mode=1777", "tuner-test", root / folder)
    return root


def share(root: Path, source: str, target: str) -> None:
    """Let the host see a folder of this machine that the layer does not show: one on another disk."""
    place = root / target.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    if target == "/shared" or not any(place.iterdir()):
        mount("--bind", source, place)


def main() -> None:
    plan = json.loads(sys.argv[1])
    root = new_root(Path(plan["state"]))
    share(root, plan["shared"], "/shared")
    for folder in plan["python"]:
        share(root, folder, folder)
    home = root / str(Path.home()).lstrip("/")
    for name in (".bash_profile", ".profile", ".bash_login"):
        (home / name).unlink(missing_ok=True)
    (home / ".bashrc").write_text("")
    subprocess.run(["rm", "-rf", home / ".ray", home / "tuner-env"], check=True)
    (root / "etc/hosts").write_text(plan["hosts"])
    subprocess.run(["rm", "-rf", home / ".pip", root / "etc/pip.conf", root / "etc/xdg/pip"], check=True)
    (home / ".config/pip").mkdir(parents=True, exist_ok=True)
    (home / ".config/pip/pip.conf").write_text("[global]\nno-index = true\nfind-links = /shared/wheels\n")
    (root / "run/sshd").mkdir(mode=0o755)
    socket.sethostname(plan["name"])
    os.chroot(root)
    os.chdir("/")
    options = {
        "HostKey": "/shared/ssh/host_key",
        "AuthorizedKeysFile": "/shared/ssh/key.pub",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "UsePAM": "no",
        "UseDNS": "no",
        "PidFile": "none",
        "MaxStartups": "100",
    }
    given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    os.execv("/usr/sbin/sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *given])


main()
