"""What training a transformer takes, as far as its params say it: to order configurations by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.models.build import complete_params
from tuner.models.signatures import model_class
from tuner.space import Value

__all__ = ["Work", "training_memory", "training_work", "work_of"]


@dataclass(frozen=True)
class Work:
    """What a trial takes.

    Attributes
    ----------
    cls
        Class of the model; of one class works can be compared.
    amount
        See `training_work`.
    memory
        See `training_memory`.
    """

    cls: str
    amount: float
    memory: int


def work_of(params: Mapping[str, Value], n_items: int) -> Work | None:
    """Return what flat params take, with defaults filled in; None for a model not trained by steps.

    Parameters
    ----------
    params
        Flat params of any model.
    n_items
        In the catalog of the largest fold.
    """
    cls = model_class(params.get("cls"))
    if cls is None or not issubclass(cls, TransformerModelBase):
        return None
    name = f"{cls.__module__}.{cls.__qualname__}"
    full = {**_defaults(name), **params}
    return Work(name, training_work(full, n_items), training_memory(full, n_items))


@lru_cache
def _defaults(cls: str) -> dict[str, Value]:
    return complete_params({"cls": cls})


def training_work(params: Mapping[str, Value], n_items: int) -> float:
    """Return roughly the multiplications of one training step, to order configurations by.

    For B sessions of length L, N blocks of width d and C candidate items for each position:
    ``B * L * (N * (12 * d^2 + 2 * L * d) + C * d)``.

    Parameters
    ----------
    params
        Complete flat params of a transformer.
    n_items
        Candidates of a loss over the whole catalog; others have their negatives and the target.
    """
    named: dict[str, Any] = dict(params)
    length, width = int(named["session_max_len"]), int(named["n_factors"])
    encoder = int(named["n_blocks"]) * (12 * width**2 + 2 * length * width)
    return float(int(named["batch_size"]) * length * (encoder + _candidates(named, n_items) * width))


def training_memory(params: Mapping[str, Value], n_items: int) -> int:
    """Return roughly the bytes of the tensors of one training step by RecTools' own code, in float32.

    Of each of ``n_items * d + 12 * N * d^2`` parameters there are the value, its gradient and two moments
    of Adam; of B sessions of length L there are about ``B * L * N * (16 * d + 2 * H * L)`` activations kept
    for the backward pass, with H heads, and three times the scores of C candidates for each position. The
    fast paths make fewer scores at a time.
    """
    named: dict[str, Any] = dict(params)
    length, width, blocks = int(named["session_max_len"]), int(named["n_factors"]), int(named["n_blocks"])
    parameters = n_items * width + 12 * blocks * width**2
    by_position = blocks * (16 * width + 2 * int(named["n_heads"]) * length)
    scores = 3 * _candidates(named, n_items)
    return 4 * (4 * parameters + int(named["batch_size"]) * length * (by_position + scores))


def _candidates(named: Mapping[str, Any], n_items: int) -> int:
    return n_items if named["loss"] == "softmax" else 1 + int(named["n_negatives"])
