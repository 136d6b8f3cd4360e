"""SASRec and BERT4Rec with all parts that RecTools lets you customize.

The space combines training objective, transformer layers, item net, positional encoding, similarity, loss
and negatives. The kwargs of a module exist only where that module is chosen. `space` also searches over
categorical item features, so the data must have some. `ids_only` is the same space for data without them.

`optimised` and `optimised_ids_only` search over the optimisation too: optimizer, weight decay, schedule and
clipping; see `search_spaces.optimisation`.

All points have one Lightning module, `ObjectiveLightningModule`. By default it trains as RecTools' own.

Some options have no effect or cannot work, and are left out:

- non-causal attention with SASRec's shifted sequence, where the model could see the target;
- causal attention with BERT4Rec's masked items, where a masked item could not use the items after it;
- `extra_cols` and `add_unix_ts` of the data preparators, because no layer of these models reads them;
- STU layers, which are in `search_spaces.hstu`;
- kwargs of backbones, because that of RecTools has none. Its type is in the space, so that a study can
  replace it with its own.

References
----------
Tikhonovich et al., "eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion",
https://arxiv.org/abs/2508.06450 (the baseline of that name, and LiGR layers in it).
Petrov and Macdonald, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
Sampling", https://arxiv.org/abs/2308.07192 (gBCE, and the baseline of that name).
"""

from __future__ import annotations

from typing import Any

from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.item_net import (
    CatFeaturesItemNet,
    IdEmbeddingsItemNet,
    SumOfEmbeddingsConstructor,
)
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler
from rectools.models.nn.transformers.net_blocks import (
    LearnableInversePositionalEncoding,
    PreLNTransformerLayers,
)
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator, SASRecTransformerLayers
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone

from search_spaces.albert import AlbertLayers, AlbertSumConstructor
from search_spaces.all_action import AllActionDataPreparator, DenseAllActionDataPreparator
from search_spaces.negatives import MixedNegativeSampler
from search_spaces.next_action import NextActionDataPreparator, ShiftedNextActionDataPreparator
from search_spaces.objectives import IN_BATCH, ObjectiveLightningModule
from search_spaces.optimisation import OPTIMISATION
from search_spaces.priors import TRANSFORMERS
from search_spaces.similarity import MLPSimilarityModule, TwoTowerSimilarityModule
from tuner.space import Choice, Divides, Fixed, Float, Int, Space, Subset

__all__ = [
    "IDS_ONLY",
    "MODULES",
    "NETWORK",
    "SHIFTED_OBJECTIVES",
    "ids_only",
    "optimised",
    "optimised_ids_only",
    "space",
]

#: Sizes, optimization and loss: the same for every transformer.
NETWORK = {
    "n_blocks": Int(1, 4),
    "n_factors": Choice(64, 128, 256),
    "n_heads": Choice(1, 2, 4, 8, relations=[Divides("n_factors")]),
    "session_max_len": Choice(50, 100, 200),
    "train_min_user_interactions": Int(2, 5),
    "dropout_rate": Float(0.0, 0.5),
    "lr": Float(1e-4, 1e-2, log=True),
    "batch_size": Choice(64, 128, 256, 512),
    "loss": Choice(
        {
            "softmax": {},
            "BCE": {"n_negatives": Int(1, 256, log=True)},
            "gBCE": {"n_negatives": Int(16, 256, log=True), "gbce_t": Float(0.0, 1.0)},
            "sampled_softmax": {"n_negatives": Int(16, 256, log=True)},
            IN_BATCH: {"lightning_module_kwargs.correct_log_q": Choice(True, False)},
        }
    ),
    "negative_sampler_type": Choice(
        {
            CatalogUniformSampler: {},
            MixedNegativeSampler: {"popular_share": Float(0.0, 0.5), "in_batch_share": Float(0.0, 0.5)},
        },
        when={"loss": ("BCE", "gBCE", "sampled_softmax")},
    ),
    "lightning_module_type": ObjectiveLightningModule,
}

_DISTANCE: dict[str, object] = {
    # Cosines are between -1 and 1, so their softmax stays flat without a low temperature.
    "distance": Choice(
        {
            "dot": {"lightning_module_kwargs.logits_t": Float(0.2, 5.0, log=True)},
            "cosine": {"lightning_module_kwargs.logits_t": Float(0.02, 1.0, log=True)},
        }
    )
}

_similarities: dict[object, dict[str, object]] = {
    DistanceSimilarityModule: _DISTANCE,
    TwoTowerSimilarityModule: {**_DISTANCE, "tower_factors": Choice(64, 128, 256)},
    MLPSimilarityModule: {**_DISTANCE, "mlp_factors": Choice(8, 16, 32)},
}

#: Modules that do not depend on the layers.
MODULES = {
    "item_net_block_types": Subset(IdEmbeddingsItemNet, CatFeaturesItemNet),
    "item_net_constructor_type": Choice(
        {
            SumOfEmbeddingsConstructor: {},
            AlbertSumConstructor: {"emb_factors": Choice(16, 32, 64)},
        }
    ),
    "use_pos_emb": Choice(True, False),
    "pos_encoding_type": Choice(
        {LearnableInversePositionalEncoding: {"use_scale_factor": Choice(False, True)}}
    ),
    "similarity_module_type": Choice(_similarities),
    "backbone_type": TransformerTorchBackbone,
}

_WINDOW = {
    "shuffle_train": Choice(True, False),
    "unit": Choice(
        {
            "actions": {"data_preparator_kwargs.window": Int(2, 32, log=True)},
            "days": {"data_preparator_kwargs.window": Int(1, 90, log=True)},
        }
    ),
}

#: Training objectives of SASRec's kind: each next item, only the last one, or those of a window.
SHIFTED_OBJECTIVES = Choice(
    {
        SASRecDataPreparator: {"shuffle_train": Choice(True, False)},
        ShiftedNextActionDataPreparator: {"shuffle_train": Choice(True, False)},
        AllActionDataPreparator: _WINDOW,
        DenseAllActionDataPreparator: _WINDOW,
    }
)

#: Changes that make a space usable for data without categorical item features.
IDS_ONLY = {"item_net_block_types": Fixed((IdEmbeddingsItemNet,))}

_MASKED_OBJECTIVES = Choice(
    {
        BERT4RecDataPreparator: {"shuffle_train": Choice(True, False)},
        NextActionDataPreparator: {"shuffle_train": Choice(True, False)},
    }
)
#: Objectives whose targets are hidden from all positions.
_HIDDEN_TARGETS = {
    "data_preparator_type": (
        NextActionDataPreparator,
        ShiftedNextActionDataPreparator,
        AllActionDataPreparator,
    )
}

_ff_multiplier = {"ff_factors_multiplier": Choice(1, 2, 4)}

_LIGR = {"transformer_layers_type": LiGRLayers}

_params: dict[str, Any] = {
    "cls": Choice(
        {
            SASRecModel: {"data_preparator_type": SHIFTED_OBJECTIVES},
            BERT4RecModel: {
                "data_preparator_type": _MASKED_OBJECTIVES,
                # Low values leave whole batches without a target. The loss is then not a number.
                "mask_prob": Float(0.1, 0.6, when={"data_preparator_type": BERT4RecDataPreparator}),
            },
        }
    ),
    "use_causal_attn": Choice(True, False, when=_HIDDEN_TARGETS),
    "use_key_padding_mask": Choice(True, False),
    **NETWORK,
    "transformer_layers_type": Choice(
        {
            SASRecTransformerLayers: {},
            PreLNTransformerLayers: _ff_multiplier,
            LiGRLayers: {
                **_ff_multiplier,
                "ff_activation": Choice("swiglu", "relu", "gelu"),
                "bias_in_ff": Choice(False, True),
            },
            AlbertLayers: {
                **_ff_multiplier,
                "n_hidden_groups": Int(1, "n_blocks"),
                "n_inner_groups": Int(1, 2),
            },
        }
    ),
    **MODULES,
}

_baselines: dict[str, dict[str, Any]] = {
    "sasrec": {"cls": SASRecModel},
    "bert4rec": {"cls": BERT4RecModel},
    "esasrec": {"cls": SASRecModel, **_LIGR, "loss": "sampled_softmax", "n_negatives": 256},
    "gsasrec": {"cls": SASRecModel, "loss": "gBCE", "n_negatives": 256, "gbce_t": 0.75},
    "sasrec_ligr": {"cls": SASRecModel, **_LIGR},
    "sasrec_next_action": {
        "cls": SASRecModel,
        "lightning_module_type": ObjectiveLightningModule,
        "data_preparator_type": ShiftedNextActionDataPreparator,
    },
    "bert4rec_next_action": {
        "cls": BERT4RecModel,
        "lightning_module_type": ObjectiveLightningModule,
        "data_preparator_type": NextActionDataPreparator,
    },
}

space = Space(_params, baselines=_baselines, prior=TRANSFORMERS)
optimised = Space({**_params, **OPTIMISATION}, baselines=_baselines, prior=TRANSFORMERS)

ids_only = space.narrow(IDS_ONLY)
optimised_ids_only = optimised.narrow(IDS_ONLY)
