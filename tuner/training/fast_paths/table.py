"""The table of all item embeddings on a GPU: made without a wait, and read so that its gradient is quick.

On a CPU, and with classes of a user's, all is RecTools' own.
"""

from __future__ import annotations

from inspect import getattr_static

import torch
from rectools.models.nn.item_net import (
    CatFeaturesItemNet,
    IdEmbeddingsItemNet,
    ItemNetBase,
    ItemNetConstructorBase,
    SumOfEmbeddingsConstructor,
)
from rectools.models.nn.transformers.torch_backbone import TransformerBackboneBase, TransformerTorchBackbone
from torch.nn.functional import embedding
from typing_extensions import TypeIs

__all__ = ["all_embeddings", "encode_sessions"]


def all_embeddings(net: ItemNetBase) -> torch.Tensor:
    """Return ``net.get_all_embeddings()``, shape (n_items, n_factors).

    RecTools makes the ids of all items on the processor, which at each step waits until they have been sent.
    Here a GPU makes its own.
    """
    if not (_takes_ids_of_any_device(net) and net.device.type == "cuda"):
        return net.get_all_embeddings()
    embeddings: torch.Tensor = net.forward(torch.arange(net.n_items, device=net.device))
    return embeddings


def _takes_ids_of_any_device(net: ItemNetBase) -> TypeIs[ItemNetConstructorBase]:
    """Whether a net is RecTools' own, or its class's body says ``takes_ids_of_any_device = True``."""
    own = vars(type(net))
    return (
        isinstance(net, ItemNetConstructorBase)
        and (type(net) is SumOfEmbeddingsConstructor or own.get("takes_ids_of_any_device") is True)
        and all(type(block) in {IdEmbeddingsItemNet, CatFeaturesItemNet} for block in net.item_net_blocks)
    )


def encode_sessions(
    backbone: TransformerBackboneBase, batch: dict[str, torch.Tensor], table: torch.Tensor
) -> torch.Tensor:
    """Return ``backbone.encode_sessions(batch, table)``, shape (batch_size, session_max_len, n_factors).

    RecTools looks items up by an index, whose gradient a GPU sums row by row, one position after another, if
    it is to be the same each time; and most positions are those of one row, the padding. An embedding's is
    summed in parts, in an order that is as fixed. Only the rounding of that sum differs.
    """
    own = getattr_static(backbone, "encode_sessions")
    if table.device.type == "cuda" and own is TransformerTorchBackbone.encode_sessions:
        return backbone.encode_sessions(batch, _Rows(table))  # type: ignore[arg-type]  # of it that method takes rows
    return backbone.encode_sessions(batch, table)


class _Rows:
    """A table of which rows may be taken."""

    def __init__(self, table: torch.Tensor) -> None:
        self._table = table

    def __getitem__(self, ids: torch.Tensor) -> torch.Tensor:
        return embedding(ids, self._table)
