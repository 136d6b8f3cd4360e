"""Evaluates within a Lightning fit, and leaves no trace in it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.evaluation.measure import Measure
from tuner.training.checkpoints import Checkpoint

__all__ = ["EpochEvaluations"]


class EpochEvaluations(Callback):
    """Evaluates within a Lightning fit, at the end of epochs."""

    def __init__(
        self, model: TransformerModelBase[Any], measure: Measure, checkpoint: Checkpoint | None
    ) -> None:
        self.model = model
        self.measure = measure
        self.checkpoint = checkpoint
        self._generators = checkpoint.generators if checkpoint is not None and checkpoint.epoch else None

    def __deepcopy__(self, _memo: dict[int, object]) -> EpochEvaluations:
        """RecTools copies its trainer at each fit; the copy must report to the same place."""
        return self

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let patience end a fit before the minimal epochs that RecTools sets."""
        if self.measure.plan.patience is not None:
            trainer.fit_loop.min_epochs = 1
        if self._generators is not None:
            pl_module.is_fitted = True  # type: ignore[assignment]  # RecTools' flag: its weights are not to be drawn anew

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Begin its time; draw the numbers that come after those of a fit that was cut off."""
        self.measure.epoch_began()
        if self._generators is not None:
            pl_module.is_fitted = False  # type: ignore[assignment]  # as above
            self._generators.restore()
            self._generators = None

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # Lightning's signature
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep in the fit's checkpoint what has been measured."""
        if self.checkpoint is not None:
            epoch = trainer.current_epoch + 1
            self.checkpoint.describe(checkpoint, epoch=epoch, users=self.measure.by_user())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch; evaluate where one is due."""
        loss = trainer.callback_metrics.get(self.model.train_loss_name)
        self.measure.epoch_done(
            trainer.current_epoch + 1, None if loss is None else float(loss), _learning_rate(trainer)
        )
        if not self.measure.due(trainer.max_epochs or 0):
            return
        before = self.measure.measured or 0
        with _undisturbed(self.model, pl_module):
            evaluation = self.measure.take()
        may_rest = self._may_rest_here(before)
        if may_rest and self.checkpoint is not None:
            self.checkpoint.epoch_ended(trainer)
        with _undisturbed(self.model, pl_module):
            self.measure.tell(evaluation)
        if self.measure.out_of_patience:
            trainer.should_stop = True
        elif self.checkpoint is not None and self.checkpoint.is_due and not may_rest:
            self.checkpoint.epoch_ended(trainer)

    def _may_rest_here(self, before: int) -> bool:
        """Whether the trial may be left at this evaluation, and its state is kept before it is reported.

        Not where patience ends the fold: a fit that went on from there would train on.
        """
        if self.checkpoint is None or self.measure.fold.index or self.measure.out_of_patience:
            return False
        return any(before < epoch <= self.measure.epoch for epoch in self.checkpoint.pauses_at)


def _learning_rate(trainer: Trainer) -> float | None:
    return float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else None


@contextmanager
def _undisturbed(model: TransformerModelBase[Any], pl_module: LightningModule) -> Iterator[None]:
    """Let a half-fitted model recommend, and leave no trace: generators, modes and flags are put back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # RecTools draws from the global generator
    modes = {module: module.training for module in pl_module.modules()}
    fitted, device = model.is_fitted, model.recommend_torch_device
    model.is_fitted = True
    model.recommend_torch_device = device or str(pl_module.device)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        model.is_fitted, model.recommend_torch_device = fitted, device
        for module, mode in modes.items():
            module.training = mode
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002  # as above
