"""Measures what configurations cost with a few real training steps, before a search spends hours.

Random configurations are ordered by their work. The smallest, the median and the largest are trained on the
user's newest fold for a few batches, and recommend to some users, with the threads and the allocator of a
trial. The time of an epoch is the time of a step multiplied by the number of steps. Memory is the peak of the
process.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from statistics import median
from typing import Any, TypeAlias

import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.config import Resources
from tuner.data.folds import Fold
from tuner.errors import TrialError
from tuner.evaluation import Plan, boundary, count_parameters, recommend
from tuner.formatting import short
from tuner.models.build import build_model, complete_params, trial_params
from tuner.models.cost import work_of
from tuner.models.feasibility import DataFacts, infeasible
from tuner.preparation.prepare import Prepared
from tuner.space import Space, Value
from tuner.space.describe import sample
from tuner.training.fast_paths import accelerate
from tuner.training.memory import (
    keep_freed_memory,
    peak_gpu_memory,
    peak_memory,
    reset_peak,
    return_freed_memory,
)
from tuner.training.precision import products_in, set_precision

__all__ = [
    "Estimate",
    "as_a_worker",
    "described",
    "estimate",
    "estimates",
    "ordered_by_work",
    "points_by_work",
    "shown",
]

#: Number of random points to choose from.
DRAWS = 300
#: Number of training steps to time after the first one, and seconds after which fewer are enough.
STEPS, ENOUGH_SECONDS = 4, 3.0
#: Multiplications in a step (`tuner.models.cost`) above which a CPU measures only parts of the batch.
LONG_STEP = 3e10
#: Number of test users in the timed recommendation.
USERS = 256

Flat = dict[str, Value]
Transformer: TypeAlias = TransformerModelBase[Any]


@dataclass(frozen=True)
class Estimate:
    """Cost of one configuration.

    Attributes
    ----------
    size
        ``smallest``, ``median`` or ``largest``.
    params
        Flat params.
    n_parameters
        Number of trainable parameters.
    peak_memory, peak_gpu_memory
        Peak memory of the process, and of tensors on a GPU (None without a GPU), in bytes.
    epoch_seconds
        Time of one epoch of training on the newest fold.
    evaluation_seconds
        Time of one evaluation: to recommend to all test users of the fold.
    trial_seconds
        Time of all folds with all epochs and evaluations of the study, if each fold costs as much as this
        one.
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

    Configurations are ordered by `tuner.models.cost`. The list is empty if no model of the space is a
    transformer.

    Raises
    ------
    TrialError
        If one of them fails. The error has its params.
    """
    fold = prepared.folds[-1]
    training = prepared.study.training
    seed = prepared.study.search.seed
    points = points_by_work(prepared.space, len(fold.catalog), prepared.known, seed=seed)
    if not points:
        return []
    chosen = {"smallest": points[0], "median": points[len(points) // 2], "largest": points[-1]}
    with as_a_worker(prepared.study.resources):
        measured = {}
        for size, params in chosen.items():
            try:
                measured[size] = estimate(trial_params(params, training.epochs), fold, prepared.plan)
            except TrialError as error:
                msg = f"{size} configuration ({short(params['cls'])}): {error.message}"
                raise TrialError(msg, hint=f"params: {shown(params)}") from error
    return [
        replace(one, size=size, trial_seconds=_trial_seconds(one, prepared)) for size, one in measured.items()
    ]


@contextmanager
def as_a_worker(resources: Resources) -> Iterator[None]:
    """Give this process the threads and the allocator of a trial's worker."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(resources.cpus_per_trial / resources.n_devices)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _trial_seconds(one: Estimate, prepared: Prepared) -> float:
    epochs = int(str(one.params["epochs"]))
    n_evaluations = math.ceil(epochs / prepared.plan.evaluate_every)
    n_users, sampled = len(prepared.folds[-1].users), prepared.plan.evaluate_users
    share = 1.0 if sampled is None else min(1.0, sampled / n_users)
    training = epochs * one.epoch_seconds / prepared.plan.devices  # without what the devices exchange
    evaluations = (1 + share * (n_evaluations - 1)) * one.evaluation_seconds
    return len(prepared.folds) * (training + evaluations)


def estimate(params: Mapping[str, Value], fold: Fold, plan: Plan) -> Estimate:
    """Measure what a configuration costs on a fold.

    Raises
    ------
    TrialError
        If the model cannot be built, trained, or used to recommend.
    """
    fitted = _fit_in_parts(params, fold, plan) if _is_long(params, fold) else _fit(params, fold, plan)
    with boundary("recommend"):
        began = time.perf_counter()
        few = fold.of_users(fold.users[:USERS])
        recommend(fitted.model, few, plan.k, filter_viewed=plan.filter_viewed)
        seconds = time.perf_counter() - began
    return Estimate(
        size="",
        params=dict(params),
        n_parameters=count_parameters(fitted.model) or 0,
        peak_memory=max(fitted.peak_memory, peak_memory()),
        peak_gpu_memory=peak_gpu_memory(),
        epoch_seconds=fitted.epoch_seconds,
        evaluation_seconds=seconds * len(fold.users) / len(few.users),
    )


@dataclass(frozen=True)
class _Fitted:
    """A model after a few steps, the seconds of an epoch, and the peak memory of the process in bytes."""

    model: Transformer
    epoch_seconds: float
    peak_memory: int


def _fit(params: Mapping[str, Value], fold: Fold, plan: Plan) -> _Fitted:
    """Train a model for a few steps."""
    return_freed_memory()
    reset_peak()
    model = build_model(params)
    if not isinstance(model, TransformerModelBase):
        msg = f"must be a transformer to be estimated, but is {params.get('cls')}"
        raise TrialError(msg)
    precision = set_precision(model, plan.precision)
    if plan.fast:
        accelerate(model, unpadded=plan.unpadded)
    steps = _Steps()
    model._trainer.callbacks.append(steps)  # type: ignore[attr-defined]  # noqa: SLF001  # Lightning sets it; there is no public way in
    model._trainer.fit_loop.max_epochs = 1  # noqa: SLF001  # as above
    seed_everything(60, workers=True, verbose=False)
    with boundary("a few batches"), products_in(precision):
        model.fit(fold.train)
    return _Fitted(model, steps.seconds * steps.n_batches, peak_memory())


def _is_long(params: Mapping[str, Value], fold: Fold) -> bool:
    """Return whether one step would take a CPU longer than a check may take."""
    work = work_of(params, len(fold.catalog))
    return work is not None and work.amount > LONG_STEP and not torch.cuda.is_available()


def _fit_in_parts(params: Mapping[str, Value], fold: Fold, plan: Plan) -> _Fitted:
    """Train with an eighth and then with a quarter of the batch instead of the whole batch.

    If steps are long, an epoch of smaller batches takes about as long as one of whole batches. Memory grows
    linearly with the batch, and the two measurements give the line.
    """
    sessions = fold.train.user_id_map.external_ids.size
    batch = min(int(str(complete_params(params)["batch_size"])), sessions)
    eighth, quarter = batch // 8, batch // 4
    if not eighth:
        return _fit(params, fold, plan)
    less = _fit({**params, "batch_size": eighth}, fold, plan).peak_memory
    fitted = _fit({**params, "batch_size": quarter}, fold, plan)
    for_each = max(0, fitted.peak_memory - less) / (quarter - eighth)
    return replace(fitted, peak_memory=fitted.peak_memory + round(for_each * (batch - quarter)))


def shown(params: Mapping[str, Value]) -> str:
    """Return all params as text."""
    return " ".join(f"{key}={short(value)}" for key, value in params.items())


def described(params: Mapping[str, Value]) -> str:
    """Return the params that decide the work of a step as text, without those that are not set."""
    names = ("n_blocks", "n_factors", "session_max_len", "batch_size", "loss")
    return " ".join(
        [short(params["cls"]), *(f"{name}={short(params[name])}" for name in names if name in params)]
    )


def points_by_work(space: Space, n_items: int, data: DataFacts | None = None, *, seed: int) -> list[Flat]:
    """Return random feasible configurations of transformers, the least work first."""
    generator = random.Random(seed)
    drawn = (sample(space, generator) for _ in range(DRAWS))
    return ordered_by_work((flat for flat in drawn if not infeasible(flat, data)), n_items)


def ordered_by_work(points: Iterable[Flat], n_items: int) -> list[Flat]:
    """Return the transformers among configurations, the least work first."""
    found = [(work.amount, flat) for flat in points if (work := work_of(flat, n_items)) is not None]
    found.sort(key=itemgetter(0))
    return [flat for _, flat in found]


class _Steps(Callback):
    """Times the first steps of a fit, then ends the fit."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.n_batches = 0

    def __deepcopy__(self, _memo: dict[int, object]) -> _Steps:
        """Return itself: RecTools copies its trainer at each fit, and the copy must report to this object."""
        return self

    @property
    def seconds(self) -> float:
        """Median seconds of a step, its batch included. The first step counts only if there is no other."""
        times = [end - begin for begin, end in zip(self.began, self.began[1:], strict=False)]
        return median(times[1:] or times)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Record how many steps an epoch has, and when the first one begins."""
        self.n_batches = int(trainer.num_training_batches)
        trainer.fit_loop.min_epochs = 0  # so that an epoch may end before its last step
        self.began.append(time.perf_counter())

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # Lightning's signature
        outputs: object,  # noqa: ARG002  # as above
        batch: object,  # noqa: ARG002  # as above
        batch_idx: int,
    ) -> None:
        """Record when a step ends, and end the fit after enough steps or seconds."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.began.append(time.perf_counter())
        spent = self.began[-1] - self.began[0]
        if batch_idx == STEPS or spent > ENOUGH_SECONDS:
            trainer.should_stop = True
