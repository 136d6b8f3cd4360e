"""Finds infeasible params before anything is fitted.

RecTools checks the type of a param and little else. It accepts most of the params that are refused here, then
fails minutes later during a fit, or trains a model that cannot learn. Each rule is a small function from a
`Case` to problems. A rule applies only if the class still has the function of RecTools for which the rule
holds, such as the ``_collate_fn_train`` that shifts the sequence. So a user's class that overrides the
function is not checked. A model class that is not RecTools' own is not checked at all.

The rules do not read data. A few of them need to know how many users and items there are, and whether items
have categories: `DataFacts`. Without these facts, such as before data are read, those rules are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.errors import Problem
from tuner.models.feasibility.bounds import BOUND_RULES, CLASSIC
from tuner.models.feasibility.case import case_of, model_named
from tuner.models.feasibility.constructors import is_rectools, refusals
from tuner.models.feasibility.data import DataFacts, needs_categories, without_categories, without_rank
from tuner.models.feasibility.dead import Dead, dead_values
from tuner.models.feasibility.rules import RULES, none_beside_kwargs
from tuner.space import Value

__all__ = ["DataFacts", "Dead", "dead_values", "infeasible", "needs_categories"]


def infeasible(params: Mapping[str, Value], data: DataFacts | None = None) -> list[Problem]:
    """Return why these params are infeasible.

    Parameters
    ----------
    params
        Flat params. Params that are not given have the model's defaults.
    data
        What is known of the data; None if nothing is.

    Returns
    -------
    list of Problem
        Each has the key of a param, the condition that does not hold, the values, and a hint how the space
        can avoid them. Empty if the params may work, and for a model class of the user's own.
    """
    model = model_named(params.get("cls"))
    if model is None or not is_rectools(model):
        return []
    if not issubclass(model, TransformerModelBase):
        bounds = CLASSIC.get(model.__name__, ())
        outside = [problem for bound in bounds for problem in bound.check(params.get)]
        return outside or ([] if data is None else list(without_rank(model, params, data)))
    doubled = list(none_beside_kwargs(params))
    if doubled:
        return doubled
    case = case_of(model, params)
    problems = [problem for rule in (*BOUND_RULES, *RULES) for problem in rule(case)]
    problems += [] if data is None else without_categories(case, data)
    return problems or list(refusals(case))
