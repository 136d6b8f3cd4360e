"""Checkpoints of a running trial. An interrupted or paused trial continues from one, with the same results.

Each trial has one file, which is always replaced as a whole. It is Lightning's own checkpoint of the fit, and
it also contains the evaluations so far and the state of all random generators. It is written at the end of an
epoch, when no other work is in progress. A fit that continues from it draws the same random numbers as an
uninterrupted fit. Between two folds there is no fit to save, so the file contains only the results.
"""

from __future__ import annotations

import io
import logging
import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pytorch_lightning import Trainer

from tuner.artifacts.atomic import replaced_file
from tuner.trials.records import Evaluation, Users

__all__ = ["Checkpoint", "Generators", "read_checkpoint"]

logger = logging.getLogger(__name__)

_KEY = "tuner"


@dataclass(frozen=True)
class Generators:
    """The state of all random generators of a process."""

    python: Any
    numpy: Any
    torch: Any
    cuda: Any

    @classmethod
    def now(cls) -> Generators:
        """Return the current state of the generators."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002  # RecTools draws from the global generator

    def restore(self) -> None:
        """Set the generators back to this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002  # as above
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


@dataclass
class Checkpoint:
    """The results of a trial so far, and the file that stores them.

    Attributes
    ----------
    path
        Path of the file.
    every
        Seconds between two checkpoints.
    evaluations, users
        All reports so far, in order. The last of `users` may belong to an unfinished fold.
    fold
        Index of the fold with which the trial continues.
    epoch
        Number of finished epochs of that fold; 0 if the fold starts from the beginning.
    generators
        State of the random generators at the end of that epoch.
    pauses_at
        Epochs of the first fold at which the trial may be paused. A checkpoint is always written there.
    on_kept
        Called after the file has been written.
    """

    path: Path
    every: float
    evaluations: list[Evaluation] = field(default_factory=list)
    users: list[Users] = field(default_factory=list)
    fold: int = 0
    epoch: int = 0
    generators: Generators | None = None
    pauses_at: tuple[int, ...] = ()
    on_kept: Callable[[], None] = field(default=lambda: None)
    _kept_at: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write a new checkpoint."""
        return time.monotonic() - self._kept_at >= self.every

    def epoch_ended(self, trainer: Trainer) -> None:
        """Save the state of a fit. A callback of the fit calls `describe` meanwhile, to add the results."""
        with self._kept() as unfinished:
            trainer.save_checkpoint(unfinished)

    def describe(self, content: dict[str, Any], *, epoch: int, users: Users | None) -> None:
        """Add the results so far to Lightning's checkpoint.

        Parameters
        ----------
        content
            The content of the file, which this method changes.
        epoch
            Number of finished epochs of the fold.
        users
            Per-user values of the fold so far.
        """
        so_far = [*self.users, *([users] if users is not None else [])]
        content[_KEY] = {
            "evaluations": [one.to_plain() for one in self.evaluations],
            "users": [(one.fold, one.epochs, one.values) for one in so_far],
            "fold": self.fold,
            "epoch": epoch,
            "generators": astuple(Generators.now()),
        }

    def fold_ended(self, users: Users | None) -> None:
        """Save the results of a finished fold. Its fit is no longer needed."""
        self.users += [users] if users is not None else []
        self.fold, self.epoch = self.fold + 1, 0
        content: dict[str, Any] = {}
        self.describe(content, epoch=0, users=None)
        with self._kept() as unfinished:
            torch.save(content, unfinished)

    @property
    def lightning(self) -> str | None:
        """Path from which Lightning loads the fit; None if the fold starts from the beginning."""
        return str(self.path) if self.epoch else None

    @contextmanager
    def _kept(self) -> Iterator[Path]:
        """Yield a path to write to, then replace the last checkpoint. If that fails, the last one stays."""
        self._kept_at = time.monotonic()
        try:
            with replaced_file(self.path) as unfinished:
                yield unfinished
            self.on_kept()
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the disk is full
            logger.warning(
                "cannot write a checkpoint; if interrupted, the trial repeats more work: %s", error
            )


def read_checkpoint(path: Path, every: float, pauses_at: tuple[int, ...] = ()) -> Checkpoint:
    """Return the checkpoint of a trial. It is empty if there is no file or the file cannot be read."""
    if path.exists():
        try:
            content = torch.load(path, map_location="cpu", weights_only=False)  # our own file
            return Checkpoint(path, every, *_read(content[_KEY]), pauses_at)
        except Exception:  # a damaged file can raise any error
            logger.exception("cannot read %s: the trial starts from the beginning", path)
    return Checkpoint(path, every, pauses_at=pauses_at)


def _read(content: Mapping[str, Any] | bytes) -> tuple[list[Evaluation], list[Users], int, int, Generators]:
    """Return the trial's state from a file's content. Version 0.1.0 wrote it as a pickle, in bytes."""
    if isinstance(content, bytes):
        evaluations, users, fold, epoch, generators = _OldUnpickler(
            io.BytesIO(content)
        ).load()  # our own file
        return evaluations, users, fold, epoch, generators
    return (
        [Evaluation.from_plain(one) for one in content["evaluations"]],
        [Users(*one) for one in content["users"]],
        content["fold"],
        content["epoch"],
        Generators(*content["generators"]),
    )


class _OldUnpickler(pickle.Unpickler):  # noqa: S301  # reads our own file
    """Reads pickles of version 0.1.0, whose classes have moved since."""

    _MOVED: ClassVar = {
        ("tuner.results", "Evaluation"): Evaluation,
        ("tuner.results", "Users"): Users,
        ("tuner.checkpoints", "Generators"): Generators,
    }

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  # a class of any kind
        """Return the class that now replaces an old one."""
        return self._MOVED.get((module, name)) or super().find_class(module, name)
