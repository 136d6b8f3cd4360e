"""What configurations cost: measured on a few real training steps, before a search spends hours.

The smallest, the median and the largest of random configurations are built on the user's own fold, trained
for a few batches and let recommend to some users, with a trial's threads and allocator. Times are those of
a step times the steps of an epoch; memory is the process's peak.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.errors import TrialError
from tuner.evaluation import Plan, boundary, count_parameters, recommend
from tuner.feasibility import infeasible
from tuner.folds import Fold
from tuner.memory import (
    keep_freed_memory,
    peak_gpu_memory,
    peak_memory,
    reset_peak,
    return_freed_memory,
)
from tuner.models import build_model, complete_params, trial_params
from tuner.precision import products_in, set_precision
from tuner.prepare import Prepared
from tuner.quantities import aligned, count, duration, short, size
from tuner.signatures import model_class
from tuner.space import Space, Value
from tuner.space.tree import sample
from tuner.spec import Resources, Study
from tuner.training import accelerate

__all__ = ["Estimate", "draw_estimates", "estimate", "estimates", "training_work"]

#: Random points among which the smallest and the largest are looked for.
DRAWS = 300
#: Training steps that are timed, after a first one, and seconds after which fewer will do.
STEPS, ENOUGH_SECONDS = 4, 3.0
#: Test users that the timed recommendation is for.
USERS = 500

Flat = dict[str, Value]


@dataclass(frozen=True)
class Estimate:
    """What one configuration costs.

    Attributes
    ----------
    size
        ``smallest``, ``median`` or ``largest``.
    params
        Flat params.
    n_parameters
        Trainable parameters.
    peak_memory, peak_gpu_memory
        Bytes; of the process, and of tensors on a GPU, None without one.
    epoch_seconds
        One epoch of training on the largest fold.
    evaluation_seconds
        One evaluation: recommend to all test users of the fold.
    trial_seconds
        All folds with all epochs and evaluations of the study, as if each fold were this one.
    """

    size: str
    params: Flat
    n_parameters: int
    peak_memory: int
    peak_gpu_memory: int | None
    epoch_seconds: float
    evaluation_seconds: float
    trial_seconds: float = 0.0


def estimates(prepared: Prepared) -> list[Estimate]:
    """Measure the smallest, the median and the largest configuration of a study's space on its newest fold.

    Configurations are ordered by `training_work`. Empty if no model of the space is trained by steps.
    """
    fold = prepared.folds[-1]
    training = prepared.study.training
    points = _by_work(prepared.space, len(fold.catalog), seed=prepared.study.search.seed)
    if not points:
        return []
    chosen = {"smallest": points[0], "median": points[len(points) // 2], "largest": points[-1]}
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(prepared.study.resources.cpus_per_trial)))
    try:
        measured = {
            size: estimate(trial_params(params, training.epochs), fold, prepared.plan)
            for size, params in chosen.items()
        }
    finally:
        torch.set_num_threads(threads)
    return [
        replace(one, size=size, trial_seconds=_trial_seconds(one, prepared)) for size, one in measured.items()
    ]


def _trial_seconds(one: Estimate, prepared: Prepared) -> float:
    epochs = int(str(one.params["epochs"]))
    n_evaluations = math.ceil(epochs / prepared.plan.evaluate_every)
    fold_seconds = epochs * one.epoch_seconds + n_evaluations * one.evaluation_seconds
    return len(prepared.folds) * fold_seconds


def estimate(params: Mapping[str, Value], fold: Fold, plan: Plan) -> Estimate:
    """Measure what a configuration costs on a fold.

    Raises
    ------
    TrialError
        If it fails.
    """
    return_freed_memory()
    reset_peak()
    model = build_model(params)
    if not isinstance(model, TransformerModelBase):
        msg = f"must be a model that is trained by steps, but is {params.get('cls')}"
        raise TrialError(msg)
    precision = set_precision(model, plan.precision)
    if plan.fast:
        accelerate(model)
    steps = _Steps()
    model._trainer.callbacks.append(steps)  # type: ignore[attr-defined]  # noqa: SLF001  # Lightning sets it; there is no public way in
    model._trainer.fit_loop.max_epochs = 1  # noqa: SLF001  # as above
    seed_everything(60, workers=True, verbose=False)
    with boundary("a few batches"), products_in(precision):
        model.fit(fold.train)
        began = time.perf_counter()
        few = replace(fold, users=fold.users[:USERS])
        recommend(model, few, plan.k, filter_viewed=plan.filter_viewed)
        seconds = time.perf_counter() - began
    return Estimate(
        size="",
        params=dict(params),
        n_parameters=count_parameters(model) or 0,
        peak_memory=peak_memory(),
        peak_gpu_memory=peak_gpu_memory(),
        epoch_seconds=steps.seconds * steps.n_batches,
        evaluation_seconds=seconds * len(fold.users) / len(few.users),
    )


def draw_estimates(found: Sequence[Estimate], study: Study) -> str:
    """Return estimates as text for a person, and what they say of the study on this machine."""
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
            _which(one.params),
        ]
        for one in found
    ]
    n_trials, at_once = study.search.trials, _at_once(study.resources)
    median_seconds = next(one.trial_seconds for one in found if one.size == "median")
    whole = duration(math.ceil(n_trials / at_once) * median_seconds)
    return (
        f"estimates, from a few steps on the newest fold:\n"
        f"{aligned(header, rows, text=('configuration', 'which'))}\n"
        f"{n_trials} trials of the median kind, {at_once} at once on this machine: about {whole}"
    )


def _at_once(resources: Resources) -> int:
    """Return how many trials this machine has room for."""
    fits = (os.cpu_count() or 1) / resources.cpus_per_trial
    if resources.gpus_per_trial:
        fits = min(fits, torch.cuda.device_count() / resources.gpus_per_trial)
    return max(1, min(int(fits), resources.concurrency or int(fits)))


def _which(params: Mapping[str, Value]) -> str:
    """Return what decides the work of a step, as far as the params say it."""
    names = ("n_blocks", "n_factors", "session_max_len", "batch_size", "loss")
    return " ".join(
        [short(params["cls"]), *(f"{name}={short(params[name])}" for name in names if name in params)]
    )


def training_work(params: Mapping[str, Value], n_items: int) -> float:
    """Return roughly the multiplications of one training step, to order configurations by.

    For B sessions of length L, N blocks of width d and C candidate items for each position:
    ``B * L * (N * (12 * d^2 + 2 * L * d) + C * d)``.

    Parameters
    ----------
    params
        Complete flat params of a transformer.
    n_items
        Candidates of a loss over the whole catalog; others have their negatives and the target.
    """
    named: dict[str, Any] = dict(params)
    length, width = int(named["session_max_len"]), int(named["n_factors"])
    candidates = n_items if named["loss"] == "softmax" else 1 + int(named["n_negatives"])
    encoder = int(named["n_blocks"]) * (12 * width**2 + 2 * length * width)
    return float(int(named["batch_size"]) * length * (encoder + candidates * width))


def _by_work(space: Space, n_items: int, *, seed: int) -> list[Flat]:
    """Return random configurations of transformers that can work, in the order of their work."""
    generator = random.Random(seed)
    defaults: dict[Value, Flat] = {}
    found: list[tuple[float, Flat]] = []
    for flat in (sample(space, generator) for _ in range(DRAWS)):
        cls = model_class(flat["cls"])
        if cls is None or not issubclass(cls, TransformerModelBase) or infeasible(flat):
            continue
        if flat["cls"] not in defaults:
            defaults[flat["cls"]] = complete_params({"cls": flat["cls"]})
        found.append((training_work({**defaults[flat["cls"]], **flat}, n_items), flat))
    found.sort(key=lambda pair: pair[0])
    return [flat for _, flat in found]


class _Steps(Callback):
    """Times the first steps of a fit and ends it then."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.n_batches = 0

    def __deepcopy__(self, _memo: dict[int, object]) -> _Steps:
        """RecTools copies its trainer at each fit; the copy must report to the same place."""
        return self

    @property
    def seconds(self) -> float:
        """Of one step, its batch included; of the first one only where there is no other."""
        times = [end - begin for begin, end in zip(self.began, self.began[1:], strict=False)]
        return median(times[1:] or times)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Note how many steps an epoch has, and when the first one begins."""
        self.n_batches = int(trainer.num_training_batches)
        trainer.fit_loop.min_epochs = 0  # lets an epoch end before its last step
        self.began.append(time.perf_counter())

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # Lightning's signature
        outputs: object,  # noqa: ARG002  # as above
        batch: object,  # noqa: ARG002  # as above
        batch_idx: int,
    ) -> None:
        """Note when a step ends, and end the fit when enough is known."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.began.append(time.perf_counter())
        spent = self.began[-1] - self.began[0]
        if batch_idx == STEPS or (batch_idx and spent > ENOUGH_SECONDS):
            trainer.should_stop = True
