"""The way in: a Lightning callback puts the fast paths into a module for the time of a fit."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from tuner.training.fast_paths.data import Draws, accelerate_data, on_gpu, restore_data
from tuner.training.fast_paths.eligible import (
    allows_fused_adam,
    allows_target_only_step,
    allows_whole_steps,
    sends_batches_plainly,
)
from tuner.training.fast_paths.encoder import encodes_at_targets, encodes_unpadded, same_at_each_step
from tuner.training.fast_paths.replayed import ReplayedSteps
from tuner.training.fast_paths.step import TargetsAhead, target_only_step, unpadded_step

__all__ = ["FastPaths", "accelerate"]


def accelerate(model: ModelBase[Any], *, unpadded: bool = False) -> FastPaths:
    """Let a model's fits and recommendations take every fast path that gives RecTools' own results.

    A class of the user's that overrides what a path replaces keeps its own. Saved, pickled or copied, the
    model is RecTools' plain model; `FastPaths.leave` makes it that again itself.

    Parameters
    ----------
    model
        Any RecTools model, not yet fitted; other than a transformer it is left alone.
    unpadded
        Also without padding: random numbers are drawn for real tokens alone, so they are not RecTools'.

    Returns
    -------
    FastPaths
        Tells which paths the last fit took.
    """
    paths = FastPaths(unpadded=unpadded)
    if isinstance(model, TransformerModelBase):
        paths.data = accelerate_data(model, paths.draws)
        # To the trainer that RecTools made, so that the model's params stay those of a plain model.
        model._trainer.callbacks.append(paths)  # type: ignore[attr-defined]  # noqa: SLF001  # Lightning sets it; there is no public way in
    return paths


class FastPaths(Callback):
    """Takes the fast paths within each fit of a model, and leaves the module as it was.

    Attributes
    ----------
    unpadded
        Whether fits may go without padding.
    draws
        What the batches of a fit have to draw.
    data
        Names of the paths that load data and recommend.
    step
        Names of those that the last fit took in its steps.
    """

    def __init__(self, *, unpadded: bool = False) -> None:
        self.unpadded = unpadded
        self.draws = Draws()
        self.data: tuple[str, ...] = ()
        self.step: tuple[str, ...] = ()
        self._placed: dict[str, Callable[..., Any]] = {}
        self._replayed: ReplayedSteps | None = None

    @property
    def applied(self) -> tuple[str, ...]:
        """All of them, for people."""
        return self.data + self.step

    def __deepcopy__(self, _memo: dict[int, object]) -> FastPaths:
        """RecTools copies its trainer at each fit; the copy must report to the same place."""
        return self

    def leave(self, model: ModelBase[Any]) -> None:
        """Make a model RecTools' plain one, and let go of the data kept for its recommendations."""
        if isinstance(model, TransformerModelBase):
            restore_data(model)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace what is RecTools' own, before the first step."""
        self.step, self._placed = (), {}
        self.draws.reset()
        if allows_target_only_step(pl_module, trainer):
            unpadded = self.unpadded and encodes_unpadded(pl_module.torch_model)
            self.draws.at_targets = unpadded
            take = unpadded_step if unpadded else target_only_step
            self._placed = {"training_step": MethodType(take, pl_module)}
            if self._replays(trainer, pl_module):
                _set_fused(trainer, fused=True)
                self._replayed = ReplayedSteps(pl_module, trainer.optimizers[0], unpadded=unpadded)
                self._placed = self._replayed.methods()
                self.draws.ahead, self.draws.no_negatives = True, unpadded
                self.step += ("replayed steps",)
            elif on_gpu(trainer) and sends_batches_plainly(pl_module):
                ahead = TargetsAhead(pl_module, take)
                self._placed = {"training_step": ahead.step, "on_before_batch_transfer": ahead.find}
            for name, ours in self._placed.items():
                setattr(pl_module, name, ours)  # for the time of the fit
            self.step += (f"target-only {pl_module.loss}",)
            if unpadded:
                self.step += ("unpadded encoder",)
            elif encodes_at_targets(pl_module.torch_model):
                self.step += ("encoder at targets",)
        if allows_fused_adam(pl_module, trainer):
            _set_fused(trainer, fused=True)
            self.step += ("fused Adam",)

    @staticmethod
    def _replays(trainer: Trainer, module: TransformerLightningModule) -> bool:
        return (
            on_gpu(trainer)
            and allows_fused_adam(module, trainer)
            and allows_whole_steps(module, trainer)
            and same_at_each_step(module.torch_model)
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave RecTools' plain module behind."""
        if self._replayed is not None:
            self._replayed.close()
            self._replayed = None
        for name, ours in self._placed.items():
            if vars(pl_module).get(name) == ours:
                delattr(pl_module, name)
        self._placed = {}
        if "fused Adam" in self.step:
            _set_fused(trainer, fused=None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002  # Lightning's signature
        """Leave a plain module behind also where a fit breaks off."""
        self.on_fit_end(trainer, pl_module)


def _set_fused(trainer: Trainer, *, fused: bool | None) -> None:
    """Switch Adam's kernels: all parameters in one, or torch's own choice (None)."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["fused"] = fused
