"""Where a GPU's step goes: the processor's time and that of each kernel; part of `benchmarks.step`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile

__all__ = ["PROFILED", "StepProfile", "profile_table"]

#: Steps that are let pass, timed, and looked into by the profiler.
_BEFORE, _TIMED, _INSIDE = 20, 40, 5
PROFILED = _BEFORE + _TIMED + _INSIDE + 3
#: Kernels that are named, longest first.
_NAMED = 16


class StepProfile(Callback):
    """Times the steps of a fit on a GPU, then looks into a few of them.

    Attributes
    ----------
    found
        "wall" and "host", seconds of a step, medians: from the GPU's end of one to its end of the next; until
        the processor has sent all; "kernels", seconds that the GPU is at work in it; "launches"; "names",
        seconds and launches by kernel.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._ends: list[tuple[torch.cuda.Event, float]] = []
        self._profile: Any = None

    def __deepcopy__(self, _memo: dict[int, object]) -> StepProfile:
        """RecTools copies its trainer at each fit; the copy must note in the same place."""
        return self

    def on_train_batch_start(
        self,
        trainer: Trainer,  # noqa: ARG002  # Lightning's signature
        pl_module: LightningModule,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Begin and end what is measured."""
        if _BEFORE <= batch_idx <= _BEFORE + _TIMED:
            end = torch.cuda.Event(enable_timing=True)
            end.record()
            self._ends.append((end, time.perf_counter()))
        if batch_idx == _BEFORE + _TIMED:
            torch.cuda.synchronize()
            steps = list(pairwise(self._ends))
            self.found["wall"] = median(one.elapsed_time(two) / 1000 for (one, _), (two, _) in steps)
            self.found["host"] = median(two - one for (_, one), (_, two) in steps)
            self._profile = profile(activities=[ProfilerActivity.CUDA])
            self._profile.__enter__()
        elif batch_idx == _BEFORE + _TIMED + _INSIDE:
            torch.cuda.synchronize()
            self._profile.__exit__(None, None, None)
            self._note(self._profile.key_averages())

    def _note(self, events: Sequence[Any]) -> None:
        kernels = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
        seconds = {event.key: event.self_device_time_total / _INSIDE / 1e6 for event in kernels}
        launches = {event.key: event.count / _INSIDE for event in kernels}
        longest = sorted(seconds, key=seconds.__getitem__, reverse=True)[:_NAMED]
        self.found["kernels"] = sum(seconds.values())
        self.found["launches"] = sum(launches.values())
        self.found["names"] = {name: (seconds[name], launches[name]) for name in longest}


def profile_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what was found, for people: a row for each case and way, then its longest kernels."""
    lines = [f"{'step, ms':<34} {'way':<16} {'wall':>7} {'host':>7} {'kernels':>8} {'launches':>9}"]
    for run in runs:
        wall, host, kernels = (1000 * run[name] for name in ("wall", "host", "kernels"))
        lines.append(
            f"{run['case']:<34} {run['way']:<16} {wall:7.2f} {host:7.2f} {kernels:8.2f} "
            f"{run['launches']:9.0f}"
        )
        lines += [
            f"    {1000 * seconds:6.3f} {launches:5.0f}  {name[:90]}"
            for name, (seconds, launches) in run["names"].items()
        ]
    return "\n".join(lines)
