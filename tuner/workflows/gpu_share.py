"""`gpus_per_trial: auto`: measures the share of a GPU that the largest configuration needs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tuner.errors import Problem
from tuner.formatting import size
from tuner.models.build import trial_params
from tuner.preparation.prepare import Prepared
from tuner.workflows.estimate import as_a_worker, described, estimate, ordered_by_work, points_by_work

__all__ = ["gpu_share", "of_sharing", "with_gpu_share"]

#: Numbers of trials that may share a GPU.
PACKINGS = (1, 2, 3, 4, 6, 8)
#: GPU memory that a process takes before its first tensor, for CUDA's context and the libraries' kernels.
CONTEXT_BYTES = 600 * 2**20


def gpu_share(peak_bytes: int, total_bytes: int) -> float:
    """Return the smallest share of a GPU, out of 1, 1/2, 1/3, 1/4, 1/6 and 1/8, that has memory for a trial.

    A trial is given a quarter more than its measured peak. Its process and the driver's process need
    `CONTEXT_BYTES` each.

    Parameters
    ----------
    peak_bytes
        Peak memory of the tensors of the largest configuration, in bytes.
    total_bytes
        Memory of the GPU, in bytes.

    Returns
    -------
    float
        The share, rounded down to four digits. Ray counts in four digits, and rounded up six trials would not
        fit. The share is 1 if even one trial needs more memory than the GPU has.
    """
    need = 1.25 * peak_bytes + CONTEXT_BYTES
    n_trials = max((n for n in PACKINGS if n * need + CONTEXT_BYTES <= total_bytes), default=1)
    return math.floor(10_000 / n_trials) / 10_000


def measure_gpu_share(prepared: Prepared) -> tuple[float, str]:
    """Measure the largest configuration of the space and the baselines on this machine's first GPU.

    Returns
    -------
    (share, why)
        Value for ``gpus_per_trial``, and a line for people. The share is 0 if there is no transformer.

    Raises
    ------
    StudyError
        If this machine has no GPU.
    TrialError
        If the configuration cannot be trained, for example because the GPU has too little memory.
    """
    if not torch.cuda.is_available():
        rule = "must be a number if the search is started on a machine without a GPU, but got 'auto'"
        hint = "write 0 to train on CPUs, or a share such as 0.25 for workers that have GPUs"
        raise prepared.study.refusal([Problem("resources.gpus_per_trial", rule, hint)])
    fold = prepared.folds[-1]
    n_items = len(fold.catalog)
    points = points_by_work(prepared.space, n_items, prepared.known, seed=prepared.study.search.seed)
    points = ordered_by_work([*points, *(baseline.params for baseline in prepared.baselines)], n_items)
    if not points:
        return 0.0, "no model of the study is trained on a GPU"
    largest = points[-1]
    with as_a_worker(prepared.study.resources):
        peak = estimate(trial_params(largest, 1), fold, prepared.plan).peak_gpu_memory
    total = torch.cuda.get_device_properties(0).total_memory
    assert peak is not None, "there is a GPU"
    why = f"the largest configuration took {size(peak)} of {size(total)} ({described(largest)})"
    return gpu_share(peak, total), why


def with_gpu_share(prepared: Prepared, say: Callable[[str], None]) -> Prepared:
    """Return the study with a measured ``gpus_per_trial`` if it says ``auto``, otherwise unchanged."""
    if prepared.study.resources.gpus_per_trial != "auto":
        return prepared
    share, why = measure_gpu_share(prepared)
    say(f"gpus_per_trial: {share:g}; {why}")
    if 0 < share < 1:
        say(of_sharing())
    resources = prepared.study.resources.model_copy(update={"gpus_per_trial": share})
    return replace(prepared, study=prepared.study.model_copy(update={"resources": resources}))


def of_sharing() -> str:
    """Return a line for people: how trials on one GPU of this machine share it."""
    pipes = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))  # noqa: S108  # NVIDIA's default
    if (pipes / "control").exists():
        return "NVIDIA MPS is on: the steps of trials that share a GPU run side by side"
    return "NVIDIA MPS is off: trials that share a GPU take turns; docs/speed.md says how to turn it on"
