"""ALBERT's two ways to use fewer parameters, for any transformer model of RecTools.

`AlbertSumConstructor` learns item embeddings in a narrow space and projects them to the width of the
network (factorized embedding parameterization). `AlbertLayers` uses the same layers in several blocks
(cross-layer parameter sharing). You can use each without the other, with SASRec's task and with BERT4Rec's.

References
----------
Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", section 3.1,
https://arxiv.org/abs/1909.11942
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from rectools.dataset import Dataset
from rectools.dataset.dataset import DatasetSchema
from rectools.models.nn.item_net import ItemNetBase, SumOfEmbeddingsConstructor
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayer, TransformerLayersBase
from torch import nn
from typing_extensions import Self

__all__ = ["AlbertLayers", "AlbertSumConstructor", "layer_order"]


def layer_order(n_blocks: int, n_hidden_groups: int, n_inner_groups: int) -> tuple[int, ...]:
    """Return the order in which ALBERT applies its layers.

    The blocks are cut into `n_hidden_groups` consecutive runs, as equal in length as whole numbers allow.
    All blocks of a run share one group of `n_inner_groups` different layers, and every block applies its
    group's layers one after another.

    Parameters
    ----------
    n_blocks
        Number of blocks in the network's depth.
    n_hidden_groups
        Number of groups that do not share parameters, between 1 and `n_blocks` inclusive.
    n_inner_groups
        Number of layers in each group, at least 1.

    Returns
    -------
    tuple of int, length `n_blocks * n_inner_groups`
        Layer indices in `[0, n_hidden_groups * n_inner_groups)`, in order of application. Each of them
        occurs at least once.

    Raises
    ------
    ValueError
        If a group would be left without a block, or a block without a layer.
    """
    if not 1 <= n_hidden_groups <= n_blocks or n_inner_groups < 1:
        raise ValueError(
            "`1 <= n_hidden_groups <= n_blocks` and `n_inner_groups >= 1` must hold, but got "
            f"n_blocks={n_blocks}, n_hidden_groups={n_hidden_groups}, n_inner_groups={n_inner_groups}"
        )
    # Integers only: `int(block / (n_blocks / n_hidden_groups))` gives the wrong group for some numbers.
    groups = (block * n_hidden_groups // n_blocks for block in range(n_blocks))
    return tuple(group * n_inner_groups + inner for group in groups for inner in range(n_inner_groups))


class AlbertLayers(TransformerLayersBase):
    """Pre-LN transformer blocks that share their parameters across the depth, as ALBERT does.

    The network is `n_blocks * n_inner_groups` layers deep, but only `n_hidden_groups * n_inner_groups`
    layers have parameters of their own (see `layer_order`). With ``n_hidden_groups=n_blocks`` and
    ``n_inner_groups=1`` nothing is shared, and this is `PreLNTransformerLayers`.

    Unknown keyword arguments raise `TypeError`, so that no search varies a misspelt name.

    Parameters
    ----------
    n_blocks
        Number of transformer blocks.
    n_factors
        Width of the network.
    n_heads
        Number of attention heads.
    dropout_rate
        Probability of a hidden unit to be zeroed.
    ff_factors_multiplier : default 4
        Width of the feed-forward layers, in multiples of `n_factors`.
    n_hidden_groups : default 1
        Number of groups of blocks that do not share parameters, between 1 and `n_blocks` inclusive.
        The default, one group for the whole depth, is the paper's (section 3.1).
    n_inner_groups : default 1
        Number of layers that every block applies, at least 1.

    Raises
    ------
    ValueError
        If `n_hidden_groups` or `n_inner_groups` is out of its bounds.
    """

    #: Lets the encoder of `tuner.training.fast_paths` run for this class. A subclass must declare it itself.
    passes_blocks: ClassVar[str] = "layer_order"

    def __init__(
        self,
        n_blocks: int,
        n_factors: int,
        n_heads: int,
        dropout_rate: float,
        *,
        ff_factors_multiplier: int = 4,
        n_hidden_groups: int = 1,
        n_inner_groups: int = 1,
    ) -> None:
        super().__init__()
        self.layer_order = layer_order(n_blocks, n_hidden_groups, n_inner_groups)
        self.transformer_blocks = nn.ModuleList(
            PreLNTransformerLayer(n_factors, n_heads, dropout_rate, ff_factors_multiplier)
            for _ in range(n_hidden_groups * n_inner_groups)
        )

    def forward(
        self,
        seqs: torch.Tensor,
        timeline_mask: torch.Tensor,  # noqa: ARG002
        attn_mask: torch.Tensor | None,
        key_padding_mask: torch.Tensor | None,
        **kwargs: Any,  # noqa: ARG002
    ) -> torch.Tensor:
        """Pass sessions through the blocks.

        Only the attention masks hide padding, as in `PreLNTransformerLayers`. With `SASRecModel` this needs
        ``use_key_padding_mask=True``.

        Parameters
        ----------
        seqs : shape (batch_size, session_max_len, n_factors)
            Sessions of item embeddings.
        timeline_mask : shape (batch_size, session_max_len, 1)
            False at padding. Not used.
        attn_mask
            Shape (session_max_len, session_max_len), or (batch_size * n_heads, session_max_len,
            session_max_len) where the backbone has merged the padding mask into it.
        key_padding_mask : shape (batch_size, session_max_len), optional
            True at padding.
        **kwargs
            Further arguments from the backbone, such as `batch`. Not used.

        Returns
        -------
        torch.Tensor, shape (batch_size, session_max_len, n_factors)
            Encoded sessions.
        """
        for layer in self.layer_order:
            seqs = self.transformer_blocks[layer](seqs, attn_mask, key_padding_mask)
        return seqs


class AlbertSumConstructor(SumOfEmbeddingsConstructor):
    """Sum of the item net blocks' embeddings, learned `emb_factors` wide and projected to `n_factors`.

    The embeddings of `n_items` items take ``(n_items + n_factors) * emb_factors + n_factors`` parameters
    rather than ``n_items * n_factors`` (section 3.1 of the paper; the projection has a bias here).

    Unknown keyword arguments raise `TypeError`, so that no search varies a misspelt name.

    Parameters
    ----------
    n_items
        Number of rows of the catalog, extra tokens included.
    item_net_blocks
        Blocks whose embeddings are all `emb_factors` wide.
    n_factors
        Width of the network.
    emb_factors
        Width of the embeddings. It has no default, because a good value depends on `n_factors`.

    Raises
    ------
    ValueError
        If there are no blocks.
    """

    #: Lets `tuner.training.fast_paths` make the ids on the GPU. A subclass must declare it itself.
    takes_ids_of_any_device: ClassVar[bool] = True

    def __init__(
        self,
        n_items: int,
        item_net_blocks: Sequence[ItemNetBase],
        *,
        n_factors: int,
        emb_factors: int,
    ) -> None:
        super().__init__(n_items=n_items, item_net_blocks=item_net_blocks)
        self.item_emb_proj = nn.Linear(emb_factors, n_factors)

    @classmethod
    def from_dataset(  # type: ignore[override, unused-ignore]  # stricter than the base
        cls,
        dataset: Dataset,
        n_factors: int,
        dropout_rate: float,
        item_net_block_types: Sequence[type[ItemNetBase]],
        *,
        emb_factors: int,
    ) -> Self:
        """Build the net for the items of a dataset.

        Parameters
        ----------
        dataset
            Training dataset, extra tokens included.
        n_factors
            Width of the network.
        dropout_rate
            Probability of a hidden unit of an item embedding to be zeroed.
        item_net_block_types
            Blocks to build. A block without data for it is left out.
        emb_factors
            Width of the embeddings, at least 1.

        Returns
        -------
        AlbertSumConstructor
            Net with new parameters.

        Raises
        ------
        ValueError
            If `emb_factors` is less than 1, or if no block was built.
        """
        builders = (block.from_dataset for block in item_net_block_types)
        blocks = _build_blocks(builders, dataset, emb_factors, dropout_rate)
        return cls(dataset.item_id_map.size, blocks, n_factors=n_factors, emb_factors=emb_factors)

    @classmethod
    def from_dataset_schema(  # type: ignore[override, unused-ignore]  # stricter than the base
        cls,
        dataset_schema: DatasetSchema,
        n_factors: int,
        dropout_rate: float,
        item_net_block_types: Sequence[type[ItemNetBase]],
        *,
        emb_factors: int,
    ) -> Self:
        """Build the net that `from_dataset` builds for this schema, ready to load saved weights.

        Parameters
        ----------
        dataset_schema
            Schema of the training dataset.
        n_factors
            Width of the network.
        dropout_rate
            Probability of a hidden unit of an item embedding to be zeroed.
        item_net_block_types
            Blocks to build. A block without data for it is left out.
        emb_factors
            Width of the embeddings, at least 1.

        Returns
        -------
        AlbertSumConstructor
            Net with new parameters.

        Raises
        ------
        ValueError
            If `emb_factors` is less than 1, or if no block was built.
        """
        builders = (block.from_dataset_schema for block in item_net_block_types)
        blocks = _build_blocks(builders, dataset_schema, emb_factors, dropout_rate)
        return cls(dataset_schema.items.n_hot, blocks, n_factors=n_factors, emb_factors=emb_factors)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Embed items.

        Parameters
        ----------
        items : shape (n,)
            Internal item ids.

        Returns
        -------
        torch.Tensor, shape (n, n_factors)
            Item embeddings at the width of the network.
        """
        embeddings: torch.Tensor = self.item_emb_proj(super().forward(items))
        return embeddings

    @property
    def out_dim(self) -> int:
        """Width of the embeddings after the projection, `n_factors`."""
        return self.item_emb_proj.out_features


def _build_blocks(
    builders: Iterable[Callable[..., ItemNetBase | None]],
    source: Dataset | DatasetSchema,
    emb_factors: int,
    dropout_rate: float,
) -> list[ItemNetBase]:
    if emb_factors < 1:
        raise ValueError(f"`emb_factors >= 1` must hold, but got emb_factors={emb_factors}")
    built = (build(source, emb_factors, dropout_rate) for build in builders)
    return [block for block in built if block is not None]
