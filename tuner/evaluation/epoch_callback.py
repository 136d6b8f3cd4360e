"""Callbacks of a Lightning fit. One evaluates the model, without an effect on the fit.

If several ranks train the model, rank 0 evaluates it, and the others follow.
"""

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
from tuner.evaluation.plan import Plan
from tuner.training.checkpoints import Checkpoint, Generators
from tuner.training.ranks import Ranks

__all__ = ["EpochEvaluations", "FitStart", "FollowFirst"]


class FitStart(Callback):
    """Starts a fit: from a checkpoint if there is one, and with random numbers of its own in each rank.

    Parameters
    ----------
    plan
        How the fold is measured.
    generators
        Random generators of this rank to continue with; None to start the fit from its beginning.
    ranks
        The ranks that train the model.
    seed
        Seed of the fold.
    """

    def __init__(self, plan: Plan, generators: Generators | None, ranks: Ranks, seed: int) -> None:
        self._plan = plan
        self._generators = generators
        self._ranks = ranks
        self._seed = seed
        self._has_begun = False

    def __deepcopy__(self, _memo: dict[int, object]) -> FitStart:
        """Return the callback itself, because RecTools copies its trainer and the callbacks at each fit."""
        return self

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let patience end the fit early: RecTools sets a minimal number of epochs."""
        if self._plan.patience is not None:
            trainer.fit_loop.min_epochs = 1
        if self._generators is not None:
            pl_module.is_fitted = True  # type: ignore[assignment]  # with this flag, RecTools does not draw new weights

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Before the first epoch, set the random generators. RecTools has drawn the weights by now."""
        if self._has_begun:
            return
        self._has_begun = True
        if self._generators is None:
            self._ranks.start_alike(pl_module, self._seed)
        else:
            pl_module.is_fitted = False  # type: ignore[assignment]  # as above
            self._generators.restore()


class EpochEvaluations(Callback):
    """Evaluates a model during a Lightning fit, at the end of epochs.

    Parameters
    ----------
    model
        The RecTools model that is fitted.
    measure
        Measures the model and reports the evaluations.
    checkpoint
        Checkpoint of the fold, to continue from and to save to; None to save nothing.
    ranks
        The ranks that train the model. This one is rank 0.
    """

    def __init__(
        self,
        model: TransformerModelBase[Any],
        measure: Measure,
        checkpoint: Checkpoint | None,
        ranks: Ranks,
    ) -> None:
        self.model = model
        self.measure = measure
        self.checkpoint = checkpoint
        self.ranks = ranks
        self._others: list[Generators] = []

    def __deepcopy__(self, _memo: dict[int, object]) -> EpochEvaluations:
        """Return the callback itself, because RecTools copies its trainer and the callbacks at each fit."""
        return self

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Start the clock of the epoch."""
        self.measure.epoch_began()

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002  # Lightning's signature
        checkpoint: dict[str, Any],
    ) -> None:
        """Add the measurements to Lightning's checkpoint of the fit."""
        if self.checkpoint is not None:
            self.checkpoint.describe(
                checkpoint,
                epoch=trainer.current_epoch + 1,
                users=self.measure.by_user(),
                others=self._others,
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch, and evaluate the model if an evaluation is due."""
        loss = self.ranks.mean(_loss(trainer, self.model))
        self.measure.epoch_done(trainer.current_epoch + 1, loss, _learning_rate(trainer))
        if self.measure.due(trainer.max_epochs or 0):
            self._evaluate(trainer, pl_module)
        self.ranks.go_on(stop=trainer.should_stop)

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        before = self.measure.measured or 0
        with _undisturbed(self.model, pl_module):
            evaluation = self.measure.take()
        may_pause = self._may_pause_here(before)
        if may_pause:
            self._save(trainer)
        with _undisturbed(self.model, pl_module):
            self.measure.send(evaluation)
        if self.measure.out_of_patience:
            trainer.should_stop = True
        elif self.checkpoint is not None and self.checkpoint.is_due and not may_pause:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if self.checkpoint is not None:
            self._others = self.ranks.states()
            self.checkpoint.epoch_ended(trainer)

    def _may_pause_here(self, before: int) -> bool:
        """Whether the trial may be paused at this evaluation. Then a checkpoint is saved before the report.

        A trial is not paused where patience ends the fold: a fit that continues from there would train on.
        """
        if self.checkpoint is None or self.measure.fold.index or self.measure.out_of_patience:
            return False
        return any(before < epoch <= self.measure.epoch for epoch in self.checkpoint.pauses_at)


class FollowFirst(Callback):
    """Waits at the end of each epoch for rank 0, which evaluates the model, and does what it says.

    Parameters
    ----------
    model
        The RecTools model that is fitted.
    ranks
        The ranks that train the model. This one is not rank 0.
    """

    def __init__(self, model: TransformerModelBase[Any], ranks: Ranks) -> None:
        self._model = model
        self._ranks = ranks

    def __deepcopy__(self, _memo: dict[int, object]) -> FollowFirst:
        """Return the callback itself, because RecTools copies its trainer and the callbacks at each fit."""
        return self

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002  # Lightning's signature
        """Wait for rank 0."""
        self._ranks.mean(_loss(trainer, self._model))
        if self._ranks.follow():
            trainer.should_stop = True


def _loss(trainer: Trainer, model: TransformerModelBase[Any]) -> float | None:
    """Return the training loss of the epoch, as this rank has logged it."""
    loss = trainer.callback_metrics.get(model.train_loss_name)
    return None if loss is None else float(loss)


def _learning_rate(trainer: Trainer) -> float | None:
    return float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else None


@contextmanager
def _undisturbed(model: TransformerModelBase[Any], pl_module: LightningModule) -> Iterator[None]:
    """Let a model recommend during its fit, then restore random generators, modes and flags."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # RecTools uses the global generator
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
