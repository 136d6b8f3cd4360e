"""Feasibility rules that need to know the data: numbers of users and items, and categories of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rectools.models import PureSVDModel
from rectools.models.base import ModelBase
from rectools.models.nn.item_net import CatFeaturesItemNet, SumOfEmbeddingsConstructor

from tuner.errors import Problem
from tuner.models.feasibility.case import Case, imported
from tuner.space import Value, short_name

__all__ = ["DataFacts", "needs_categories", "without_categories", "without_rank"]


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data on which trials are fitted.

    Attributes
    ----------
    n_users, n_items
        Fewest users and items with train interactions in a fold.
    has_categories
        Whether items have categories among their features.
    """

    n_users: int
    n_items: int
    has_categories: bool


def without_rank(
    model: type[ModelBase[Any]], params: Mapping[str, Value], data: DataFacts
) -> Iterator[Problem]:
    """Require fewer factors than users and than items: SciPy cannot find more singular vectors."""
    if model is not PureSVDModel:
        return
    factors = params.get("factors", PureSVDModel.config_class.model_fields["factors"].default)
    least = min(data.n_users, data.n_items)
    if isinstance(factors, int) and factors >= least:
        what = "users" if data.n_users < data.n_items else "items"
        rule = f"`factors < {least}`, the number of {what} in a fold, must hold, but got {factors}"
        yield Problem("factors", rule, f"let `factors` be at most {least - 1}")


def without_categories(case: Case, data: DataFacts) -> Iterator[Problem]:
    """Require a net that needs no categories: RecTools leaves out the others, and needs at least one."""
    blocks = case["item_net_block_types"]
    if data.has_categories or not isinstance(blocks, tuple | list) or not blocks:
        return
    constructor = case["item_net_constructor_type"]
    usual = isinstance(constructor, type) and issubclass(constructor, SumOfEmbeddingsConstructor)
    if usual and all(map(needs_categories, blocks)):
        names = ", ".join(short_name(block) for block in blocks)
        rule = f"must have a net that works without categories of items, but got only {names}"
        hint = f"{names} needs categories in data.item_features (docs/data.md), or use IdEmbeddingsItemNet"
        yield Problem("item_net_block_types", rule, hint)


def needs_categories(block: object) -> bool:
    """Whether an item net, given as its class or import path, is left out where items have no categories."""
    cls = imported(block) if isinstance(block, str) else block
    if not (isinstance(cls, type) and issubclass(cls, CatFeaturesItemNet)):
        return False
    made = getattr(cls.from_dataset, "__func__", None)
    return made is CatFeaturesItemNet.from_dataset.__func__  # type: ignore[attr-defined]  # a class method has it
