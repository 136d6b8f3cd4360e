"""A transformer layer of your own: pre-LN blocks whose output is mixed with their input by a learned gate."""

from typing import Any

import torch
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers


class GatedLayers(PreLNTransformerLayers):
    """``gate * blocks(x) + (1 - gate) * x`` with one gate for each factor.

    Parameters
    ----------
    n_blocks, n_factors, n_heads, dropout_rate, ff_factors_multiplier
        As in `PreLNTransformerLayers`.
    gate_init
        Initial value of the gate before its sigmoid. 0 mixes both evenly. A large value keeps only the
        output of the blocks.
    """

    def __init__(
        self,
        n_blocks: int,
        n_factors: int,
        n_heads: int,
        dropout_rate: float,
        ff_factors_multiplier: int = 4,
        gate_init: float = 0.0,
    ) -> None:
        super().__init__(n_blocks, n_factors, n_heads, dropout_rate, ff_factors_multiplier)
        self.gate = torch.nn.Parameter(torch.full((n_factors,), float(gate_init)))

    def forward(self, seqs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        gate = torch.sigmoid(self.gate)
        return gate * super().forward(seqs, *args, **kwargs) + (1 - gate) * seqs
