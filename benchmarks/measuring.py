"""Shared parts of the benchmarks: separate processes, facts of the machine, files of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

__all__ = [
    "DATA",
    "RESULTS",
    "command_line",
    "environment",
    "machine",
    "measured_apart",
    "middle_and_spread",
    "write_results",
]

DATA = Path(__file__).parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results"
_LIBRARIES = ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the common arguments. `--job` is internal, for the processes of a benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure less, only to see that it works")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    return parser


def environment() -> dict[str, str]:
    """Return the environment of a measured program: it imports this checkout, and uses one thread."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def middle_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the lowest and the highest value as text."""
    middle, low, high = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def measured_apart(
    module: str, job: Mapping[str, Any], environment: Mapping[str, str], checkout: Path | None = None
) -> dict[str, Any]:
    """Run ``python -m MODULE --job JSON`` in a new process and return the JSON of its last line.

    In a new process, the peak of memory and the state of the allocator do not depend on earlier measurements.
    With a checkout of another commit, the module and all of the project come from there.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, "--job", json.dumps(job)],
        env={**os.environ, **environment},
        cwd=checkout,  # first on the path of a module
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{job} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def machine() -> dict[str, Any]:
    """Return the hardware and the versions that a time depends on."""
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
    }
    return facts | {name: version(name) for name in _LIBRARIES}


def write_results(name: str, results: Mapping[str, Any]) -> Path:
    """Write ``results/NAME.json`` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    """Return the name of the processor, if the system gives it."""
    facts = Path("/proc/cpuinfo")
    if not facts.exists():
        return platform.processor()
    names = [line for line in facts.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.machine()
