"""A real S3 server, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.request import Request, urlopen

import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "s3cret-of-s3",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve_s3() -> Iterator[str]:
    """Run a server with a bucket; give a URL below it, with its credentials in the environment meanwhile."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("needs the dev extra")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            os.environ.update(CREDENTIALS)
            make_bucket(port)
            yield f"s3://results/tuning?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
        finally:
            server.terminate()
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def make_bucket(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        request = Request(f"http://127.0.0.1:{port}/results", method="PUT")
        with suppress(OSError), urlopen(request, timeout=30):
            return
        time.sleep(0.2)
    raise AssertionError("the S3 server does not answer")
