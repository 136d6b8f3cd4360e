"""Estimates the work and the memory of training a transformer from its params, to order configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.models.build import complete_params
from tuner.models.signatures import model_class
from tuner.space import Value

__all__ = ["Work", "work_of"]


@dataclass(frozen=True)
class Work:
    """Estimated cost of a trial.

    Attributes
    ----------
    cls
        Import path of the model class. Only costs of the same class can be compared.
    amount
        Multiplications of one training step; see `training_work`.
    memory
        Bytes; see `training_memory`.
    """

    cls: str
    amount: float
    memory: int


def work_of(params: Mapping[str, Value], n_items: int) -> Work | None:
    """Return the estimated cost of training a model, or None if the model is not a transformer.

    Parameters
    ----------
    params
        Flat params of any model. Params that are not given have their defaults.
    n_items
        Number of items in the catalog of the largest fold.
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
    """Return approximately the number of multiplications of one training step.

    For B sessions of length L, N blocks of width d and C candidate items at each position, it is
    ``B * L * (N * (12 * d^2 + 2 * L * d) + C * d)``.

    Parameters
    ----------
    params
        Complete flat params of a transformer.
    n_items
        Number of items in the catalog. Softmax scores all of them; other losses score the target and the
        negatives.
    """
    named: dict[str, Any] = dict(params)
    length, width = int(named["session_max_len"]), int(named["n_factors"])
    encoder = int(named["n_blocks"]) * (12 * width**2 + 2 * length * width)
    return float(int(named["batch_size"]) * length * (encoder + _candidates(named, n_items) * width))


def training_memory(params: Mapping[str, Value], n_items: int) -> int:
    """Return approximately the bytes of all tensors of one training step, for RecTools' own code in float32.

    The notation is that of `training_work`, with H heads. There are ``n_items * d + 12 * N * d^2``
    parameters. Each has a value, a gradient and two moments of Adam. The backward pass needs about
    ``B * L * N * (16 * d + 2 * H * L)`` activations, and the scores of C candidates at each position three
    times. The fast paths need less memory, because they compute fewer scores at a time.

    Parameters
    ----------
    params
        Complete flat params of a transformer.
    n_items
        Number of items in the catalog; see `training_work`.
    """
    named: dict[str, Any] = dict(params)
    length, width, blocks = int(named["session_max_len"]), int(named["n_factors"]), int(named["n_blocks"])
    parameters = n_items * width + 12 * blocks * width**2
    by_position = blocks * (16 * width + 2 * int(named["n_heads"]) * length)
    scores = 3 * _candidates(named, n_items)
    return 4 * (4 * parameters + int(named["batch_size"]) * length * (by_position + scores))


def _candidates(named: Mapping[str, Any], n_items: int) -> int:
    return n_items if named["loss"] == "softmax" else 1 + int(named["n_negatives"])
