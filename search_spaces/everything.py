"""All families in one space: the classic models, SASRec and BERT4Rec, and HSTU.

The space combines `search_spaces.classic`, `search_spaces.transformers` and `search_spaces.hstu`: each
model has the params that it has there. `space` needs categorical item features; `ids_only` is the same
space for data without them.

Each model has dimensions of its own, because a good learning rate for SASRec says little about one for
HSTU. A study that changes ``n_factors`` changes it for all models that have it.

A search over this space needs hundreds of trials. Random sampling gives each model the same share of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces import classic, hstu, transformers
from search_spaces.priors import TRANSFORMERS
from search_spaces.transformers import IDS_ONLY
from tuner.space import Choice, Domain, Space, Value

__all__ = ["ids_only", "space"]

_FAMILIES = (classic.space, transformers.space, hstu.space)


def _models(family: Space) -> tuple[Value, ...]:
    models = family.domains["cls"]
    return models.options if isinstance(models, Choice) else (models.only(),)


def _params(family: Space, model: Value) -> dict[str, Domain]:
    """Return all params that one model has in a space, without those of the other models."""
    domains = dict(family.narrow({"cls": model}).domains)
    own = domains.pop("cls")
    beside: Mapping[str, Domain] = own.params.get(model, {}) if isinstance(own, Choice) else {}
    return {**beside, **domains}


space = Space(
    {"cls": Choice({model: _params(family, model) for family in _FAMILIES for model in _models(family)})},
    baselines={name: params for family in _FAMILIES for name, params in family.baselines.items()},
    prior=TRANSFORMERS,
)

ids_only = space.narrow(IDS_ONLY)
