"""Checkpoints of a running trial. An interrupted or paused trial continues from them, with the same results.

Each fold of a trial has one file, which is always replaced as a whole. It is Lightning's own checkpoint of
the fit, and it also contains the evaluations so far and the state of all random generators. It is written at
the end of an epoch, when no other work is in progress. A fit that continues from it draws the same random
numbers as an uninterrupted fit. When the fold has ended there is no fit to save, so the file contains only
the results. Earlier versions had one file for all folds of a trial, in the same format.
"""

from __future__ import annotations

import io
import logging
import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
#: Share of a fold's time that checkpoints may take, and least seconds between two of them.
_SHARE, _LEAST_SECONDS = 0.02, 2.0


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

    def to_plain(self) -> tuple[Any, Any, Any, Any]:
        """Return the arguments of this class. `dataclasses.astuple` would copy each of a thousand numbers."""
        return self.python, self.numpy, self.torch, self.cuda

    def restore(self) -> None:
        """Set the generators back to this state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002  # as above
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


@dataclass
class Checkpoint:
    """The results of one fold of a trial so far, and the file that stores them.

    Attributes
    ----------
    path
        Path of the file.
    every
        Seconds between two checkpoints at most. Those that are written quickly are written more often.
    fold
        Index of the fold.
    evaluations, users
        All reports so far, in order; at most one of `users`, which is incomplete if the fold has not ended.
    ended
        Whether the fold has ended, so that nothing is left to do.
    epoch
        Number of finished epochs of the fit that continues; 0 if there is none.
    generators
        State of the random generators at the end of that epoch.
    others
        The same of the other ranks, in their order, if the trial trains on several devices.
    pauses_at
        Epochs of the first fold at which the trial may be paused. A checkpoint is always written there.
    lightning
        Path from which Lightning loads the fit; None if the fold starts from the beginning.
    on_kept
        Called after the file has been written.
    """

    path: Path
    every: float
    fold: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    users: list[Users] = field(default_factory=list)
    ended: bool = False
    epoch: int = 0
    generators: Generators | None = None
    others: tuple[Generators, ...] = ()
    pauses_at: tuple[int, ...] = ()
    lightning: str | None = None
    on_kept: Callable[[], None] = field(default=lambda: None)
    _kept_at: float = field(default_factory=time.monotonic)
    _took: float = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to write a new checkpoint.

        An interrupted trial repeats the work since its last one. Writing takes at most `_SHARE` of the time.
        """
        often = max(_LEAST_SECONDS, self._took / _SHARE)
        return time.monotonic() - self._kept_at >= min(self.every, often)

    def generators_of(self, rank: int) -> Generators | None:
        """Return the random generators of a rank to continue from; None if the fold starts anew."""
        if not self.epoch:
            return None
        return self.generators if rank == 0 else self.others[rank - 1]

    def epoch_ended(self, trainer: Trainer) -> None:
        """Save the state of a fit. A callback of the fit calls `describe` meanwhile, to add the results."""
        with self._kept() as unfinished:
            trainer.save_checkpoint(unfinished)

    def describe(
        self,
        content: dict[str, Any],
        *,
        epoch: int,
        users: Users | None,
        others: Sequence[Generators] = (),
    ) -> None:
        """Add the results so far to Lightning's checkpoint.

        Parameters
        ----------
        content
            The content of the file, which this method changes.
        epoch
            Number of finished epochs of the fold.
        users
            Per-user values of the fold so far.
        others
            Random generators of the other ranks.
        """
        so_far = [*self.users, *([users] if users is not None else [])]
        content[_KEY] = {
            "evaluations": [one.to_plain() for one in self.evaluations],
            "users": [(one.fold, one.epochs, one.values) for one in so_far],
            "fold": self.fold + self.ended,
            "epoch": epoch,
            "generators": Generators.now().to_plain(),
            **({"ranks": [one.to_plain() for one in others]} if others else {}),
        }

    def fold_ended(self, users: Users | None) -> None:
        """Save the results of the finished fold. Its fit is no longer needed."""
        self.users = [users] if users is not None else []
        self.ended, self.epoch = True, 0
        content: dict[str, Any] = {}
        self.describe(content, epoch=0, users=None)
        with self._kept() as unfinished:
            torch.save(content, unfinished)

    @contextmanager
    def _kept(self) -> Iterator[Path]:
        """Yield a path to write to, then replace the last checkpoint. If that fails, the last one stays."""
        began = self._kept_at = time.monotonic()
        try:
            with replaced_file(self.path) as unfinished:
                yield unfinished
            self.on_kept()
            self._took = time.monotonic() - began
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the disk is full
            logger.warning(
                "cannot write a checkpoint; if interrupted, the trial repeats more work: %s", error
            )


def read_checkpoint(
    path: Path,
    every: float,
    pauses_at: tuple[int, ...] = (),
    *,
    fold: int = 0,
    earlier: Path | None = None,
) -> Checkpoint:
    """Return the checkpoint of a fold of a trial. It is empty if no file has a state of the fold.

    Parameters
    ----------
    path, every, pauses_at, fold
        See `Checkpoint`.
    earlier
        Path of the file that an earlier version wrote of all folds. It is read if there is no file at `path`.
    """
    empty = Checkpoint(path, every, fold, pauses_at=pauses_at)
    source = earlier if earlier is not None and not path.exists() else path
    if source.exists():
        try:
            content = torch.load(source, map_location="cpu", weights_only=False)  # our own file
            return _with_state(empty, source, _read(content[_KEY]))
        except Exception:  # a damaged file can raise any error
            logger.exception("cannot read %s: the fold starts from the beginning", source)
    return empty


#: Evaluations, users, index of the fold that a trial has reached, finished epochs in it, generators, and
#: those of other ranks.
_State = tuple[list[Evaluation], list[Users], int, int, Generators, tuple[Generators, ...]]


def _with_state(empty: Checkpoint, source: Path, state: _State) -> Checkpoint:
    """Return a checkpoint with what a file says of its fold; the file says how far a trial has come."""
    evaluations, users, reached, epoch, generators, others = state
    fold = empty.fold
    begun = reached == fold and epoch > 0
    return replace(
        empty,
        evaluations=[one for one in evaluations if one.fold == fold],
        users=[one for one in users if one.fold == fold],
        ended=reached > fold,
        epoch=epoch if begun else 0,
        generators=generators if begun else None,
        others=others if begun else (),
        lightning=str(source) if begun else None,
    )


def _read(content: Mapping[str, Any] | bytes) -> _State:
    """Return the state in a file's content. Version 0.1.0 wrote it as a pickle, in bytes."""
    if isinstance(content, bytes):
        evaluations, users, fold, epoch, generators = _OldUnpickler(
            io.BytesIO(content)
        ).load()  # our own file
        return evaluations, users, fold, epoch, generators, ()
    return (
        [Evaluation.from_plain(one) for one in content["evaluations"]],
        [Users(*one) for one in content["users"]],
        content["fold"],
        content["epoch"],
        Generators(*content["generators"]),
        tuple(Generators(*one) for one in content.get("ranks", ())),
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
