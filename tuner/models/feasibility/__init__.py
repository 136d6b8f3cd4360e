"""What cannot work in flat params, told before anything is fitted.

RecTools checks the type of a param and little else: most of what is refused here is accepted by the config
and fails minutes later, in the middle of a fit, or trains a model that cannot learn. Each rule is a small
function from a `Case` to problems. A rule looks at the very function that makes it true (such as the
``_collate_fn_train`` that shifts the sequence), so a user's class that overrides it is not judged; a model
class that is not RecTools' own is not judged at all.

Nothing here sees data: what fails for some data only (a rank above the number of items) is not told.
"""

from __future__ import annotations

from collections.abc import Mapping

from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.errors import Problem
from tuner.models.feasibility.bounds import BOUND_RULES, CLASSIC
from tuner.models.feasibility.case import case_of, model_named
from tuner.models.feasibility.constructors import is_rectools, refusals
from tuner.models.feasibility.rules import RULES, none_beside_kwargs
from tuner.space import Value

__all__ = ["infeasible"]


def infeasible(params: Mapping[str, Value]) -> list[Problem]:
    """Return what makes a model of these params impossible, nothing if it may work.

    Parameters
    ----------
    params
        Flat params. What is left out has the model's default.

    Returns
    -------
    list of Problem
        Each stands under the key of a param, states the condition that does not hold with the values, and
        hints at a condition for the space that avoids it. Empty for a model class of the user's own.
    """
    model = model_named(params.get("cls"))
    if model is None or not is_rectools(model):
        return []
    if not issubclass(model, TransformerModelBase):
        return [problem for bound in CLASSIC.get(model.__name__, ()) for problem in bound.check(params.get)]
    doubled = list(none_beside_kwargs(params))
    if doubled:
        return doubled
    case = case_of(model, params)
    problems = [problem for rule in (*BOUND_RULES, *RULES) for problem in rule(case)]
    return problems or list(refusals(case))
