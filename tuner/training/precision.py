"""The arithmetic of a fit: as RecTools has it, or one that is faster on a GPU and rounds more.

Anything but ``float32`` changes numbers, so it is the study's choice, recorded with each trial. Recommending
stays in float32 with all of them: scores of 8 bits tie, and an exported model recommends in float32 as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.precision import MixedPrecision
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.config import Precision
from tuner.errors import TrialError

__all__ = ["products_in", "set_precision"]


def set_precision(model: ModelBase[Any], precision: Precision) -> Precision:
    """Let a model's fits compute in a precision, and return the one that they will compute in.

    Parameters
    ----------
    model
        Not yet fitted. Only a transformer is trained by steps; any other computes as ever.
    precision
        ``bf16`` is Lightning's own mixed precision: products in bfloat16, parameters and their updates in
        float32. ``tf32`` is a mode of the process, see `products_in`.

    Raises
    ------
    TrialError
        If the trainer of the user's own function has another precision already.
    """
    if not isinstance(model, TransformerModelBase):
        return "float32"
    if precision == "bf16":
        trainer: Trainer = model._trainer  # noqa: SLF001  # Lightning sets it; there is no public way in
        if trainer.precision != "32-true":
            own = trainer.precision
            msg = f"training.precision is bf16, so get_trainer_func must leave 32-true, but has {own}"
            raise TrialError(msg)
        device = trainer.strategy.root_device.type
        trainer.strategy.precision_plugin = MixedPrecision("bf16-mixed", device)
    return precision


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Let a GPU take products of float32 matrices in TensorFloat-32 within it, or, if not ``tf32``, not so.

    Without a GPU it has no effect. The mode of before is put back, for the next trial of the process.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
