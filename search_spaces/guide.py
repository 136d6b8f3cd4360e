"""The space of RecTools' transformer customization guide.

It combines model class, transformer layers, item net constructor, training objective and causal attention.
The kwargs of a module exist only where that module is chosen. The baselines are the guide's own rows, by
name.
"""

from __future__ import annotations

from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.item_net import SumOfEmbeddingsConstructor
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers

from search_spaces.albert import AlbertLayers, AlbertSumConstructor
from search_spaces.next_action import NextActionDataPreparator, NextActionLightningModule
from search_spaces.priors import TRANSFORMERS
from tuner.space import Choice, Divides, Fixed, Float, Int, Space

__all__ = ["space"]

_ALBERT_LAYERS = {
    "transformer_layers_type": AlbertLayers,
    "transformer_layers_kwargs.n_hidden_groups": 2,
    "transformer_layers_kwargs.n_inner_groups": 2,
}
_ALBERT = {
    **_ALBERT_LAYERS,
    "item_net_constructor_type": AlbertSumConstructor,
    "item_net_constructor_kwargs.emb_factors": 64,
}
_NEXT_ACTION = {
    "cls": BERT4RecModel,
    "data_preparator_type": NextActionDataPreparator,
    "lightning_module_type": NextActionLightningModule,
}

_albert_kwargs = {"n_hidden_groups": Int(1, "n_blocks"), "n_inner_groups": Int(1, 2)}

space = Space(
    {
        "cls": Choice(SASRecModel, BERT4RecModel),
        "n_blocks": Int(1, 4),
        "n_factors": Choice(64, 128, 256),
        "n_heads": Choice(1, 2, 4, relations=[Divides("n_factors")]),
        "session_max_len": Choice(50, 100),
        "dropout_rate": Float(0.0, 0.5),
        "lr": Float(3e-4, 1e-2, log=True),
        "batch_size": Choice(64, 128, 256),
        "loss": Choice(
            {
                "softmax": {},
                "BCE": {"n_negatives": Int(1, 256, log=True)},
                "gBCE": {"n_negatives": Int(16, 256, log=True), "gbce_t": Float(0.0, 1.0)},
                "sampled_softmax": {"n_negatives": Int(16, 256, log=True)},
            }
        ),
        "transformer_layers_type": Choice(
            {
                SASRecTransformerLayers: {},
                PreLNTransformerLayers: {"ff_factors_multiplier": Choice(1, 2, 4)},
                AlbertLayers: {"ff_factors_multiplier": Choice(1, 2, 4), **_albert_kwargs},
            }
        ),
        "item_net_constructor_type": Choice(
            {
                SumOfEmbeddingsConstructor: {},
                AlbertSumConstructor: {"emb_factors": Choice(16, 32, 64)},
            }
        ),
        # A bidirectional model learns by masking items. If it is trained to predict the next action, it may
        # also be causal. SASRec is always causal.
        "data_preparator_type": Choice(
            BERT4RecDataPreparator, NextActionDataPreparator, when={"cls": BERT4RecModel}
        ),
        "mask_prob": Float(0.1, 0.6, when={"data_preparator_type": BERT4RecDataPreparator}),
        "lightning_module_type": Fixed(
            NextActionLightningModule, when={"data_preparator_type": NextActionDataPreparator}
        ),
        "use_causal_attn": Choice(True, False, when={"data_preparator_type": NextActionDataPreparator}),
    },
    baselines={
        "popular": {"cls": "PopularModel"},
        "sasrec": {"cls": SASRecModel},
        "next_action_bidirectional": _NEXT_ACTION,
        "next_action_unidirectional": {**_NEXT_ACTION, "use_causal_attn": True},
        "albert": {"cls": BERT4RecModel, **_ALBERT},
        "alsasrec": {"cls": SASRecModel, **_ALBERT},
        "sasrec_albert_layers": {"cls": SASRecModel, **_ALBERT_LAYERS},
        "next_action_albert_causal": {**_NEXT_ACTION, **_ALBERT, "use_causal_attn": True},
    },
    prior=TRANSFORMERS,
)
