"""The command line in a new process that has its imports already: a copy of one that made them once.

Python starts in a moment, and then imports for seconds what a command needs. This module, run as a program,
makes the imports and forks for each call. The fork is a process of its own: it has a session, a folder, an
environment, arguments and streams of its own, and it ends as Python ends. It differs from a new process in
what Python and libraries do as they start: warnings of imports, and variables that are read then, such as
`PYTHONPATH` and `OMP_NUM_THREADS`. `PYTHONIOENCODING` is heeded.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
#: What commands import. None of it starts a thread: only a process with one thread can be forked safely.
IMPORTS = (
    "tuner.cli",
    "tuner.workflows.commands",
    "tuner.workflows.search",
    "tuner.execution.tune",
    "rectools.models",
    "ray.tune",
)
#: The thread of Arrow's allocator, which prepares for a fork.
FORKS_WELL = "jemalloc_bg_thd"
#: Numbers as they are sent: the length of a request; the process, and then its exit code.
_LENGTH, _NUMBER = struct.Struct("!I"), struct.Struct("!i")


# ####  --------------  The side of a test  --------------  #### #


class _Warm:
    """The process that forks, and the socket that leads to it."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},  # no threads of BLAS
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the tests; this process ends when their socket does
            )

    def call(self, request: Mapping[str, object], streams: Sequence[int], timeout: float) -> int:
        """Let it fork for a request; return the exit code of the fork, in the form of `subprocess`."""
        text = json.dumps(request).encode()
        socket.send_fds(self.channel, [_LENGTH.pack(len(text))], streams)
        self.channel.sendall(text)
        pid = self._number()
        self.channel.settimeout(timeout)
        try:
            return self._number()
        except BaseException:  # Ctrl-C and the end of a test's time too: nobody else would end the fork
            self.channel.settimeout(None)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._number()
            raise
        finally:
            self.channel.settimeout(None)

    def _number(self) -> int:
        number = self.channel.recv(_NUMBER.size, socket.MSG_WAITALL)
        assert number, f"the process that forks has ended, with {self.process.wait()}"
        return int(_NUMBER.unpack(number)[0])


@functools.cache
def _warm() -> _Warm:
    return _Warm()


def run_warm(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: int | None = None,
    closed: Sequence[int] = (),
    timeout: float = 120,
) -> subprocess.CompletedProcess[bytes]:
    """Run `tuner` with these arguments as `subprocess.run` would, without the imports.

    Parameters
    ----------
    stdout
        A file for the results in place of a pipe.
    closed
        Numbers of the streams that are closed when it starts.
    timeout
        Seconds after which its session is killed and `subprocess.TimeoutExpired` is raised.
    """
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "closed": list(closed)}
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    with os.fdopen(out, "rb") as said, os.fdopen(err, "rb") as told, ThreadPoolExecutor(2) as pool:
        texts = [pool.submit(said.read), pool.submit(told.read)]
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            streams = [nothing, out_end if stdout is None else stdout, err_end]
            code = _warm().call(request, streams, timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(list(arguments), timeout) from None
        finally:
            for end in (nothing, out_end, err_end):
                os.close(end)
        return subprocess.CompletedProcess(list(arguments), code, *(text.result() for text in texts))


# ####  --------------  The process that forks  --------------  #### #


def _await_request(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request, and return in the fork with its request and streams. End when the tests end."""
    while True:
        head, streams, _, _ = socket.recv_fds(channel, _LENGTH.size, 3)
        if not head:
            sys.exit()
        request = json.loads(channel.recv(_LENGTH.unpack(head)[0], socket.MSG_WAITALL))
        pid = os.fork()
        if pid == 0:
            channel.close()
            return request, streams
        for stream in streams:
            os.close(stream)
        channel.sendall(_NUMBER.pack(pid))
        _, status = os.waitpid(pid, 0)
        channel.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Let this fork be the process that was asked for."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for number in request["closed"]:
        os.close(number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = str(Path.cwd())  # as `python -m` has it
    sys.argv[1:] = request["arguments"]
    encoding = os.environ.get("PYTHONIOENCODING") or None
    for number, name, mode, errors in (
        (0, "stdin", "r", "strict"),
        (1, "stdout", "w", "strict"),
        (2, "stderr", "w", "backslashreplace"),
    ):
        stream = None
        with suppress(OSError):  # it is closed
            os.fstat(number)
            stream = os.fdopen(number, mode, encoding=encoding, errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _import_all() -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    others = [task for task in Path("/proc/self/task").glob("*/comm") if task.parent.name != str(os.getpid())]
    names = {task.read_text().strip() for task in others}
    assert names <= {FORKS_WELL}, f"an import has started a thread: {names}"
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all pages


def _exit_code(stop: SystemExit) -> int:
    """Return the exit code of an exit, as Python does."""
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def _run() -> int:
    """Run the command line as ``python -m tuner`` does; return the exit code."""
    try:
        runpy.run_module("tuner", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        return _exit_code(stop)
    except BaseException:  # noqa: BLE001  # whatever it is, Python would print it
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # there is an exception
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End as Python does, but for tearing down all modules, which would copy their pages: half a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # private: it waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            print(f"Exception ignored in: {stream!r}", file=sys.stderr, flush=True)
            code = 120
    os._exit(code)


if __name__ == "__main__":
    _import_all()
    with socket.socket(fileno=int(sys.argv[1])) as _channel:
        _asked, _streams = _await_request(_channel)
    _become(_asked, _streams)
    _end(_run())
