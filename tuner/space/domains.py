"""The domains whose values are listed: `Fixed`, `Choice` and `Subset`; and the type of all domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution

from tuner.space.ranges import Float, Int
from tuner.space.relations import Relation
from tuner.space.values import Value, plain_value, plain_when, same

if TYPE_CHECKING:
    from optuna.distributions import CategoricalChoiceType

__all__ = ["Choice", "Domain", "Fixed", "Source", "Subset", "as_domain"]


#: Most options that a message names.
_MOST_SHOWN = 100


@dataclass(frozen=True)
class Fixed:
    """A param with the same value in every trial.

    Parameters
    ----------
    value
        A class, or any value that is valid in flat params.
    when
        Condition: the param exists only in trials in which each of these keys has one of the given values.
    """

    value: Any
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain_value(self.value))
        object.__setattr__(self, "when", plain_when(self.when))

    def distribution(self) -> BaseDistribution | None:
        """Return None, because there is only one value."""
        return None

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        return same(self.value, value)

    def describe(self) -> str:
        """Return the domain as text for messages, to follow "must"."""
        return f"be {self.value!r}"

    def only(self) -> Value:
        """Return the one value."""
        return cast("Value", self.value)


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values. A value can have params that exist only in trials that choose it.

    Parameters
    ----------
    *options
        The values, or one mapping from each value to its params. Under a key that ends with ``_type``, these
        params are kwargs of the class, written without prefix: ``n_hidden_groups`` under
        `transformer_layers_type` becomes ``transformer_layers_kwargs.n_hidden_groups``. Under any other key
        they are flat params.
    when
        See `Fixed`.
    relations
        Relations between the value and earlier integer params, such as ``[Divides("n_factors")]``.

    Raises
    ------
    ValueError
        If there is no option, or two options are equal.
    TypeError
        If the params of an option are not a mapping, or a choice with relations has an option that is not an
        integer.
    """

    options: tuple[Value, ...]
    params: Mapping[Value, Mapping[str, Domain]]
    when: Mapping[str, Any]
    relations: tuple[Relation, ...]

    def __init__(
        self,
        *options: object,
        when: Mapping[str, object] | None = None,
        relations: Iterable[Relation] = (),
    ) -> None:
        if len(options) == 1 and isinstance(options[0], Mapping):
            branches: dict[Value, Mapping[str, object]] = {}
            for value, params in options[0].items():
                if params is not None and not isinstance(params, Mapping):
                    msg = f"the params under {value!r} must be a mapping, but got {params!r}"
                    raise TypeError(msg)
                branches[plain_value(value)] = params or {}
            values = tuple(branches)
        else:
            values = tuple(plain_value(option) for option in options)
            branches = {}
        if not values:
            msg = "a choice needs at least one option, but got none; leave the key out for the default"
            raise ValueError(msg)
        once = set()
        for value in values:
            if (isinstance(value, bool), value) in once:  # as `same` compares them, but fast for many options
                msg = f"the options of a choice must differ, but {value!r} appears twice; remove one of them"
                raise ValueError(msg)
            once.add((isinstance(value, bool), value))
        params = {
            value: {key: as_domain(domain) for key, domain in branch.items()}
            for value, branch in branches.items()
            if branch
        }
        object.__setattr__(self, "options", values)
        n_texts = Counter(self.category(value) for value in values if isinstance(value, (str, tuple)))
        for text, n_same in n_texts.items():
            if n_same > 1:
                msg = f"the options of a choice must differ as text, but two of them are {text!r}"
                raise ValueError(msg)
        object.__setattr__(self, "params", params)
        object.__setattr__(self, "when", plain_when(when))
        object.__setattr__(self, "relations", tuple(relations))
        if self.relations and not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            msg = f"the options of a choice with a relation must be integers, but got {values!r}"
            raise TypeError(msg)

    def values(self) -> tuple[Value, ...]:
        """Return all options."""
        return self.options

    @property
    def n_values(self) -> int:
        """Number of options."""
        return len(self.options)

    def distribution(self) -> BaseDistribution | None:
        """Return the Optuna distribution, or None if there is only one value."""
        if len(self.options) == 1:
            return None
        return CategoricalDistribution([self.category(option) for option in self.options])

    def with_params(self, params: Mapping[Value, Mapping[str, Domain]], when: Mapping[str, Any]) -> Choice:
        """Return a choice with the same options and relations, but other params and another condition."""
        made = Choice(*self.options, when=when, relations=self.relations)
        object.__setattr__(made, "params", {value: branch for value, branch in params.items() if branch})
        return made

    def with_relations(self, relations: tuple[Relation, ...]) -> Choice:
        """Return the same choice with other relations."""
        made = Choice(*self.options, when=self.when, relations=relations)
        object.__setattr__(made, "params", self.params)
        return made

    def category(self, value: Value) -> CategoricalChoiceType:
        """Return an option as Optuna stores it. A list becomes text, with its parts joined by ``+``."""
        return "+".join(str(part) for part in value) if isinstance(value, tuple) else value

    def option(self, category: Value) -> Value:
        """Return the option that Optuna stores as `category`, or `category` itself if there is none."""
        found = [option for option in self.options if same(self.category(option), category)]
        return found[0] if found else category

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        return any(same(option, value) for option in self.options)

    def describe(self) -> str:
        """Return the domain as text for messages, to follow "must"."""
        more = len(self.options) - _MOST_SHOWN
        shown = ", ".join(repr(option) for option in self.options[:_MOST_SHOWN])
        return f"be one of {shown}" + (f", and {more:,} more" if more > 0 else "")

    def only(self) -> Value:
        """Return the first option, for a choice with only one."""
        return self.options[0]


#: Every subset is an option of one choice. With more values, a sampler has too many options to learn from.
_MOST_IN_A_SUBSET = 8


def Subset(  # noqa: N802  # users write it like the class `Choice`
    *options: object, at_least: int = 1, when: Mapping[str, object] | None = None
) -> Choice:
    """Return the choice among all subsets of some values, as lists, the shortest first.

    The values of each list are in the order in which they are written here.

    Parameters
    ----------
    *options
        The values, at most 8.
    at_least
        Smallest number of values in a list.
    when
        See `Fixed`.

    Raises
    ------
    ValueError
        If two values are equal, there are more than 8, or fewer than `at_least`.
    TypeError
        If `at_least` is not an integer.
    """
    values = Choice(*options).options
    if len(values) > _MOST_IN_A_SUBSET:
        msg = f"a subset must have at most {_MOST_IN_A_SUBSET} options, but got {len(values)}"
        raise ValueError(msg)
    if isinstance(at_least, bool) or not isinstance(at_least, int):
        msg = f"at_least must be an integer, but got {at_least!r}"
        raise TypeError(msg)
    if not 0 <= at_least <= len(values):
        msg = f"0 <= at_least <= {len(values)} (its options) must hold, but got at_least={at_least}"
        raise ValueError(msg)
    sizes = range(at_least, len(values) + 1)
    return Choice(*(subset for size in sizes for subset in combinations(values, size)), when=when)


Domain: TypeAlias = Fixed | Int | Float | Choice


def as_domain(value: object) -> Domain:
    """Return a domain as it is, and any other value as `Fixed`."""
    return value if isinstance(value, (Fixed, Int, Float, Choice)) else Fixed(value)


#: A function that returns the value of a dimension, given its name and domain: it asks a sampler or reads a
#: point.
Source: TypeAlias = "Callable[[str, Domain], Value]"
