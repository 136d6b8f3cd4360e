"""Fast paths for loading data and recommending. They replace only methods that RecTools wrote.

A user's class keeps every method that it defines. The fast paths are attributes of one model and its data
preparator. `restore_data` removes them. A model that is saved, pickled or copied is rebuilt from its config
without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pytorch_lightning import Trainer
from rectools import ExternalIds
from rectools.dataset import Dataset
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.models.nn.transformers.data_preparator import SequenceDataset, TransformerDataPreparatorBase
from scipy import sparse
from torch.utils.data import DataLoader

from tuner.training.fast_paths.batches import (
    Batch,
    recommend_batches,
    shifted_batch,
    timed_recommend_batch,
    train_batches,
)
from tuner.training.fast_paths.recommend import Latest, can_rank, recommend_u2i
from tuner.training.fast_paths.sequences import BatchElement, Sequences

__all__ = ["Draws", "accelerate_data", "on_gpu", "restore_data"]

MakeBatch = Callable[..., Batch]
Preparator = TransformerDataPreparatorBase

# Methods that are replaced if a class has not overridden them: four of the data preparator, one of the
# model.
_TRAIN, _VAL, _RECOMMEND_DATA = "get_dataloader_train", "get_dataloader_val", "get_dataloader_recommend"
_TRANSFORM = "transform_dataset_u2i"
_RECOMMEND = "_recommend_u2i"
#: RecTools raises an error if a sequence for such a batch is shorter. Other batches allow any length.
_SHORTEST: dict[MakeBatch, int] = {shifted_batch: 2, timed_recommend_batch: 2}


@dataclass
class Draws:
    """How batches are made. A fit sets this when it starts.

    Attributes
    ----------
    at_targets
        Whether to draw negatives only for targets.
    freely
        Whether random numbers need not come in RecTools' order. BERT4Rec's masks are then drawn at once, and
        the training step draws the negatives.
    pinned
        Whether batches may be in pinned memory. Replayed steps copy what they need into it themselves.
    """

    at_targets: bool = False
    freely: bool = False
    pinned: bool = True

    def reset(self) -> None:
        """Make the same batches as RecTools."""
        self.at_targets = self.freely = False
        self.pinned = True


class _Loader(DataLoader[Any]):
    """A loader that asks `draws` whether to pin its batches."""

    #: Lightning makes a loader anew for each device, without this attribute.
    draws = Draws()

    def __iter__(self) -> Any:  # noqa: ANN401  # torch's own has no public type
        """Yield batches."""
        if not self.draws.pinned:
            self.pin_memory = False
        return super().__iter__()


def accelerate_data(model: TransformerModelBase[Any], draws: Draws | None = None) -> tuple[str, ...]:
    """Make a model load data and recommend faster, with the same results.

    Batches, recommendations and the state of all random generators stay the same to the last digit. The
    model keeps the data set of its latest recommendations until it is restored or deleted. That data set must
    not be changed in place.

    Parameters
    ----------
    model
        A model that is not fitted yet.
    draws
        Read for each batch. By default batches draw the same numbers as RecTools.

    Returns
    -------
    tuple of str
        Names of the fast paths that this model's classes allow.
    """
    preparator = model.data_preparator
    pin = on_gpu(model._trainer)  # noqa: SLF001  # RecTools has no public access to its trainer
    loaders: dict[str, Callable[..., Any]] = {
        _TRAIN: partial(_train_loader, preparator, pin, draws or Draws()),
        _VAL: partial(_val_loader, preparator, pin),
        _RECOMMEND_DATA: partial(_recommend_loader, preparator, pin, Latest()),
    }
    stock = [name for name in loaders if _is_stock(preparator, name, TransformerDataPreparatorBase)]
    for name in stock:
        setattr(preparator, name, loaders[name])
    applied = ["flat sequences"] if stock else []
    if (_TRAIN in stock and train_batches(preparator)) or (
        _RECOMMEND_DATA in stock and recommend_batches(preparator)
    ):
        applied.append("vectorised batches")
    if _is_stock(preparator, _TRANSFORM, TransformerDataPreparatorBase):
        setattr(preparator, _TRANSFORM, partial(_transform, preparator, Latest()))
        applied.append("kept recommend data")
    if _is_stock(model, _RECOMMEND, TransformerModelBase) and can_rank(
        model.lightning_module_type, model.similarity_module_type
    ):
        setattr(model, _RECOMMEND, partial(recommend_u2i, model, Latest[sparse.csr_matrix]()))
        applied.append("sparse-mask ranking")
    return tuple(applied)


def restore_data(model: TransformerModelBase[Any]) -> None:
    """Turn a model back into a plain RecTools model, and release the data that was kept for it."""
    for owner in (model, model.data_preparator):
        for name, value in list(vars(owner).items()):
            if isinstance(value, partial) and value.func in _REPLACEMENTS:
                delattr(owner, name)


def on_gpu(trainer: Trainer) -> bool:
    """Whether a trainer trains on an NVIDIA GPU."""
    return trainer.strategy.root_device.type == "cuda"


def _is_stock(owner: object, name: str, base: type) -> bool:
    """Whether an object's method is the one that RecTools wrote."""
    return name not in vars(owner) and getattr(type(owner), name) is getattr(base, name)


def _train_loader(preparator: Preparator, pin: bool, draws: Draws) -> DataLoader[BatchElement]:
    return _loader(
        preparator,
        _sequences(preparator.train_dataset.interactions.df),
        own=preparator._collate_fn_train,  # noqa: SLF001  # RecTools' hook
        fast=train_batches(preparator),
        draws=draws,
        batch_size=preparator.batch_size,
        pin=pin,
        shuffle=preparator.shuffle_train,
    )


def _val_loader(preparator: Preparator, pin: bool) -> DataLoader[BatchElement] | None:
    if preparator.val_interactions is None:
        return None
    return _loader(
        preparator,
        _sequences(preparator.val_interactions),
        own=preparator._collate_fn_val,  # noqa: SLF001  # RecTools' hook
        batch_size=preparator.batch_size,
        pin=pin,
    )


def _recommend_loader(
    preparator: Preparator,
    pin: bool,
    latest: Latest[SequenceDataset | Sequences],
    dataset: Dataset,
    batch_size: int,
) -> DataLoader[BatchElement]:
    return _loader(
        preparator,
        latest.get(lambda: _sequences(dataset.interactions.df, sort_users=True), dataset),
        own=preparator._collate_fn_recommend,  # noqa: SLF001  # RecTools' hook
        fast=recommend_batches(preparator),
        batch_size=batch_size,
        pin=pin,
    )


def _transform(
    preparator: Preparator,
    latest: Latest[Dataset],
    dataset: Dataset,
    users: ExternalIds,
    context: pd.DataFrame | None = None,
) -> Dataset:
    return latest.get(
        lambda: type(preparator).transform_dataset_u2i(preparator, dataset, users, context),
        dataset,
        preparator.item_id_map,
        np.asarray(users),
        context,
    )


def _sequences(interactions: pd.DataFrame, *, sort_users: bool = False) -> SequenceDataset | Sequences:
    if Sequences.can_hold(interactions):
        return Sequences.of(interactions, sort_users=sort_users)
    return SequenceDataset.from_interactions(interactions, sort_users=sort_users)


def _loader(
    preparator: Preparator,
    sequences: SequenceDataset | Sequences,
    *,
    own: Callable[[list[BatchElement]], Batch],
    fast: MakeBatch | None = None,
    draws: Draws | None = None,
    batch_size: int,
    pin: bool,
    shuffle: bool = False,
) -> DataLoader[BatchElement]:
    """Return a loader with RecTools' settings. So it draws the same order and seeds.

    With `pin`, batches are in pinned memory, from which Lightning copies to a GPU without waiting.
    """
    collate: Callable[[Any], Batch] = partial(_listed, own)
    if fast is not None and isinstance(sequences, Sequences):
        shortest = sequences.lengths.min(initial=np.iinfo(np.int64).max)
        if shortest >= _SHORTEST.get(fast, 1):
            collate = partial(fast, preparator) if draws is None else partial(_drawn, fast, preparator, draws)
    loader = _Loader(
        sequences,
        batch_size=batch_size,
        collate_fn=collate,
        num_workers=preparator.dataloader_num_workers,
        shuffle=shuffle,
        pin_memory=pin,
    )
    loader.draws = draws or Draws()
    return loader


def _drawn(make: MakeBatch, preparator: Preparator, draws: Draws, batch: Sequences) -> Batch:
    """Make a training batch with the numbers that `draws` asks for."""
    return make(preparator, batch, at_targets=draws.at_targets, freely=draws.freely)


def _listed(own: Callable[[list[BatchElement]], Batch], batch: Sequence[BatchElement]) -> Batch:
    """Call a preparator's own rule with a list, which it expects."""
    return own(list(batch))


_REPLACEMENTS = (_train_loader, _val_loader, _recommend_loader, _transform, recommend_u2i)
