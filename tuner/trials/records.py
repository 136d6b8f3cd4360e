"""The measurements of a trial: evaluations, per-user values, and their summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        Number of finished epochs; 0 for a model that is not trained by epochs.
    metrics
        Value by label, such as ``NDCG@10``.
    train_loss
        Mean training loss of the epoch, if the model logs one.
    fit_seconds
        Seconds since the fold's fit began, without evaluations.
    evaluate_seconds
        Seconds of all evaluations since the fold's fit began.
    recommend_seconds
        Seconds that this evaluation took to recommend to all test users; None if not measured.
    n_parameters
        Number of trainable parameters; None for a model that has none.
    peak_memory, peak_gpu_memory
        The most bytes in use at once since the fold's fit began: by the worker process, and by tensors on its
        GPU. None if not measured.
    fast_paths
        Names of the fast paths that the fit used.
    precision
        Arithmetic of the fit: ``float32``, ``tf32`` or ``bf16``.
    learning_rate
        Learning rate of the optimizer's first parameter group at the end of the epoch; None without
        optimizer.
    epoch_seconds
        Seconds of the epoch's training, without its evaluation; None for a model that is not trained by
        epochs.
    sampled_users
        Number of test users in the sample that it is of; None if it is of all test users.
    threads
        Number of torch's threads. Sums depend on it, so a trial that is run again needs the same number. None
        in records of older versions.
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
    sampled_users: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        return {**asdict(self), "fast_paths": list(self.fast_paths)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Evaluation:
        """Read a record that `to_plain` returned."""
        return cls(**{**plain, "fast_paths": tuple(plain.get("fast_paths", ()))})


@dataclass(frozen=True)
class Summary:
    """The result of a complete trial.

    Attributes
    ----------
    epoch
        The epoch with the best mean objective, the same for all folds. An export trains this many epochs. If
        only the last evaluation of a fold is of all users, it is the last epoch of the fold that was trained
        longest.
    mean, std
        Mean and sample standard deviation of the objective over folds at that epoch. With one fold `std` is
        0.
    metrics
        Mean of each metric over folds at that epoch, by label.
    folds
        Metrics of each fold at that epoch, by label.
    epochs_run
        Number of epochs of the fold that was trained longest.
    fit_seconds
        Seconds of training, sum over all folds, without evaluations.
    n_parameters, fast_paths, precision
        See `Evaluation`.
    sampled_users
        See `Evaluation`; of the evaluations before the last of each fold.
    peak_memory, peak_gpu_memory
        See `Evaluation`; the largest value of any fold.
    recommend_seconds
        See `Evaluation`; mean over folds at `epoch`.
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
    sampled_users: int | None = None

    @property
    def deviation(self) -> float | None:
        """The standard deviation over folds. One fold has none."""
        return self.std if len(self.folds) > 1 else None

    @property
    def unpadded(self) -> bool:
        """Whether its fits went without padding."""
        return is_unpadded(self.fast_paths)

    def to_plain(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        folds = [dict(fold) for fold in self.folds]
        return {**asdict(self), "folds": folds, "fast_paths": list(self.fast_paths)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Summary:
        """Read a record that `to_plain` returned."""
        fast_paths = tuple(plain.get("fast_paths", ()))
        return cls(**{**plain, "folds": tuple(plain["folds"]), "fast_paths": fast_paths})


def is_unpadded(fast_paths: Iterable[str]) -> bool:
    """Whether a fit by these paths went without padding, whose random numbers are not RecTools'."""
    return "unpadded encoder" in fast_paths


@dataclass(frozen=True)
class Users:
    """Per-user values of the objective in one fold.

    Attributes
    ----------
    fold
        Index of the fold, from 0.
    epochs
        Epochs at which the fold was evaluated.
    values
        Shape (n_epochs, n_users), in the order of the fold's test users.
    """

    fold: int
    epochs: tuple[int, ...]
    values: NDArray[np.float32]

    def at(self, epoch: int) -> NDArray[np.float32]:
        """Return the values at an epoch, shape (n_users,).

        If the fold was not evaluated at that epoch, they are those of its last evaluation before it.
        """
        index = max((i for i, known in enumerate(self.epochs) if known <= epoch), default=0)
        chosen: NDArray[np.float32] = self.values[index]
        return chosen
