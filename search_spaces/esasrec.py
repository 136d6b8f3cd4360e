"""The space of eSASRec: LiGR layers, sampled softmax with mixed negatives, and what its authors vary.

The space has the modules with which the best published results on leave-one-out and time splits were
reached, and the optimisation. It is smaller than `search_spaces.transformers`: a search of some dozen trials
covers it. It needs only interactions.

- **Layers**: LiGR, SASRec's own, pre-LN.
- **Objective**: each next item, or one item of a window (dense all-action).
- **Loss**: sampled softmax or gBCE, with uniform, popular and in-batch negatives mixed by a ratio; full
  softmax; in-batch softmax with the logQ correction.
- **Optimisation**: AdamW with weight decay, a schedule with warm-up, gradient clipping.

The baselines are SASRec with sampled softmax, eSASRec, and eSASRec with dense all-action and with mixed
negatives.

References
----------
Tikhonovich et al., "eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion",
https://arxiv.org/abs/2508.06450
"""

from __future__ import annotations

from rectools.models import SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.negative_sampler import CatalogUniformSampler
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator, SASRecTransformerLayers
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule

from search_spaces.all_action import DenseAllActionDataPreparator
from search_spaces.negatives import MixedNegativeSampler
from search_spaces.objectives import IN_BATCH, ObjectiveLightningModule
from search_spaces.optimisation import OPTIMISATION
from tuner.space import Choice, Divides, Fixed, Float, Int, Space

__all__ = ["space"]

_negatives = {"n_negatives": Int(64, 512, log=True)}
_SAMPLED = {"cls": SASRecModel, "loss": "sampled_softmax", "n_negatives": 256}
_ESASREC = {**_SAMPLED, "transformer_layers_type": LiGRLayers}
_OURS = {"lightning_module_type": ObjectiveLightningModule}

space = Space(
    {
        "cls": SASRecModel,
        "n_blocks": Int(1, 4),
        "n_factors": Choice(64, 128, 256),
        "n_heads": Choice(1, 2, 4, 8, relations=[Divides("n_factors")]),
        "session_max_len": Choice(50, 100, 200),
        "dropout_rate": Float(0.1, 0.6),
        "lr": Float(3e-4, 1e-2, log=True),
        "batch_size": Choice(128, 256, 512),
        "data_preparator_type": Choice(
            {
                SASRecDataPreparator: {},
                DenseAllActionDataPreparator: {
                    "unit": "actions",
                    "window": Int(2, 32, log=True),
                },
            }
        ),
        "lightning_module_type": ObjectiveLightningModule,
        "transformer_layers_type": Choice(
            {
                LiGRLayers: {
                    "ff_factors_multiplier": Choice(2, 4),
                    "ff_activation": Choice("swiglu", "relu", "gelu"),
                    "bias_in_ff": Choice(False, True),
                },
                SASRecTransformerLayers: {},
                PreLNTransformerLayers: {"ff_factors_multiplier": Choice(2, 4)},
            }
        ),
        # Padding is hidden from attention where the layers do not set it to 0 themselves.
        "use_key_padding_mask": Choice(True, False),
        "loss": Choice(
            {
                "sampled_softmax": _negatives,
                "gBCE": {**_negatives, "gbce_t": Float(0.5, 1.0)},
                "softmax": {},
                IN_BATCH: {"lightning_module_kwargs.correct_log_q": Choice(True, False)},
            }
        ),
        "negative_sampler_type": Choice(
            {
                CatalogUniformSampler: {},
                MixedNegativeSampler: {"popular_share": Float(0.0, 0.5), "in_batch_share": Float(0.0, 0.5)},
            },
            when={"loss": ("sampled_softmax", "gBCE")},
        ),
        "item_net_block_types": Fixed((IdEmbeddingsItemNet,)),
        "similarity_module_type": Choice(
            {
                DistanceSimilarityModule: {
                    "distance": Choice(
                        {
                            "dot": {"lightning_module_kwargs.logits_t": Float(0.3, 3.0, log=True)},
                            "cosine": {"lightning_module_kwargs.logits_t": Float(0.03, 0.5, log=True)},
                        }
                    )
                }
            }
        ),
        **OPTIMISATION,
    },
    baselines={
        "sasrec_sampled_softmax": _SAMPLED,
        "esasrec": _ESASREC,
        "esasrec_mixed": {
            **_ESASREC,
            **_OURS,
            "negative_sampler_type": MixedNegativeSampler,
            "negative_sampler_kwargs.popular_share": 0.0,
            "negative_sampler_kwargs.in_batch_share": 0.5,
        },
        "esasrec_dense": {
            **_ESASREC,
            **_OURS,
            "data_preparator_type": DenseAllActionDataPreparator,
            "data_preparator_kwargs.window": 10,
        },
    },
)
