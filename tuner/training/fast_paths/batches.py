"""Batches for RecTools' two training tasks, made from flat sequences without a loop over users.

A batch equals the one of RecTools 0.19 in its keys, their order, values, dtypes and shapes. The same calls
draw random numbers in the same order, so the generators are in the same state afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.constants import MASKING_VALUE
from rectools.models.nn.transformers.data_preparator import TransformerDataPreparatorBase
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator

from tuner.training.fast_paths.draws import draw_masks, draw_masks_at_once, replacements
from tuner.training.fast_paths.sequences import Sequences

__all__ = ["Batch", "recommend_batches", "train_batches"]

Batch = dict[str, torch.Tensor]
Array = npt.NDArray[Any]
Preparator = TypeVar("Preparator", bound=TransformerDataPreparatorBase)


def train_batches(preparator: TransformerDataPreparatorBase) -> Callable[[Any, Sequences], Batch] | None:
    """Return a function that makes the preparator's training batches, or None if it has its own rule."""
    rule = _rule(preparator, "_collate_fn_train")
    if rule is SASRecDataPreparator._collate_fn_train:  # noqa: SLF001  # RecTools has no public name for its rule
        return shifted_batch
    if rule is BERT4RecDataPreparator._collate_fn_train and (  # noqa: SLF001  # as above
        _rule(preparator, "_mask_session") is BERT4RecDataPreparator._mask_session  # noqa: SLF001  # as above
    ):
        return masked_batch
    return None


def recommend_batches(preparator: TransformerDataPreparatorBase) -> Callable[[Any, Sequences], Batch] | None:
    """Return a function that makes the preparator's batches for recommending, or None, as above."""
    rule = _rule(preparator, "_collate_fn_recommend")
    if rule is SASRecDataPreparator._collate_fn_recommend:  # noqa: SLF001  # as in `train_batches`
        return timed_recommend_batch if preparator.add_unix_ts else recommend_batch
    if rule is BERT4RecDataPreparator._collate_fn_recommend:  # noqa: SLF001  # as in `train_batches`
        return masked_recommend_batch
    return None


def _rule(preparator: TransformerDataPreparatorBase, name: str) -> object:
    """Return the function behind a preparator's method, of its class or of the object itself."""
    return getattr(getattr(preparator, name, None), "__func__", None)


def shifted_batch(
    preparator: SASRecDataPreparator,
    batch: Sequences,
    *,
    at_targets: bool = False,
    freely: bool = False,
) -> Batch:
    """Make a training batch of SASRec, which predicts each item from the items before it.

    Parameters
    ----------
    preparator
        Has `session_max_len`, the negative sampler and the choice whether to add timestamps.
    batch
        Sequences of at least 2 and at most `session_max_len` + 1 items.
    at_targets
        Whether to draw negatives only for targets, if the sampler is RecTools'. The random numbers then
        differ from RecTools'.
    freely
        Whether the random numbers may differ from RecTools'. If the sampler is RecTools', no negatives are
        drawn, because the training step draws them.

    Returns
    -------
    dict of str to torch.Tensor
        - "x", "y", "yw", shape (batch_size, session_max_len);
        - "negatives", shape (batch_size, session_max_len, n_negatives), or, with `at_targets`,
          (n_targets, n_negatives), for losses that need them;
        - "unix_ts", shape (batch_size, session_max_len + 1), if the preparator adds it.
    """
    width, lengths = preparator.session_max_len, batch.lengths
    cells = _cells(lengths, width + 1)
    items = _padded(batch.items, cells, (len(batch), width + 1), np.int64)
    weights = _padded(batch.weights, cells, (len(batch), width + 1), np.float32)
    y, yw = items[:, 1:].copy(), weights[:, 1:].copy()
    rows = np.flatnonzero(lengths <= width)
    begins = rows, width - lengths[rows]
    y[begins] = yw[begins] = 0  # no item before it predicts a session's first
    batch_dict = {
        "x": torch.from_numpy(np.ascontiguousarray(items[:, :-1])),
        "y": torch.from_numpy(y),
        "yw": torch.from_numpy(yw),
    }
    _add_negatives(batch_dict, preparator, at_targets=at_targets, freely=freely)
    if preparator.add_unix_ts:
        batch_dict["unix_ts"] = _pad_times(batch, width + 1)
    return batch_dict


def masked_batch(
    preparator: BERT4RecDataPreparator,
    batch: Sequences,
    *,
    at_targets: bool = False,
    freely: bool = False,
) -> Batch:
    """Make a training batch of BERT4Rec, which predicts randomly hidden items from all others.

    Parameters
    ----------
    preparator
        Has `session_max_len`, `mask_prob`, the MASK token and the negative sampler.
    batch
        Sequences of at least 1 and at most `session_max_len` items.
    at_targets, freely
        As in `shifted_batch`. With `freely` the masks are drawn at once.

    Returns
    -------
    dict of str to torch.Tensor
        - "x", "y", "yw", shape (batch_size, session_max_len);
        - "negatives" as in `shifted_batch`, for losses that need them.
    """
    width, lengths, mask_prob = preparator.session_max_len, batch.lengths, preparator.mask_prob
    draw = draw_masks_at_once if freely else draw_masks
    numbers, random_items = draw(
        lengths, mask_prob, low=preparator.n_item_extra_tokens, high=preparator.item_id_map.size
    )
    is_mask, is_random = replacements(numbers, mask_prob)
    hidden = np.where(is_mask, preparator.extra_token_ids[MASKING_VALUE], batch.items)
    hidden[is_random] = random_items
    targets = np.where(numbers < mask_prob, batch.items, 0)
    shape, cells = (len(batch), width), _cells(lengths, width)
    batch_dict = {
        "x": torch.from_numpy(_padded(hidden, cells, shape, np.int64)),
        "y": torch.from_numpy(_padded(targets, cells, shape, np.int64)),
        "yw": torch.from_numpy(_padded(batch.weights, cells, shape, np.float32)),
    }
    _add_negatives(batch_dict, preparator, at_targets=at_targets, freely=freely)
    return batch_dict


def recommend_batch(preparator: SASRecDataPreparator, batch: Sequences) -> Batch:
    """Return "x", shape (batch_size, session_max_len): the newest items of each sequence."""
    return {"x": torch.from_numpy(_newest(batch.items, batch.lengths, preparator.session_max_len))}


def timed_recommend_batch(preparator: SASRecDataPreparator, batch: Sequences) -> Batch:
    """Return "x" and "unix_ts" for recommending at a given time. A user's last entry holds that time.

    Returns
    -------
    dict of str to torch.Tensor
        - "x", shape (batch_size, session_max_len): the newest items without the last entry;
        - "unix_ts", shape (batch_size, session_max_len + 1).
    """
    with_last = _newest(batch.items, batch.lengths, preparator.session_max_len + 1)
    return {
        "x": torch.from_numpy(np.ascontiguousarray(with_last[:, :-1])),
        "unix_ts": _pad_times(batch, preparator.session_max_len + 1),
    }


def masked_recommend_batch(preparator: BERT4RecDataPreparator, batch: Sequences) -> Batch:
    """Return "x", shape (batch_size, session_max_len): the newest items, then MASK."""
    x = np.empty((len(batch), preparator.session_max_len), dtype=np.int64)
    x[:, :-1] = _newest(batch.items, batch.lengths, preparator.session_max_len - 1)
    x[:, -1] = preparator.extra_token_ids[MASKING_VALUE]
    return {"x": torch.from_numpy(x)}


def _add_negatives(
    batch_dict: Batch, preparator: TransformerDataPreparatorBase, *, at_targets: bool, freely: bool
) -> None:
    sampler = preparator.negative_sampler
    is_uniform = type(sampler) is CatalogUniformSampler
    if sampler is None or (freely and is_uniform):
        return
    few = at_targets and is_uniform  # this sampler only reads the shape
    y = batch_dict["y"]
    negatives = sampler.get_negatives(
        {"x": y[y != 0][:, None]} if few else batch_dict,
        lowest_id=preparator.n_item_extra_tokens,
        highest_id=preparator.item_id_map.size,
    )
    batch_dict["negatives"] = negatives.squeeze(1) if few else negatives


def _is_filled(lengths: Array, width: int) -> Array:
    """Return which cells are filled if sequences end at the right edge, shape (batch_size, width)."""
    return np.arange(width) >= width - lengths[:, None]


def _cells(lengths: Array, width: int) -> Array:
    """Return the cells of all entries if sequences end at the right edge of rows of `width` cells.

    A sequence has at most `width` entries. Cells count through all rows, shape (sum of lengths,).
    """
    ends = np.cumsum(lengths)
    cells: Array = np.repeat(np.arange(1, len(lengths) + 1) * width - ends, lengths)
    cells += np.arange(len(cells))
    return cells


def _padded(values: Array, cells: Array, shape: tuple[int, int], dtype: npt.DTypeLike) -> Array:
    """Put values into their cells, and 0 into all others."""
    padded = np.zeros(shape, dtype=dtype)
    padded.reshape(-1)[cells] = values
    return padded


def _newest(values: Array, lengths: Array, width: int) -> Array:
    """Put the last `width` entries of each sequence into rows of `width` cells that start with 0."""
    from_end = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(values))  # 1 for the last entry
    cells = _cells(np.minimum(lengths, width), width)
    return _padded(values[from_end <= width], cells, (len(lengths), width), np.int64)


def _pad_times(batch: Sequences, width: int) -> torch.Tensor:
    """Put the newest timestamps into rows. If there are too few, the first of them is repeated."""
    times = _newest(batch.extras["unix_ts"], batch.lengths, width)
    first = np.maximum(width - batch.lengths, 0)
    earliest = np.take_along_axis(times, first[:, None], axis=1)
    return torch.from_numpy(np.where(_is_filled(batch.lengths, width), times, earliest))
