"""Checkpoints of a running trial: what a trial that was cut off goes on from, with the same results.

One file for each trial, replaced as a whole: Lightning's own checkpoint of the fit, and in it what has been
measured so far and the state of all random generators. Taken at the end of an epoch, where nothing else is
under way, so that a fit that goes on from it draws the same numbers as one that was never cut off. Between
folds there is no fit to keep, only what has been measured.
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
        """Return their state."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002  # RecTools draws from the global generator

    def restore(self) -> None:
        """Put them back into this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002  # as above
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


@dataclass
class Checkpoint:
    """What a trial has done so far, and the file that keeps it.

    Attributes
    ----------
    path
        Of the file.
    every
        Seconds of work after which a state is worth keeping.
    evaluations, users
        All that was reported, in order; the last of `users` may be of a fold that is under way.
    fold
        Index of the fold that goes on.
    epoch
        Finished epochs in it that a fit goes on from; 0 if there is none.
    generators
        As they were at the end of that epoch.
    pauses_at
        Epochs of the first fold at which a state is kept in any case: the trial may be paused there.
    on_kept
        Is called when the file has been written.
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
        """Whether the last state is old enough for a new one."""
        return time.monotonic() - self._kept_at >= self.every

    def epoch_ended(self, trainer: Trainer) -> None:
        """Keep the state of a fit; its callbacks let `describe` add to Lightning's checkpoint."""
        with self._kept() as unfinished:
            trainer.save_checkpoint(unfinished)

    def describe(self, content: dict[str, Any], *, epoch: int, users: Users | None) -> None:
        """Add to Lightning's checkpoint what has been measured.

        Parameters
        ----------
        content
            Of the file.
        epoch
            Finished epochs of the fold.
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
        """Keep what was measured; the fold's fit is no longer needed."""
        self.users += [users] if users is not None else []
        self.fold, self.epoch = self.fold + 1, 0
        content: dict[str, Any] = {}
        self.describe(content, epoch=0, users=None)
        with self._kept() as unfinished:
            torch.save(content, unfinished)

    @property
    def lightning(self) -> str | None:
        """Where Lightning finds the fit to go on from; None if the fold begins anew."""
        return str(self.path) if self.epoch else None

    @contextmanager
    def _kept(self) -> Iterator[Path]:
        """Give a path to write to, and replace the last state. If that fails, the last state stays."""
        self._kept_at = time.monotonic()
        try:
            with replaced_file(self.path) as unfinished:
                yield unfinished
            self.on_kept()
        except (OSError, RuntimeError) as error:  # the latter is torch's, of a full disk
            logger.warning("no checkpoint can be written, and cut off the trial would repeat more: %s", error)


def read_checkpoint(path: Path, every: float, pauses_at: tuple[int, ...] = ()) -> Checkpoint:
    """Return what a trial goes on from; an empty checkpoint if there is none that can be read."""
    if path.exists():
        try:
            content = torch.load(path, map_location="cpu", weights_only=False)  # our own file
            return Checkpoint(path, every, *_read(content[_KEY]), pauses_at)
        except Exception:  # a damaged file may fail in any way; the trial then begins anew
            logger.exception("%s cannot be read: the trial begins anew", path)
    return Checkpoint(path, every, pauses_at=pauses_at)


def _read(content: Mapping[str, Any] | bytes) -> tuple[list[Evaluation], list[Users], int, int, Generators]:
    """Return what a checkpoint says of the trial; bytes are a pickle of version 0.1.0."""
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
    """Finds the classes that version 0.1.0 pickled where they are now."""

    _MOVED: ClassVar = {
        ("tuner.results", "Evaluation"): Evaluation,
        ("tuner.results", "Users"): Users,
        ("tuner.checkpoints", "Generators"): Generators,
    }

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  # a class of any kind
        """Return a class by its old place."""
        return self._MOVED.get((module, name)) or super().find_class(module, name)
