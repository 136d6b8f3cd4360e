"""What was measured of a trial: evaluations, per-user values, and their summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evaluation", "Summary", "Users"]


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one fold at one epoch.

    Attributes
    ----------
    fold
        Index of the fold, oldest first, from 0.
    epoch
        Finished epochs of training; 0 for a model that is not trained by epochs.
    metrics
        Value by label, as ``NDCG@10``.
    train_loss
        Mean training loss of the epoch, if the model logs one.
    fit_seconds, evaluate_seconds
        Time since the fold's fit began, without and only of the evaluations.
    recommend_seconds
        Time of this evaluation's recommendations to all test users; None where that was not measured.
    n_parameters
        Trainable parameters; None where the notion does not apply.
    peak_memory, peak_gpu_memory
        The most bytes at once since the fold's fit began: of the worker process, and of tensors on its
        GPU; None where that was not measured.
    fast_paths
        Names of the fast paths that the fit took.
    precision
        Arithmetic of the fit: ``float32``, ``tf32`` or ``bf16``.
    learning_rate
        Of the first group of the optimizer's params at the end of the epoch; None without an optimizer.
    epoch_seconds
        Time of the epoch's training, without its evaluation; None for a model that is not trained by epochs.
    threads
        Of torch: sums depend on their number, so a trial that is run again needs as many. None where an
        earlier version did not record it.
    """

    fold: int
    epoch: int
    metrics: Mapping[str, float]
    train_loss: float | None = None
    fit_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    n_parameters: int | None = None
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    fast_paths: tuple[str, ...] = ()
    precision: str = "float32"
    recommend_seconds: float | None = None
    learning_rate: float | None = None
    epoch_seconds: float | None = None
    threads: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {**asdict(self), "fast_paths": list(self.fast_paths)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Evaluation:
        """Read what `to_plain` gave."""
        return cls(**{**plain, "fast_paths": tuple(plain.get("fast_paths", ()))})


@dataclass(frozen=True)
class Summary:
    """What a finished trial is worth.

    Attributes
    ----------
    epoch
        The epoch with the best mean objective, common to all folds; the one to export.
    mean, std
        Of the objective over folds at that epoch; the sample deviation, 0 for one fold.
    metrics
        Mean over folds of each metric at that epoch.
    folds
        Each metric at that epoch, fold by fold.
    epochs_run
        The most epochs that a fold was trained for.
    fit_seconds
        Over all folds, without evaluations.
    n_parameters, fast_paths, precision
        See `Evaluation`.
    peak_memory, peak_gpu_memory
        See `Evaluation`; of the fold that needed most.
    recommend_seconds
        See `Evaluation`; mean over folds, at `epoch`.
    """

    epoch: int
    mean: float
    std: float
    metrics: Mapping[str, float]
    folds: Sequence[Mapping[str, float]] = field(default_factory=tuple)
    epochs_run: int = 0
    fit_seconds: float = 0.0
    n_parameters: int | None = None
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    fast_paths: tuple[str, ...] = ()
    precision: str = "float32"
    recommend_seconds: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        folds = [dict(fold) for fold in self.folds]
        return {**asdict(self), "folds": folds, "fast_paths": list(self.fast_paths)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Summary:
        """Read what `to_plain` gave."""
        fast_paths = tuple(plain.get("fast_paths", ()))
        return cls(**{**plain, "folds": tuple(plain["folds"]), "fast_paths": fast_paths})


@dataclass(frozen=True)
class Users:
    """Per-user values of the objective in one fold.

    Attributes
    ----------
    fold
        Index of the fold.
    epochs
        At which it was evaluated.
    values
        Shape (n_epochs, n_users), users in the fold's order.
    """

    fold: int
    epochs: tuple[int, ...]
    values: NDArray[np.float32]

    def at(self, epoch: int) -> NDArray[np.float32]:
        """Return the values at an epoch; at the last one before it if the fold's training ended earlier."""
        index = max((i for i, known in enumerate(self.epochs) if known <= epoch), default=0)
        chosen: NDArray[np.float32] = self.values[index]
        return chosen
