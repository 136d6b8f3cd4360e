"""Entry point of the fast paths: a Lightning callback puts them into a module during a fit."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from tuner.training.fast_paths.data import Draws, accelerate_data, on_gpu, restore_data
from tuner.training.fast_paths.ease import accelerate_ease
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


def accelerate(model: ModelBase[Any], *, unpadded: bool = False, replay: bool = True) -> FastPaths:
    """Let a model's fits and recommendations use every fast path that gives RecTools' own results.

    If a user's class overrides a method, no fast path replaces that method. A saved, pickled or copied model
    is RecTools' plain model. `FastPaths.leave` turns the model itself back into the plain one.

    Parameters
    ----------
    model
        Any RecTools model that is not fitted yet. Only a transformer or EASE is changed.
    unpadded
        Whether fits may also skip padding. Random numbers are then drawn for real tokens only, so they differ
        from RecTools'.
    replay
        Whether a GPU may replay whole steps. One device must do all work of a step.

    Returns
    -------
    FastPaths
        The callback, which also knows which fast paths the last fit used.
    """
    paths = FastPaths(unpadded=unpadded, replay=replay)
    paths.data = accelerate_ease(model)
    if isinstance(model, TransformerModelBase):
        paths.data = accelerate_data(model, paths.draws)
        # RecTools' trainer gets the callback, so that the model's params stay those of a plain model.
        model._trainer.callbacks.append(paths)  # type: ignore[attr-defined]  # noqa: SLF001  # RecTools has no public access to its trainer
    return paths


class FastPaths(Callback):
    """Puts the fast paths into the module during each fit of a model, and removes them afterwards.

    Attributes
    ----------
    unpadded
        Whether fits may skip padding.
    replay
        Whether a GPU may replay whole steps.
    draws
        How the batches of a fit are made.
    data
        Names of the fast paths for loading data and recommending, and for EASE.
    step
        Names of the fast paths that the training steps of the last fit used.
    """

    def __init__(self, *, unpadded: bool = False, replay: bool = True) -> None:
        self.unpadded = unpadded
        self.replay = replay
        self.draws = Draws()
        self.data: tuple[str, ...] = ()
        self.step: tuple[str, ...] = ()
        self._placed: dict[str, Callable[..., Any]] = {}
        self._replayed: ReplayedSteps | None = None

    @property
    def applied(self) -> tuple[str, ...]:
        """Names of all fast paths in use, to show to people."""
        return self.data + self.step

    def __deepcopy__(self, _memo: dict[int, object]) -> FastPaths:
        """Return this object: RecTools copies its trainer at each fit, and all copies share one callback."""
        return self

    def leave(self, model: ModelBase[Any]) -> None:
        """Turn a model back into RecTools' plain one, and release the data kept for its recommendations."""
        if isinstance(model, TransformerModelBase):
            restore_data(model)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace methods of RecTools before the first step."""
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
                self.draws.pinned, self.draws.freely = False, unpadded
                self.step += ("replayed steps",)
            elif on_gpu(trainer) and sends_batches_plainly(pl_module):
                ahead = TargetsAhead(pl_module, take)
                self._placed = {"training_step": ahead.step, "on_before_batch_transfer": ahead.find}
            for name, ours in self._placed.items():
                setattr(pl_module, name, ours)  # until the fit ends
            self.step += (f"target-only {pl_module.loss}",)
            if unpadded:
                self.step += ("unpadded encoder",)
            elif encodes_at_targets(pl_module.torch_model):
                self.step += ("encoder at targets",)
        if allows_fused_adam(pl_module, trainer):
            _set_fused(trainer, fused=True)
            self.step += ("fused Adam",)

    def _replays(self, trainer: Trainer, module: TransformerLightningModule) -> bool:
        return (
            self.replay
            and on_gpu(trainer)
            and allows_fused_adam(module, trainer)
            and allows_whole_steps(module, trainer)
            and same_at_each_step(module.torch_model)
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Turn the module back into RecTools' plain one."""
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
        """Turn the module back into the plain one when a fit raises an error too."""
        self.on_fit_end(trainer, pl_module)


def _set_fused(trainer: Trainer, *, fused: bool | None) -> None:
    """Choose Adam's kernels: one for all parameters, or torch's own choice (None)."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["fused"] = fused
