"""Functions for a fitted model: recommend, count parameters, move to the CPU, and chain its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from rectools.dataset.context import get_context
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.data.folds import Fold
from tuner.errors import TrialError
from tuner.training.precision import products_in

__all__ = ["boundary", "count_parameters", "recommend", "to_cpu"]


def recommend(model: ModelBase[Any], fold: Fold, k: int, *, filter_viewed: bool) -> pd.DataFrame:
    """Recommend to the test users of a fold, as `cross_validate` does.

    Returns
    -------
    pd.DataFrame
        Up to `k` rows per user, with the columns user_id, item_id, score and rank.
    """
    context = get_context(fold.test) if model.require_recommend_context else None
    with products_in("float32"):
        return model.recommend(
            users=fold.users,
            dataset=fold.train,
            k=k,
            filter_viewed=filter_viewed,
            items_to_recommend=fold.items,
            on_unsupported_targets="ignore",
            context=context,
        )


def count_parameters(model: ModelBase[Any]) -> int | None:
    """Return the number of trainable parameters of a fitted model; None if it is not a transformer."""
    if not isinstance(model, TransformerModelBase):
        return None
    return sum(p.numel() for p in model.torch_model.parameters() if p.requires_grad)


def to_cpu(model: ModelBase[Any]) -> None:
    """Move a fitted model to the CPU before it is saved. RecTools loads a model to the device it was on."""
    if not isinstance(model, TransformerModelBase) or not torch.cuda.is_available():
        return
    model.lightning_model.cpu()
    trainer = model.fit_trainer
    for optimizer in trainer.optimizers if trainer is not None else ():
        for state in optimizer.state.values():
            for name, value in state.items():
                state[name] = value.cpu() if isinstance(value, torch.Tensor) else value


@contextmanager
def boundary(where: str) -> Iterator[None]:
    """Raise every exception of RecTools or of a user's class as a `TrialError` that says where it happened.

    The cause is chained.
    """
    try:
        yield
    except TrialError as error:
        raise TrialError(f"{where}: {error.message}", hint=error.hint) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise TrialError(f"{where}: {type(error).__name__}: {reason}") from error
