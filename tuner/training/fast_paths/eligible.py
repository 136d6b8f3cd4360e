"""Which fast paths a module allows. A fast path may only replace methods that RecTools wrote."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getattr_static
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone
from typing_extensions import TypeIs

__all__ = [
    "allows_fused_adam",
    "allows_target_only_step",
    "allows_whole_steps",
    "is_own",
    "scored_as",
    "scores_last_only",
    "sends_batches_plainly",
]

#: Methods of `TransformerLightningModule` that compute a loss. The first is its calculator.
_LOSSES = {
    "softmax": ("_calc_softmax_loss",),
    "BCE": ("_calc_bce_loss",),
    "gBCE": ("_calc_gbce_loss", "_get_reduced_overconfidence_logits", "_calc_bce_loss"),
    "sampled_softmax": ("_calc_sampled_softmax_loss", "_calc_softmax_loss"),
}
_SIMILARITY = ("forward", "_get_full_catalog_logits", "_get_pos_neg_logits", "_get_embeddings_norm")


def allows_target_only_step(module: LightningModule, trainer: Trainer) -> TypeIs[TransformerLightningModule]:
    """Whether the module's training step does the same as `target_only_step`, and no more.

    Under mixed precision `target_only_step` rounds less: only products with the table.
    """
    return (
        isinstance(module, TransformerLightningModule)
        and trainer.precision in {"32-true", "64-true", "bf16-mixed"}
        and is_own(module, TransformerLightningModule, "training_step")
        and (_scored_positions(module) or is_own(module, TransformerLightningModule, "get_batch_logits"))
        and _calculates_loss(module)
        and isinstance(module.torch_model, TransformerTorchBackbone)
        and _is_called_as(module.torch_model, TransformerTorchBackbone, "forward")
        and scored_as(module.torch_model.similarity_module) is not None
    )


def scored_as(similarity: torch.nn.Module) -> str | None:
    """Return how a similarity scores: ``distance``, ``towers`` or ``pairs``; None if that is not known.

    RecTools' own scores by a distance. A class declares how its `forward` scores by ``scored_as`` next to it,
    in its body. ``"towers"`` means by RecTools' distance, after `session_tower_forward` and
    `item_tower_forward`. ``"pairs"`` means each pair of a session and an item by itself, so that the scores
    of some positions do not depend on the others.
    """
    if not isinstance(similarity, DistanceSimilarityModule):
        return None
    if _is_called_as(similarity, DistanceSimilarityModule, *_SIMILARITY):
        return "distance"
    found = _declaring(similarity, "forward").get("scored_as")
    names = () if found == "pairs" else _SIMILARITY[1:]
    is_called = _is_called_as(similarity, DistanceSimilarityModule, *names)
    return found if found in {"towers", "pairs"} and is_called else None


def scores_last_only(module: LightningModule, batch: Mapping[str, torch.Tensor]) -> bool:
    """Whether all targets of a session in the batch belong to its last position.

    A class may override `get_batch_logits` to score the last position, in the same way as RecTools scores all
    positions. It declares this by ``scored_positions`` next to the method, in its body. ``"last"`` means
    always, and ``"by width"`` means if a session has fewer columns of targets than positions. A class that
    overrides the method again must declare it again.
    """
    positions = _scored_positions(module)
    if positions == "by width":
        return batch["y"].shape[1] < batch["x"].shape[1]
    return positions == "last"


def _scored_positions(module: LightningModule) -> str | None:
    own = _declaring(module, "get_batch_logits")
    found = own.get("scored_positions")
    return found if found in {"last", "by width"} else None


def _declaring(instance: object, name: str) -> Mapping[str, Any]:
    """Return the body of the class that defines a method; empty if the instance has one of its own."""
    if name in vars(instance):
        return {}
    return next((vars(cls) for cls in type(instance).__mro__ if name in vars(cls)), {})


def sends_batches_plainly(module: LightningModule) -> bool:
    """Whether no code of the user reads a batch before it is copied to a GPU."""
    hooks = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
    return is_own(module, LightningModule, *hooks)


def allows_fused_adam(module: LightningModule, trainer: Trainer) -> bool:
    """Whether the optimizer is Adam or AdamW and still unused, and torch has a fused version of it.

    It must be made by RecTools, or by a class that declares ``configures_torch_optimizers = True`` in its
    body: its `configure_optimizers` only makes an optimizer of torch, and a schedule of its learning rate.
    """
    return (
        isinstance(module, TransformerLightningModule)
        and (
            is_own(module, TransformerLightningModule, "configure_optimizers")
            or _declaring(module, "configure_optimizers").get("configures_torch_optimizers") is True
        )
        and trainer.precision in {"32-true", "64-true", "bf16-mixed"}  # these do not round its numbers
        and all(
            type(optimizer) in {torch.optim.Adam, torch.optim.AdamW} and not optimizer.state
            for optimizer in trainer.optimizers
        )
        and _has_fused_adam(module)
    )


def allows_whole_steps(module: LightningModule, trainer: Trainer) -> bool:
    """Whether no code of the user runs between the loss and the update of the parameters.

    The module and all callbacks must have Lightning's own hooks there, and
    the trainer's settings for gradients must be the defaults.
    """
    hooks = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")
    steps = ("backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping")
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets this attribute at run time
    return (
        sends_batches_plainly(module)
        and is_own(module, LightningModule, *hooks, *steps)
        and all(is_own(callback, Callback, *hooks) for callback in callbacks)
        and len(trainer.optimizers) == len(trainer.optimizers[0].param_groups) == 1
        and not trainer.lr_scheduler_configs
        and not trainer.gradient_clip_val
        and trainer.accumulate_grad_batches == 1
        and not trainer._detect_anomaly  # noqa: SLF001  # Lightning has no public name for it
        and not any(p._backward_hooks or p._post_accumulate_grad_hooks for p in module.parameters())  # noqa: SLF001  # as above
    )


def _has_fused_adam(module: TransformerLightningModule) -> bool:
    try:
        torch.optim.Adam(module.torch_model.parameters(), fused=True)
    except RuntimeError:  # torch before 2.4 on a CPU, or an unsupported device
        return False
    return True


def _calculates_loss(module: TransformerLightningModule) -> bool:
    methods = _LOSSES.get(module.loss)
    return (
        methods is not None
        and module.loss_calculator == getattr(module, methods[0])
        and module._requires_negatives == (module.loss != "softmax")  # noqa: SLF001  # RecTools' step reads it
        and is_own(module, TransformerLightningModule, *methods)
    )


def _is_called_as(module: torch.nn.Module, cls: type[torch.nn.Module], *names: str) -> bool:
    """Whether a call of the module runs these methods of the class, without hooks."""
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_hooks)  # noqa: SLF001  # torch has no public names for its hooks
    return not any(hooks) and is_own(module, cls, "__call__", *names)


def is_own(instance: object, cls: type, *names: str) -> bool:
    """Whether the instance has these attributes from the class, without any override."""
    return all(getattr_static(instance, name) is getattr_static(cls, name) for name in names)
