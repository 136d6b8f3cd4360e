"""Batches in fixed shapes, which a recorded step needs, in one buffer for each type.

Targets (and tokens, without padding) are filled up to one of a few sizes. The filling has no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from tuner.training.fast_paths.eligible import scores_last_only
from tuner.training.fast_paths.encoder import sees_only_tokens
from tuner.training.fast_paths.step import Batch, last_positions

__all__ = ["Filler", "Prepared"]

Array = npt.NDArray[Any]

#: A known size is reused if it is at most this many times the needed size.
_ROOM = 1.25
#: Numbers below this have 16 bits.
_SHORT = 2**16


@dataclass(frozen=True)
class Prepared:
    """Tensors for a step. Those of one type share one buffer, so each type needs only one copy.

    Attributes
    ----------
    layout
        Name, type and shape of each tensor, in the order in which they lie in the buffers.
    buffers
        Their elements, by type.
    is_plain
        Whether the shapes are fixed ones.
    """

    layout: tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]
    buffers: dict[torch.dtype, torch.Tensor]
    is_plain: bool

    def on(self, device: torch.device) -> Batch:
        """Return the tensors on a device, without waiting for their copies."""
        left = {dtype: values.to(device, non_blocking=True) for dtype, values in self.buffers.items()}
        found = {}
        for key, dtype, shape in self.layout:
            n = prod(shape)
            found[key], left[dtype] = left[dtype][:n].view(shape), left[dtype][n:]
        return found


class Filler:
    """Prepares batches for the steps of a fit.

    Parameters
    ----------
    module
        A module whose steps may be replayed; see `FastPaths`.
    unpadded
        Whether only real tokens are encoded.
    """

    def __init__(self, module: TransformerLightningModule, *, unpadded: bool) -> None:
        self._module, self._unpadded = module, unpadded
        self._targets, self._tokens = _Sizes(), _Sizes()

    def prepared(self, batch: Batch) -> Prepared:
        """Copy what a step needs of a batch into buffers; for a GPU, in pinned memory."""
        found = self._filled(batch)
        parts = found or {key: _Part(values.numpy()) for key, values in batch.items()}
        return _together(parts, is_plain=found is not None, pin=self._module.device.type != "cpu")

    def _filled(self, batch: Batch) -> dict[str, _Part] | None:
        """Return a batch in fixed shapes, with its targets.

        Return None if it has no target, or one at padding. Return None too if only real tokens are encoded
        and several targets read the same one: its gradient would count several times.
        """
        x, y = batch["x"].numpy(), batch["y"].numpy().ravel()
        flat = x.ravel()
        targets = np.flatnonzero(y != 0)  # NumPy finds True in less time than numbers
        last = scores_last_only(self._module, batch)
        read = last_positions(targets, batch["y"].shape[1], x.shape[1]) if last else targets
        if not len(targets) or len(y) % len(x) or not flat[read].all():
            return None
        if last and self._unpadded and batch["y"].shape[1] > 1:
            return None
        n = self._targets.at_least(len(targets))
        nowhere = len(flat) if self._unpadded else 0
        everywhere = self._unpadded and not sees_only_tokens(self._module.torch_model)
        tokens = np.arange(len(flat)) if everywhere else np.flatnonzero(flat != 0)
        n_tokens = self._tokens.at_least(len(tokens) + 1)
        found = {
            "x": _Part(x),
            "read": _Part(read, n, nowhere),
            "y": _Part(y[targets], n),
            "w": _Part(batch["yw"].numpy().ravel()[targets], n),
        }
        items = flat[tokens]
        order = _by_item(items)
        items = items[order]
        if self._unpadded:
            found["tokens"] = _Part(tokens, n_tokens, nowhere)
        else:
            order = tokens[order]
        found["items"] = _Part(items, n_tokens, at_end=True)
        found["order"] = _Part(order, n_tokens, at_end=True)
        if "negatives" in batch:
            negatives = batch["negatives"].flatten(0, 1).index_select(0, torch.from_numpy(targets)).int()
            found["negatives"] = _Part(negatives.numpy(), n)
        if "unix_ts" in batch:
            found["unix_ts"] = _Part(batch["unix_ts"].numpy())
        return found


@dataclass(frozen=True)
class _Part:
    """Rows of a tensor that may have more of them.

    Attributes
    ----------
    values : shape (n_values, ...)
        The rows.
    n
        Number of rows of the tensor. By default it has no others.
    other
        Value of all other rows.
    at_end
        Whether the other rows come first.
    """

    values: Array
    n: int | None = None
    other: int = 0
    at_end: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        n_values, *rest = self.values.shape
        return (n_values if self.n is None else self.n, *rest)

    def write(self, rows: Array) -> None:
        """Write all rows into an array of that shape."""
        n_others = len(rows) - len(self.values)
        begin, end = (n_others, len(rows)) if self.at_end else (0, len(self.values))
        rows[begin:end] = self.values
        rows[:begin] = rows[end:] = self.other


def _together(parts: Mapping[str, _Part], *, is_plain: bool, pin: bool) -> Prepared:
    layout, buffers = [], {}
    for dtype in dict.fromkeys(part.values.dtype for part in parts.values()):
        mine = [(key, part, part.shape) for key, part in parts.items() if part.values.dtype == dtype]
        of_torch = _of_torch(dtype)
        buffer = torch.empty(sum(prod(shape) for *_, shape in mine), dtype=of_torch, pin_memory=pin)
        elements, begin = buffer.numpy(), 0
        for key, part, shape in mine:
            end = begin + prod(shape)
            part.write(elements[begin:end].reshape(shape))
            layout.append((key, of_torch, shape))
            begin = end
        buffers[of_torch] = buffer
    return Prepared(tuple(layout), buffers, is_plain)


@cache
def _of_torch(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


class _Sizes:
    """The sizes in use. They are as few as possible, and no size is much larger than needed."""

    def __init__(self) -> None:
        self._known: list[int] = []

    def at_least(self, n: int) -> int:
        """Return a size of at least `n`."""
        fits = [size for size in self._known if n <= size <= _ROOM * n]
        if fits:
            return min(fits)
        step = max(64, 1 << n.bit_length() >> 4)
        size = -(-n * 17 // 16 // step) * step
        self._known.append(size)
        return size


def _by_item(items: Array) -> Array:
    """Return the places of items in ascending order, those of one item in their order."""
    if items.max(initial=0) < _SHORT:
        items = items.astype(np.uint16)  # NumPy sorts them in less time
    return items.argsort(kind="stable")
