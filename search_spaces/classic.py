"""The classic models that have a config in RecTools: each is tuned in seconds to minutes, without a GPU.

The models are EASE, iALS, item-based nearest neighbours, PureSVD, BPR and popularity. `space` needs only
interactions. `with_categories` adds `PopularInCategoryModel`, which needs the name of a categorical item
feature:

    space:
      use: search_spaces.classic:with_categories
      category_feature: genre

`with_lightfm` adds LightFM. Its package is an extra of RecTools and not a dependency of this project.
Install it with ``pip install "rectools[lightfm]"``, which compiles it. `RandomModel` is left out, because
it has no params to search.

References
----------
The ranges of nearest neighbours, EASE and PureSVD are those of reproducibility studies, such as Ferrari
Dacrema et al., "A Troubling Analysis of Reproducibility and Progress in Recommender Systems Research",
https://arxiv.org/abs/1911.07698. The other ranges are wide and contain the defaults of the packages. Rendle
et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks",
https://arxiv.org/abs/2110.14037, show that iALS improves with many factors.
"""

from __future__ import annotations

from collections.abc import Mapping

from rectools.models import (
    EASEModel,
    ImplicitALSWrapperModel,
    ImplicitBPRWrapperModel,
    ImplicitItemKNNWrapperModel,
    PopularInCategoryModel,
    PopularModel,
    PureSVDModel,
)

from tuner.space import Choice, Fixed, Float, Int, Space

__all__ = ["space", "with_categories", "with_lightfm"]

_SEED = 60  # models with random initial values all begin with the same ones

_popularity = {
    # The model's other option, inverse popularity, is left out: it cannot be accurate.
    "popularity": Choice("n_users", "n_interactions", "mean_weight", "sum_weight"),
    # Only this number of days before the last interaction count. A hundred years mean all interactions.
    "period.days": Choice(7, 14, 28, 91, 365, 36_500),
    "add_cold": Choice(False, True),  # whether items without interactions in the period may fill short lists
}

_models: dict[object, Mapping[str, object]] = {
    PopularModel: _popularity,
    EASEModel: {"regularization": Float(1.0, 1e7, log=True)},
    ImplicitItemKNNWrapperModel: {
        "model.cls": Choice(
            {
                "ItemItemRecommender": {},
                "CosineRecommender": {},
                "TFIDFRecommender": {},
                # Around the usual values of the BM25 formula, 1.2 and 0.75.
                "BM25Recommender": {"model.K1": Float(0.1, 10.0, log=True), "model.B": Float(0.0, 1.0)},
            }
        ),
        "model.K": Int(5, 1000, log=True),
    },
    # There must be fewer factors than users and than items. No seed is set: with NumPy 1, SciPy 1.17
    # refuses every seed (TypeError at fit), and the random start changes the result only by rounding.
    PureSVDModel: {"factors": Int(1, 350, log=True)},
    ImplicitALSWrapperModel: {
        "model.factors": Int(16, 512, log=True),
        "model.iterations": Int(5, 100, log=True),
        "model.alpha": Float(1e-3, 50.0, log=True),
        # The penalty of `implicit` (0.01 by default) does not grow with the data, so large data need a
        # larger one.
        "model.regularization": Float(1e-5, 10.0, log=True),
        "model.random_state": _SEED,
        # Has no effect if the data have no features.
        "fit_features_together": Choice(False, True),
    },
    ImplicitBPRWrapperModel: {
        "model.factors": Int(8, 256, log=True),
        "model.iterations": Int(20, 500, log=True),
        "model.learning_rate": Float(1e-4, 1e-1, log=True),
        "model.regularization": Float(1e-5, 1e-2, log=True),
        "model.verify_negative_samples": Choice(True, False),
        "model.random_state": _SEED,
        "model.num_threads": 1,  # with more, `implicit` does not give the same model twice
    },
}

_baselines = {
    # Every study can also name the built-in baselines "popular", "ease", "item_knn", "pure_svd" and "ials".
    "popular_week": {"cls": PopularModel, "popularity": "n_users", "period.days": 7},
    "bm25": {
        "cls": ImplicitItemKNNWrapperModel,
        "model.cls": "BM25Recommender",
        "model.K": 50,
        "model.K1": 1.2,
        "model.B": 0.75,
    },
    "bpr": {
        "cls": ImplicitBPRWrapperModel,
        "model.factors": 64,
        "model.random_state": _SEED,
        "model.num_threads": 1,
    },
}

space = Space({"cls": Choice(_models)}, baselines=_baselines)

with_categories = Space(
    {
        "cls": Choice(
            {
                **_models,
                PopularInCategoryModel: {
                    **_popularity,
                    "category_feature": Fixed("genre"),  # a study sets the name of its own feature
                    "n_categories": Int(1, 20, log=True),
                    "mixing_strategy": Choice("rotate", "group"),
                    "ratio_strategy": Choice("proportional", "equal"),
                },
            }
        )
    },
    baselines=_baselines,
)

with_lightfm = Space(
    {
        "cls": Choice(
            {
                **_models,
                # Given by name, because the class cannot be imported without its package. A study check
                # reports that.
                "LightFMWrapperModel": {
                    "model.no_components": Int(8, 256, log=True),
                    "model.loss": Choice(
                        {
                            "logistic": {},
                            "bpr": {},
                            "warp": {"model.max_sampled": Int(5, 50, log=True)},
                            # The loss learns from the k-th best of n positives.
                            "warp-kos": {"model.n": Int(5, 20), "model.k": Int(1, 5)},
                        }
                    ),
                    "model.learning_schedule": Choice(
                        {
                            "adagrad": {"model.learning_rate": Float(1e-3, 0.5, log=True)},
                            "adadelta": {
                                "model.rho": Float(0.8, 0.99),
                                "model.epsilon": Float(1e-8, 1e-4, log=True),
                            },
                        }
                    ),
                    "model.item_alpha": Float(1e-8, 1e-3, log=True),
                    "model.user_alpha": Float(1e-8, 1e-3, log=True),
                    "model.random_state": _SEED,
                    "epochs": Int(5, 100, log=True),
                    "num_threads": 1,  # with more, LightFM does not give the same model twice
                },
            }
        )
    },
    baselines=_baselines,
)
