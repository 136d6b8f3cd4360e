"""Trains one model on several devices by Lightning's DDP. Each device has a process of its own, a rank.

All ranks fit at the same time. Each takes its part of every epoch's sessions, and after each step all have
the mean of their gradients. Rank 0 alone evaluates and writes checkpoints. Meanwhile the others wait for what
it says. All that a fit of one device does is the same with `Ranks()`, which is a single rank.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase
from torch import distributed

from tuner.errors import TrialError
from tuner.training.checkpoints import Generators
from tuner.trials.seeds import rank_seed

__all__ = ["Ranks", "is_of_connection"]

_FileStore: Any = distributed.FileStore  # type: ignore[attr-defined]  # torch does not list it as its own
#: Longest wait of one rank for another. The process that started them ends all of them when one has ended.
_LONGEST = timedelta(days=30)
#: What rank 0 says to the others at the end of an epoch.
_SEND_STATES, _GO_ON, _STOP = "send states", "go on", "stop"
#: Words in torch's errors about a rank that has gone.
_CONNECTION = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")


@dataclass(frozen=True)
class Ranks:
    """The ranks that train one model, seen from one of them.

    Attributes
    ----------
    rank
        Number of this rank, from 0.
    count
        Number of ranks.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank evaluates and writes checkpoints."""
        return self.rank == 0

    @contextmanager
    def joined(self, store: Path) -> Iterator[None]:
        """Connect this rank to the others in this context.

        Parameters
        ----------
        store
            Path of a file that does not exist yet. By it the ranks find each other.
        """
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(
            backend,
            store=_FileStore(str(store), self.count),
            rank=self.rank,
            world_size=self.count,
            timeout=_LONGEST,
        )
        yield
        distributed.destroy_process_group()  # after an error the others may never come

    def train(self, model: ModelBase[Any]) -> None:
        """Let a model that is not fitted yet train on the device of this rank, together with the others.

        Raises
        ------
        TrialError
            If the trainer of the user's `get_trainer_func` chose several devices or a strategy itself, or
            there are not enough GPUs.
        """
        if self.count == 1 or not isinstance(model, TransformerModelBase):
            return
        trainer: Trainer = model._trainer  # noqa: SLF001  # RecTools has no public access to its trainer
        own = trainer.strategy
        if type(own) is not SingleDeviceStrategy:
            msg = (
                f"get_trainer_func must leave devices and strategy to the study, but has {type(own).__name__}"
            )
            raise TrialError(msg, hint="pass devices=1, and give resources.devices or gpus_per_trial")
        together = _Together(
            accelerator=own.accelerator,
            parallel_devices=self._devices(own.root_device.type),
            cluster_environment=_Environment(self),
            checkpoint_io=own.checkpoint_io,
            precision_plugin=own.precision_plugin,
            find_unused_parameters=True,  # a module may have some; on one device they do no harm
        )
        together.set_world_ranks()
        trainer._accelerator_connector.strategy = together  # noqa: SLF001  # a trainer takes it only when it is made

    def _devices(self, kind: str) -> list[torch.device]:
        if kind == "cpu":
            return [torch.device("cpu")] * self.count
        found = torch.cuda.device_count() if kind == "cuda" else 1
        if found < self.count:
            msg = f"must have {self.count} devices of the kind {kind} for one trial, but found {found}"
            raise TrialError(msg, hint="set resources.gpus_per_trial; resources.devices alone means CPUs")
        return [torch.device(kind, index) for index in range(self.count)]

    def start_alike(self, module: LightningModule, seed: int) -> None:
        """Give all ranks the first weights of rank 0, and each rank but 0 random numbers of its own.

        Without this, all ranks would draw the same dropout masks and negatives for their different sessions.
        """
        if self.count == 1:
            return
        with torch.no_grad():
            for values in (*module.parameters(), *module.buffers()):
                distributed.broadcast(values, src=0)
        if not self.is_first:
            own = rank_seed(seed, self.rank)
            random.seed(own)
            np.random.seed(own)  # noqa: NPY002  # RecTools draws from the global generator
            torch.manual_seed(own)

    def mean(self, value: float | None) -> float | None:
        """Return the mean of a value over all ranks. All ranks must call this."""
        if self.count == 1 or value is None:
            return value
        return sum(cast("list[float]", self._gathered(value))) / self.count

    def states(self) -> list[Generators]:
        """Return the random generators of the other ranks, which `follow` meanwhile. Rank 0 calls this."""
        if self.count == 1:
            return []
        self._said(_SEND_STATES)
        return cast("list[Generators]", self._gathered(None)[1:])

    def go_on(self, *, stop: bool) -> None:
        """Let the other ranks, which `follow`, begin the next epoch, or end their fit."""
        if self.count > 1:
            self._said(_STOP if stop else _GO_ON)

    def follow(self) -> bool:
        """Do what rank 0 says until the next epoch. Return whether to end the fit."""
        while (word := self._said(None)) == _SEND_STATES:
            self._gathered(Generators.now())
        return word == _STOP

    def _gathered(self, value: object) -> list[Any]:
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def _said(self, word: str | None) -> str | None:
        """Return the word of rank 0, which the other ranks do not know."""
        words = [word]
        distributed.broadcast_object_list(words, src=0, device=torch.device("cpu"))
        return words[0]


class _Together(DDPStrategy):
    """DDP in which rank 0 may save the model alone.

    Lightning's own waits for all ranks when it saves. No rank here reads what another one writes during the
    fit, so none has to wait.
    """

    def barrier(self, *args: object, **kwargs: object) -> None:
        """Wait for nothing."""

    def _configure_launcher(self) -> None:
        """Start no processes, because they all run already."""


class _Environment(ClusterEnvironment):
    """Tells Lightning which rank this process is. The ranks are connected before."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0

    @staticmethod
    def detect() -> bool:
        """Return whether to choose this class without being asked."""
        return False

    def world_size(self) -> int:
        """Return the number of ranks."""
        return self._ranks.count

    def set_world_size(self, size: int) -> None:
        """Do nothing: the number is known."""

    def global_rank(self) -> int:
        """Return the number of this rank."""
        return self._ranks.rank

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: the number is known."""

    def local_rank(self) -> int:
        """Return the number of this rank on its machine. All ranks are on one."""
        return self._ranks.rank

    def node_rank(self) -> int:
        """Return the number of the machine."""
        return 0


def is_of_connection(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, says only that another rank has gone."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, RuntimeError) and any(word in text for word in _CONNECTION):
            return True
        error = error.__cause__ or error.__context__
    return False
