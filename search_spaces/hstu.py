"""HSTU: STU layers, which attend by relative time and position and without softmax.

`space` is RecTools' `HSTUModel`, which makes each head ``n_factors / n_heads`` wide. `stu_layers` uses the
same layers with `SASRecModel`, where the widths of heads can be searched. Both need categorical item
features. `ids_only` and `stu_layers_ids_only` are the same spaces for data without them.

Some options cannot work with STU layers and are left out:

- attention that is not causal, and BERT4Rec's data preparator: both fail at fit;
- other layers with `HSTUModel`: LiGR refuses its arguments, and RecTools' other layers ignore the relative
  attention;
- `use_key_padding_mask`: `HSTUModel` switches it off, and with `SASRecModel` it fails;
- relative time with `SASRecModel`, which does not ask for the time of a recommendation.

References
----------
Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
Recommendations", https://arxiv.org/abs/2402.17152
"""

from __future__ import annotations

from rectools.models import HSTUModel, SASRecModel
from rectools.models.nn.transformers.hstu import STULayers

from search_spaces.transformers import IDS_ONLY, MODULES, NETWORK, SHIFTED_OBJECTIVES
from tuner.space import Choice, Float, Space

__all__ = ["ids_only", "space", "stu_layers", "stu_layers_ids_only"]

_objective = {"data_preparator_type": SHIFTED_OBJECTIVES}
_stu_kwargs = {
    "attn_dropout_rate": Float(0.0, 0.5),
    "epsilon": Float(1e-8, 1e-4, log=True),
}

space = Space(
    {
        "cls": HSTUModel,
        **_objective,
        **NETWORK,
        "relative_time_attention": Choice(True, False),
        "relative_pos_attention": Choice(True, False),
        "transformer_layers_type": Choice({STULayers: _stu_kwargs}),
        **MODULES,
    },
    baselines={
        "hstu": {"cls": HSTUModel},
        # A low temperature, because cosines are between -1 and 1.
        "hstu_low_temperature": {"cls": HSTUModel, "lightning_module_kwargs.logits_t": 0.05},
        "hstu_sampled_softmax": {"cls": HSTUModel, "loss": "sampled_softmax", "n_negatives": 256},
        "hstu_without_time": {"cls": HSTUModel, "relative_time_attention": False},
    },
)

_lengths = NETWORK["session_max_len"]
assert isinstance(_lengths, Choice), "its options are repeated below"

stu_layers = Space(
    {
        "cls": SASRecModel,
        **_objective,
        **NETWORK,
        # The layers need the model's session length too. A study with another length has to set both keys.
        "session_max_len": Choice(
            {length: {"transformer_layers_kwargs.session_max_len": length} for length in _lengths.options}
        ),
        "transformer_layers_type": Choice(
            {
                STULayers: {
                    **_stu_kwargs,
                    "attention_dim": Choice(8, 16, 32, 64),
                    "linear_hidden_dim": Choice(8, 16, 32, 64),
                    "relative_pos_attention": Choice(True, False),
                    "relative_time_attention": False,
                }
            }
        ),
        **MODULES,
    }
)

ids_only = space.narrow(IDS_ONLY)
stu_layers_ids_only = stu_layers.narrow(IDS_ONLY)
