"""HSTU's blocks as a GPU passes them, against RecTools' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.laws.test_training import MODELS, begun
from tuner.training.fast_paths.stu import is_stu
from tuner.training.fast_paths.table import _encoded

if TYPE_CHECKING:
    from tuner.data.folds import Fold

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]

BIASES: list[dict[str, Any]] = [
    {},
    {"relative_time_attention": False},
    {"relative_pos_attention": False},
    {"relative_time_attention": False, "relative_pos_attention": False},
]


@pytest.mark.parametrize("changes", BIASES)
def test_sessions_and_gradients_are_those_of_rectools(changes: dict[str, Any], folds: list[Fold]) -> None:
    model, batch = begun({**MODELS["hstu"], **changes}, folds[0])
    backbone = model.torch_model.double()
    assert is_stu(backbone.transformer_layers)
    made = []
    for encode in (_encoded, type(backbone).encode_sessions):
        torch.manual_seed(1)
        backbone.zero_grad()
        sessions = encode(backbone, batch, backbone.item_model.get_all_embeddings())
        (sessions**2 * torch.arange(sessions.shape[2])).sum().backward()
        gradients = {name: p.grad for name, p in backbone.named_parameters() if p.grad is not None}
        made.append((sessions.detach(), {name: gradient.clone() for name, gradient in gradients.items()}))
    (ours, gradients), (expected, expected_gradients) = made
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        bound = 1e-5 * expected_gradients[name].abs().max().item()  # biases are of float32 in any model
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=bound)
