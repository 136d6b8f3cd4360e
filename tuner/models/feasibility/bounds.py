"""Feasibility rules: bounds of single params, and the length of sequences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.lightning import TransformerLightningModule

from tuner.errors import Problem
from tuner.models.feasibility.case import Case

__all__ = ["BOUND_RULES", "CLASSIC", "Bound", "at_least", "positive"]


@dataclass(frozen=True)
class Bound:
    """A condition on one number.

    Attributes
    ----------
    key
        Flat key of the param.
    rule
        The condition as text for messages.
    holds
        The condition. NaN never satisfies it, because every comparison with NaN is false.
    whole
        Whether only whole numbers are accepted, as in RecTools' config.
    unless
        Key of a param. If it is set, RecTools ignores this number, and the condition is not checked.
    """

    key: str
    rule: str
    holds: Callable[[float], bool]
    whole: bool = False
    unless: str = ""

    def check(self, value_of: Callable[[str], Any]) -> Iterator[Problem]:
        """Yield a problem if the value of the key is a number that does not satisfy the condition."""
        value = value_of(self.key)
        if not isinstance(value, int | float) or (self.unless and value_of(self.unless) is not None):
            return
        if self.whole and not float(value).is_integer():
            rule = f"`{self.key}` must be a whole number, but got {value}"
            yield Problem(self.key, rule, "search it with `Int` or a `Choice` of whole numbers")
        elif not self.holds(value):
            hint = f"bound it in the space so that `{self.rule}`"
            yield Problem(self.key, f"`{self.rule}` must hold, but got {value}", hint)


def at_least(low: float, key: str, *, whole: bool = True, unless: str = "") -> Bound:
    """Return a lower bound of a number."""
    return Bound(key, f"{key} >= {low}", lambda value: value >= low, whole, unless)


def positive(key: str) -> Bound:
    """Return the bound of a number that must be above 0."""
    return Bound(key, f"0 < {key} < inf", lambda value: 0 < value < math.inf)


#: Every bound was tested by running RecTools. It accepts a value outside and then fails, or it fits a model
#: that learns nothing (no epochs, all units dropped). 0 blocks are allowed: then each item predicts the next
#: one.
_TRANSFORMER = (
    at_least(1, "n_factors"),
    at_least(1, "n_heads"),
    at_least(0, "n_blocks"),
    at_least(1, "session_max_len"),
    at_least(1, "batch_size"),
    at_least(1, "recommend_batch_size"),
    at_least(0, "dataloader_num_workers"),
    at_least(1, "epochs", unless="get_trainer_func"),  # -1 never ends; a user's trainer ignores it
    Bound("dropout_rate", "0 <= dropout_rate < 1", lambda rate: 0 <= rate < 1),
)

#: The same for the models that use implicit and scipy. ``K=0`` ends the process. A negative penalty is
#: accepted: ALS fits with it, and BPR fails only after many iterations.
CLASSIC: Mapping[str, tuple[Bound, ...]] = {
    "ImplicitALSWrapperModel": (
        at_least(1, "model.factors"),
        at_least(1, "model.iterations"),
        positive("model.alpha"),  # with 0 the interactions have no weight, below 0 a negative one
    ),
    "ImplicitBPRWrapperModel": (
        at_least(1, "model.factors"),
        at_least(1, "model.iterations"),
        positive("model.learning_rate"),
    ),
    "ImplicitItemKNNWrapperModel": (at_least(1, "model.K"),),
    "PureSVDModel": (
        at_least(1, "factors"),
        at_least(1, "maxiter"),
        at_least(0, "tol", whole=False),
    ),
    # Below 0 the regression has no minimum in general, and far below 0 its weights change sign.
    "EASEModel": (at_least(0, "regularization", whole=False),),
}


def _bounds(case: Case) -> Iterator[Problem]:
    for bound in _TRANSFORMER:
        yield from bound.check(case.flat)


def _learning_rate(case: Case) -> Iterator[Problem]:
    if case.inherits("lightning_module", TransformerLightningModule, "__init__", "configure_optimizers"):
        yield from positive("lr").check(case.flat)


def _train_sequences(case: Case) -> Iterator[Problem]:
    """Require two items: a shifted sequence of one item has no target, and the fit fails at that user."""
    if case.shifts:
        yield from at_least(2, "train_min_user_interactions").check(case.flat)


def _room_for_mask(case: Case) -> Iterator[Problem]:
    """Require two positions: the MASK token takes the last one, and at least one item must remain."""
    if case.inherits("data_preparator", BERT4RecDataPreparator, "_collate_fn_recommend"):
        bound = at_least(2, "session_max_len")
        if case["session_max_len"] == 1:
            yield from bound.check(case.flat)


def _mask_sees(case: Case) -> Iterator[Problem]:
    """Require a block: a MASK token gets information about other items only through attention."""
    if case.masks and case.masked_attention and case["n_blocks"] == 0:
        rule = "`n_blocks >= 1` must hold where items are masked, but got 0"
        yield Problem("n_blocks", rule, "allow 0 blocks only with SASRecDataPreparator")


BOUND_RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _bounds,
    _learning_rate,
    _train_sequences,
    _room_for_mask,
    _mask_sees,
)
