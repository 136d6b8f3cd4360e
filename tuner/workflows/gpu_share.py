"""`gpus_per_trial: auto`: the share of a GPU that the largest configuration needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from tuner.errors import Problem, StudyError
from tuner.formatting import size
from tuner.models.build import trial_params
from tuner.preparation.prepare import Prepared
from tuner.workflows.estimate import as_a_worker, described, estimate, ordered_by_work, points_by_work

__all__ = ["CONTEXT_BYTES", "gpu_share", "measure_gpu_share", "with_gpu_share"]

#: How many trials may share a GPU.
PACKINGS = (1, 2, 3, 4, 6, 8)
#: What a process takes of a GPU before its first tensor: CUDA's context and the libraries' kernels.
CONTEXT_BYTES = 600 * 2**20


def gpu_share(peak_bytes: int, total_bytes: int) -> float:
    """Return the smallest share of a GPU, of 1, 1/2, 1/3, 1/4, 1/6 and 1/8, with which trials have room.

    A trial is given a quarter more than its measured peak, and its process and that of the driver
    `CONTEXT_BYTES` each.

    Parameters
    ----------
    peak_bytes
        The most that tensors of the largest configuration take at once.
    total_bytes
        Memory of the GPU.

    Returns
    -------
    float
        Rounded down to the four digits that Ray counts in, or the last of six trials would not fit. 1 also
        where the peak is above what there is.
    """
    need = 1.25 * peak_bytes + CONTEXT_BYTES
    n_trials = max((n for n in PACKINGS if n * need + CONTEXT_BYTES <= total_bytes), default=1)
    return math.floor(10_000 / n_trials) / 10_000


def measure_gpu_share(prepared: Prepared) -> tuple[float, str]:
    """Measure the largest configuration of the space and the baselines on this machine's first GPU.

    Returns
    -------
    (share, why)
        For ``gpus_per_trial``, and a line for people. 0 where no model is trained by steps.

    Raises
    ------
    StudyError
        If there is no GPU here.
    TrialError
        If the configuration cannot be trained, as where the GPU is too small for it.
    """
    if not torch.cuda.is_available():
        rule = "must be a number where the search is started on a machine without a GPU, but got 'auto'"
        hint = "write 0 to train on CPUs, or a share such as 0.25 for workers that have GPUs"
        raise StudyError(prepared.study.study, [Problem("resources.gpus_per_trial", rule, hint)])
    fold = prepared.folds[-1]
    n_items = len(fold.catalog)
    points = points_by_work(prepared.space, n_items, seed=prepared.study.search.seed)
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
    """Measure the share of a GPU that a trial needs, where the study leaves that to us."""
    if prepared.study.resources.gpus_per_trial != "auto":
        return prepared
    share, why = measure_gpu_share(prepared)
    say(f"gpus_per_trial: {share:g}; {why}")
    resources = prepared.study.resources.model_copy(update={"gpus_per_trial": share})
    return replace(prepared, study=prepared.study.model_copy(update={"resources": resources}))
