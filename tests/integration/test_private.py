"""A search is private: one user runs it under umask 000, another one tries all its listeners and files.

While its only trial waits, a second driver wants the same study, and Ctrl-C ends the first one.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import ONE_WORKER, PATIENCE, STUDY, Small, write_interactions
from tests.integration.test_kill import check_complete, ended

pytestmark = [pytest.mark.ray, pytest.mark.slow]

#: A layer that waits in its first step until the tests have looked around.
WAITS = """
import time
from pathlib import Path
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers

HERE = Path(__file__).parent


class Waits(PreLNTransformerLayers):
    def forward(self, *args, **kwargs):
        (HERE / "waits").touch()
        while not (HERE / "go").exists():
            time.sleep(0.05)
        return super().forward(*args, **kwargs)
"""
BASELINES = (
    "[popular, {name: waits, params: {cls: SASRecModel, n_factors: 8, session_max_len: 8, "
    "transformer_layers_type: mine.Waits}}]"
)
SETTINGS = "training={epochs: 1, keep_checkpoints: 1}"
RUN = ("run", "study.yaml", "--trials", "2", "--set", SETTINGS, *ONE_WORKER)
#: Files of the user with names of modules that workers, Ray or torch import.
SHADOWS = ("queue.py", "statistics.py", "yaml.py")
#: Run with the rights of root at first, to import its modules wherever they are; then as another user.
STRANGER = """
import json, os, socket, sys, urllib.error, urllib.request
import grpc

known = json.load(sys.stdin)
METHODS = [
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.ReporterService/GetTraceback",
]


def tried(act):
    try:
        return repr(act())[:200]
    except grpc.RpcError as error:
        return error.code().name
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except Exception as error:
        return type(error).__name__


def called(port, method):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return channel.unary_unary(method)(b"", timeout=5)


def posted(port):
    body = json.dumps({"entrypoint": "id > /tmp/taken"}).encode()
    url = f"http://127.0.0.1:{port}/api/job_agent/jobs/"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=5).read()


def connected(path):
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect(path)


def all_tried(kind, *acts):
    return {one: [tried(lambda: act(one)) for act in acts] for one in known[kind]}


called_once = tried(lambda: called(1, METHODS[0])), tried(lambda: posted(1))  # imports what they need
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
json.dump(
    {
        "ports": all_tried("ports", *(lambda p, m=m: called(p, m) for m in METHODS), posted),
        "files": all_tried("files", lambda f: open(f, "rb").read(9)),
        "folders": all_tried("folders", os.listdir, lambda f: open(f"{f}/x", "w")),
        "sockets": all_tried("sockets", connected),
        "processes": all_tried("processes", lambda p: open(f"/proc/{p}/environ", "rb").read(9)),
    },
    sys.stdout,
)
"""


@dataclass(frozen=True)
class Seen:
    """What was seen of a search.

    Attributes
    ----------
    listeners
        Address, port and process of each listening socket while the search ran.
    commands
        Command lines of its processes.
    token
        The token of its Ray.
    wide
        Files and folders on which others had rights, while it ran and in the end.
    n_files
        Number of files that were looked at.
    stranger
        What another user got; None without root.
    driver
        Process that ran the search.
    second, interrupted
        A second driver of the study while it ran, and the first one, which was interrupted after that.
    results
        The study, which another run has continued to its end.
    home, left
        Files in the user's home that are no cache of a report's script, and names in the folder for temporary
        files, in the end.
    """

    listeners: list[tuple[str, int, str]]
    commands: list[str]
    token: str
    wide: list[str]
    n_files: int
    stranger: dict[str, dict[str, list[str]]] | None
    driver: int
    second: subprocess.CompletedProcess[str]
    interrupted: subprocess.CompletedProcess[str]
    results: Small
    home: list[str]
    left: list[str]


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    place = Path(tempfile.mkdtemp(prefix="p"))  # a short path, which others can enter
    for folder in (place, place / "home", place / "t"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    write_interactions(place / "clicks.csv")
    (place / "study.yaml").write_text(STUDY.replace("[popular, sasrec]", BASELINES))
    (place / "mine.py").write_text(WAITS)
    for name in SHADOWS:
        (place / name).write_text("raise RuntimeError('this is not the module of Python')\n")
    yield _look(Small(place), uuid.uuid4().hex)
    shutil.rmtree(place)


def _look(small: Small, mark: str) -> Seen:
    place = small.folder
    run = _start(small, mark, *RUN)
    try:
        while not ((place / "waits").exists() and ended(small)):  # `popular` is complete
            assert run.poll() is None, run.communicate()[1]
            time.sleep(0.1)
        ours = [one for one in psutil.process_iter() if _environment(one).get("MARK") == mark]
        listeners = [
            (one.laddr.ip, one.laddr.port, process.name())
            for process in ours
            for one in process.net_connections(kind="tcp")
            if one.status == psutil.CONN_LISTEN
        ]
        commands = [" ".join(process.cmdline()) for process in ours]
        token = next(filter(None, (_environment(one).get("RAY_AUTH_TOKEN") for one in ours)))
        (ray,) = (place / "t").glob("tuner-ray-*")
        files = [ray, *_below(small.results)]
        wide = _wide(files)
        known = [small.results, *_below(small.results), ray, *_below(ray)]
        stranger = _stranger(known, listeners, ours) if os.geteuid() == 0 else None
        second = small.tuner(*RUN)
    finally:
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    interrupted = subprocess.CompletedProcess(run.args, run.returncode, out, err)
    (place / "go").touch()
    for command in (RUN, ("export", "studies/small", "best", "--to", "model"), ("report", "studies/small")):
        done = _start(small, mark, *command)
        _, err = done.communicate(timeout=PATIENCE)
        assert done.returncode == 0, err
    made = [place / "studies", *_below(place / "studies"), place / "model", *_below(place / "model")]
    script = place / "home" / ".cache" / "rectools-tuner"
    made += [script, *_below(script)]
    home = [str(path) for path in _below(place / "home") if path.is_file() and path.parent != script]
    left = [path.name for path in (place / "t").iterdir()]
    return Seen(
        listeners,
        commands,
        token,
        wide + _wide(made),
        len(made),
        stranger,
        run.pid,
        second,
        interrupted,
        small,
        home,
        left,
    )


def _start(small: Small, mark: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `tuner` with the widest umask, and a home and a folder for temporary files of its own."""
    own = {"HOME": str(small.folder / "home"), "TMPDIR": str(small.folder / "t"), "MARK": mark}
    rays = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_TMPDIR")
    return subprocess.Popen(
        small.command(*arguments),
        cwd=small.folder,
        env={name: value for name, value in small.environment().items() if name not in rays} | own,
        umask=0,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _wide(paths: Iterable[Path]) -> list[str]:
    """Return the paths on which others than the owner have rights."""
    return [f"{path} {path.stat().st_mode:o}" for path in paths if path.stat().st_mode & 0o077]


def _stranger(
    paths: list[Path], listeners: list[tuple[str, int, str]], ours: list[psutil.Process]
) -> dict[str, dict[str, list[str]]]:
    known = {
        "ports": sorted({port for _, port, _ in listeners}),
        "files": [str(path) for path in paths if path.is_file()],
        "folders": [str(path) for path in paths if path.is_dir()],
        "sockets": [str(path) for path in paths if path.is_socket()],
        "processes": [process.pid for process in ours],
    }
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        input=json.dumps(known),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_local_search_listens_on_loopback_alone(seen: Seen) -> None:
    assert {name for *_, name in seen.listeners} >= {"gcs_server", "raylet"}
    assert 52365 not in {port for _, port, _ in seen.listeners}, "two searches at once would both want it"
    addresses = {one[0].removeprefix("::ffff:") for one in seen.listeners}  # an IPv4 address in one of IPv6
    assert [one for one in addresses if not ipaddress.ip_address(one).is_loopback] == []


def test_modules_of_the_user_do_not_replace_those_of_python(seen: Seen) -> None:
    """A `queue.py` made every worker die, and Ray waited without a word."""
    owners = {"queue.py": "Python", "statistics.py": "Python", "yaml.py": "an installed package"}
    for name, owner in owners.items():
        assert f"warning: {name} has the name of a module of {owner}" in seen.interrupted.stderr


def test_its_token_is_its_own_and_on_no_command_line(seen: Seen) -> None:
    assert len(seen.token) == 64
    assert [line for line in seen.commands if seen.token in line] == []
    assert seen.home == [], "no token in the home"
    assert [name for name in seen.left if "ray" in name] == [], "Ray's folder is gone"


def test_its_files_are_its_owners_whatever_the_umask(seen: Seen) -> None:
    assert seen.n_files > 20
    assert seen.wide == []


def test_another_user_gets_nothing(seen: Seen) -> None:
    if seen.stranger is None:
        pytest.skip("to become another user needs root")
    gone = {"FileNotFoundError", "ProcessLookupError"}  # workers and files that end while others are tried
    for kind in ("files", "folders", "sockets", "processes"):
        answers = seen.stranger[kind]
        found = {answer for each in answers.values() for answer in each}
        assert found - gone == {"PermissionError"}, answers
    for port, answers in seen.stranger["ports"].items():
        refused = {"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE", "HTTP 401", "BadStatusLine"}
        assert set(answers) <= refused, (port, answers)
        assert {"UNAUTHENTICATED", "HTTP 401"}.intersection(answers), (port, answers)


def test_a_second_driver_is_refused(seen: Seen) -> None:
    assert seen.second.returncode == 2
    assert f"process {seen.driver} on" in seen.second.stderr


def test_ctrl_c_keeps_what_is_finished(seen: Seen) -> None:
    done = seen.interrupted
    assert (done.returncode, done.stdout) == (130, "")
    assert "interrupted; finished trials are kept\n  run the same command to continue" in done.stderr
    assert "Traceback" not in done.stderr
    check_complete(seen.results, 2)
