"""The table of all item embeddings, as a GPU makes it."""

from __future__ import annotations

import torch
from rectools.models.nn.item_net import IdEmbeddingsItemNet, SumOfEmbeddingsConstructor

from tuner.training.fast_paths.table import _weights_of


def test_the_weights_are_the_embeddings_of_all_ids() -> None:
    net = SumOfEmbeddingsConstructor(5, [IdEmbeddingsItemNet(3, 5, 0.0)])
    (block,) = net.item_net_blocks
    ours, theirs = _weights_of(block.ids_emb), net.get_all_embeddings()
    assert torch.equal(ours, theirs)
    weights = torch.randn(5, 3)
    gradients = [
        torch.autograd.grad((table * weights).sum(), block.ids_emb.weight) for table in (ours, theirs)
    ]
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not gradients[0][0][0].any()  # padding
