"""Writes estimates as text: the cost of configurations, and of the whole study on this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch

from tuner.config import Resources, Study
from tuner.formatting import aligned, count, duration, size
from tuner.workflows.estimate import Estimate, described
from tuner.workflows.gpu_share import gpu_share, of_sharing

__all__ = ["draw_estimates"]


def draw_estimates(found: Sequence[Estimate], study: Study) -> str:
    """Return a table of estimates, and the expected cost of the study on this machine."""
    header = ["configuration", "parameters", "memory", "GPU memory", "epoch", "evaluation", "trial", "which"]
    rows = [
        [
            one.size,
            count(one.n_parameters),
            size(one.peak_memory),
            size(one.peak_gpu_memory),
            duration(one.epoch_seconds),
            duration(one.evaluation_seconds),
            duration(one.trial_seconds),
            described(one.params),
        ]
        for one in found
    ]
    n_trials, share = study.search.trials, _share(found, study.resources)
    at_once = _at_once(study.resources, share)
    median_seconds = next(one.trial_seconds for one in found if one.size == "median")
    whole = duration(math.ceil(n_trials / at_once) * median_seconds)
    hours = n_trials * median_seconds * share / 3600
    gpu_hours = f", {hours:,.1f} GPU-hours" if hours >= 1 else f", {hours:.2g} GPU-hours" if share else ""
    return (
        f"estimates, from a few steps on the newest fold:\n"
        f"{aligned(header, rows, text=('configuration', 'which'))}\n"
        f"{n_trials} trials of the median configuration, {at_once} at once on this machine: about {whole}"
        f"{gpu_hours}"
        f"{_sharing_text(share)}"
        f"{_retained_text(found, study, at_once)}"
    )


def _sharing_text(share: float) -> str:
    """Return a line on trials that share a GPU of this machine, or nothing."""
    return f"\n{of_sharing()}" if 0 < share < 1 and torch.cuda.is_available() else ""


def _retained_text(found: Sequence[Estimate], study: Study, at_once: int) -> str:
    """Return the most disk space that retained models take: weights and two moments of Adam, 4 bytes each."""
    n_best = study.training.keep_checkpoints
    if not n_best:
        return ""
    largest = 12 * max(one.n_parameters for one in found)
    whole = size((n_best + at_once) * study.folds.n_folds * largest)
    return f"\nkeep_checkpoints: at most {whole} on disk; a fold of the largest model takes {size(largest)}"


def _share(found: Sequence[Estimate], resources: Resources) -> float:
    """Return a trial's share of a GPU; with ``auto``, the share that these estimates give."""
    if resources.gpus_per_trial != "auto":
        return resources.gpu_share
    peak = max((one.peak_gpu_memory or 0 for one in found), default=0)
    return gpu_share(peak, torch.cuda.get_device_properties(0).total_memory) if peak else 0.0


def _at_once(resources: Resources, share: float) -> int:
    """Return how many trials this machine can run at once, each with a share of a GPU."""
    fits = (os.cpu_count() or 1) / resources.cpus_per_trial
    if share:
        fits = min(fits, torch.cuda.device_count() / share)
    return max(1, min(int(fits), resources.concurrency or int(fits)))
