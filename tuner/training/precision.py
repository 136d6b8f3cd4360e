"""The precision of a fit: that of RecTools, or one that is faster on a GPU but rounds more.

Every precision except ``float32`` changes results. So the study file sets it, and each trial records it. A
model always recommends in float32, for two reasons: with fewer bits many scores would tie, and an exported
model recommends in float32 too.
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
    """Set the precision of a model's fits, and return the precision that they will use.

    Parameters
    ----------
    model
        A model that is not fitted yet. Only a transformer is changed; other models stay in float32.
    precision
        ``bf16`` is Lightning's own mixed precision: it computes products in bfloat16, and keeps and updates
        the parameters in float32. ``tf32`` is a mode of the process, see `products_in`.

    Raises
    ------
    TrialError
        If the user's own `get_trainer_func` has already set another precision.
    """
    if not isinstance(model, TransformerModelBase):
        return "float32"
    if precision == "bf16":
        trainer: Trainer = model._trainer  # noqa: SLF001  # RecTools has no public access to its trainer
        if trainer.precision != "32-true":
            own = trainer.precision
            msg = f"training.precision is bf16, so get_trainer_func must leave 32-true, but has {own}"
            raise TrialError(msg)
        device = trainer.strategy.root_device.type
        trainer.strategy.precision_plugin = MixedPrecision("bf16-mixed", device)
    return precision


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Within this context, let a GPU multiply float32 matrices in TensorFloat-32 if `precision` is ``tf32``.

    With any other precision the GPU multiplies them in float32. At the end the earlier mode is restored for
    the next trial of the process. Without a GPU this has no effect.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
