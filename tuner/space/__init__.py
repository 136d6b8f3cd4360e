"""The search space and the domains that it is made of.

A space has the shape of RecTools' flat params: its keys are the keys that ``model.get_params()`` prints. Each
key has a domain: `Choice`, `Subset`, `Int`, `Float` or `Fixed`. A `Choice` among module classes holds the
kwargs of each class under that class. So a kwarg exists only in trials that choose its module.
"""

from tuner.space.class_names import class_path, short_name
from tuner.space.domains import Choice, Domain, Fixed, Subset
from tuner.space.flat import flat_params
from tuner.space.parameters import Parameter
from tuner.space.ranges import Float, Int
from tuner.space.relations import AtMost, Divides, Relation, SumAtMost
from tuner.space.space import Space
from tuner.space.values import Value
from tuner.space.yaml_form import domain_from_plain, domain_to_plain, load_space, space_to_plain

__all__ = [
    "AtMost",
    "Choice",
    "Divides",
    "Domain",
    "Fixed",
    "Float",
    "Int",
    "Parameter",
    "Relation",
    "Space",
    "Subset",
    "SumAtMost",
    "Value",
    "class_path",
    "domain_from_plain",
    "domain_to_plain",
    "flat_params",
    "load_space",
    "short_name",
    "space_to_plain",
]
