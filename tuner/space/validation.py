"""Checks of a new space: the params to which conditions, bounds and relations refer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from math import prod

from tuner.errors import Problem, did_you_mean
from tuner.space.class_names import short_name
from tuner.space.domains import Choice, Domain
from tuner.space.parameters import Condition, Parameter
from tuner.space.ranges import Int
from tuner.space.values import Value

__all__ = ["can_be", "structure_problems"]

_MOST_COMBINATIONS = 1_000_000  # combinations of related values that are checked when a space is built
_MOST_PROBLEMS = 100  # problems of a space that are looked for
_MOST_VALUES = 10  # values of a condition that are named


@dataclass
class _Checked:
    """How much has been checked: a check of all params together takes a second at most."""

    combinations: int = 0


def structure_problems(parameters: tuple[Parameter, ...]) -> Iterator[Problem]:
    """Yield the problems of a space's params: their order, conditions, bounds and relations."""
    yield from islice(_problems(parameters), _MOST_PROBLEMS)


def _problems(parameters: tuple[Parameter, ...]) -> Iterator[Problem]:
    if not any(parameter.key == "cls" for parameter in parameters):
        yield Problem("cls", "must say which model to build, but is missing", _hint_of_model(parameters))
    before: dict[str, list[Parameter]] = {}
    names: set[str] = set()
    needs: dict[str, set[str]] = {}
    checked = _Checked()
    for parameter in parameters:
        needs.setdefault(parameter.key, set()).update(_needs(parameter))
    for parameter in parameters:
        if parameter.name in names:
            yield Problem(
                parameter.key, f"must appear once in one place, but {parameter.name!r} appears twice"
            )
        else:
            for other in before.get(parameter.key, []):
                if not _exclusive(other, parameter):
                    yield Problem(
                        parameter.key,
                        "must exist at most once in a trial, but one trial can have it in two places",
                        "give one of them a `when`, or put both under options of one choice",
                    )
        names.add(parameter.name)
        for key in sorted(_needs(parameter) - before.keys()):
            rule = f"must depend on params that come before it, but got {key!r}"
            yield Problem(parameter.key, rule, _order_hint(parameter.key, key, needs, list(before)))
        if not _can_hold(parameter.conditions):
            rule = (
                "must have conditions that can hold together, but two require different values of one param"
            )
            yield Problem(parameter.key, rule, "remove one of them: now the param never exists")
            continue
        for condition in parameter.conditions:
            yield from _condition_problems(parameter, condition, before)
        if isinstance(parameter.domain, Int) and parameter.domain.reference is not None:
            yield from _reference_problems(parameter, parameter.domain.reference, before)
        if isinstance(parameter.domain, (Int, Choice)):
            yield from _relation_problems(parameter, parameter.domain, before, checked)
        before.setdefault(parameter.key, []).append(parameter)


def _hint_of_model(parameters: tuple[Parameter, ...]) -> str:
    """Return what to do in a space without `cls`: another key may have the model."""
    for parameter in parameters:
        domain = parameter.domain
        values = domain.options if isinstance(domain, Choice) else (domain.only(),)
        if any(isinstance(value, str) and short_name(value).endswith("Model") for value in values):
            return f"write `cls` instead of `{parameter.key}`"
    return "add the name of a model, such as `cls: SASRecModel`"


def _needs(parameter: Parameter) -> set[str]:
    """Return the keys to which a param refers in its conditions, bound and relations."""
    domain = parameter.domain
    keys = {condition.key for condition in parameter.conditions}
    if isinstance(domain, Int) and domain.reference is not None:
        keys.add(domain.reference)
    if isinstance(domain, (Int, Choice)):
        keys.update(key for relation in domain.relations for key in relation.keys)
    return keys


def _order_hint(key: str, missing: str, needs: Mapping[str, set[str]], before: list[str]) -> str:
    """Return a hint for a param that refers to `missing`, which does not come before it."""
    if missing == key:
        return "a param cannot depend on itself"
    if key in needs.get(missing, ()):
        return f"{key} and {missing} depend on each other: remove one of the two dependencies"
    if missing in needs:
        return f"put {missing!r} before {key!r}"
    near = did_you_mean(missing, before)
    if near.startswith("did"):
        return near
    return f"the space has no {missing!r}: add it before {key!r}, or remove the dependency"


def _can_hold(conditions: tuple[Condition, ...]) -> bool:
    """Whether all conditions can hold together: no two require different values of one param."""
    return all(
        one.key != other.key or not _keys(one.values).isdisjoint(_keys(other.values))
        for one, other in combinations(conditions, 2)
    )


def _exclusive(one: Parameter, other: Parameter) -> bool:
    """Whether no trial can have both params, because they require different values of one param."""
    return any(
        mine.key == theirs.key and _keys(mine.values).isdisjoint(_keys(theirs.values))
        for mine in one.conditions
        for theirs in other.conditions
    )


def _condition_problems(
    parameter: Parameter, condition: Condition, before: Mapping[str, list[Parameter]]
) -> Iterator[Problem]:
    sources = [source.domain for source in before.get(condition.key, [])]
    wrong = _impossible(condition.values, sources) if sources else []
    for value in wrong[:_MOST_VALUES]:
        yield Problem(
            parameter.key,
            f"`when` must name values that {condition.key} can take, but got {value!r}",
            f"{condition.key} must " + " or ".join(source.describe() for source in sources),
        )


def _reference_problems(
    parameter: Parameter, reference: str, before: Mapping[str, list[Parameter]]
) -> Iterator[Problem]:
    sources = before.get(reference, [])
    if sources and not any(set(source.conditions) <= set(parameter.conditions) for source in sources):
        yield Problem(
            parameter.key,
            f"its bound {reference!r} must exist in every trial that has it, but has other conditions",
        )
    assert isinstance(parameter.domain, Int), "only integers refer to other params"
    for source in sources:
        lowest = _lowest(source.domain)
        if lowest is None:
            rule = f"its bound {reference!r} must be an integer param"
            yield Problem(parameter.key, rule, f"here {reference} must {source.domain.describe()}")
        elif lowest < parameter.domain.low:
            yield Problem(
                parameter.key,
                f"low <= {reference} must hold, but low={parameter.domain.low} "
                f"and {reference} can be {lowest}",
            )


def _relation_problems(
    parameter: Parameter, domain: Int | Choice, before: Mapping[str, list[Parameter]], checked: _Checked
) -> Iterator[Problem]:
    """Check the relations of a param.

    The params to which they refer must exist in every trial that has this param, and for all their values at
    least one value of this param must remain.
    """
    keys = dict.fromkeys(key for relation in domain.relations for key in relation.keys)
    domains: list[list[Domain]] = []
    for key in keys:
        sources = before.get(key, [])
        if not sources:  # `structure_problems` has reported it
            continue
        if not any(set(source.conditions) <= set(parameter.conditions) for source in sources):
            rule = f"its relation's {key!r} must exist in every trial that has it, but has other conditions"
            yield Problem(parameter.key, rule)
        elif not all(_is_integer(source.domain) for source in sources):
            rule = f"its relation's {key!r} must have integer values and bounds that are numbers"
            others = " or ".join(source.domain.describe() for source in sources)
            yield Problem(parameter.key, rule, f"here {key} must {others}")
        else:
            domains.append([source.domain for source in sources])
    if not keys or len(domains) < len(keys):
        return
    checked.combinations += prod(sum(map(_n_values, several)) for several in domains) * domain.n_values
    if checked.combinations > _MOST_COMBINATIONS:
        rule = f"relations must have at most {_MOST_COMBINATIONS:,} combinations of values, but have more"
        yield Problem(parameter.key, rule)
        return
    choices = [sorted({value for one in several for value in _integers(one)}) for several in domains]
    for combination in product(*choices):
        flat = dict(zip(keys, combination, strict=True))
        if not any(all(r.allows(int(str(v)), flat) for r in domain.relations) for v in domain.values()):
            conditions = " and ".join(relation.describe() for relation in domain.relations)
            given = ", ".join(f"{key}={value}" for key, value in flat.items())
            yield Problem(parameter.key, f"must {conditions}, but no value does with {given}")
            return


def _integers(domain: Domain) -> list[int]:
    """Return all values of a domain that has only integers."""
    values = domain.values() if isinstance(domain, (Int, Choice)) else (domain.only(),)
    return [value for value in values if isinstance(value, int)]


def _is_integer(domain: Domain) -> bool:
    """Whether all values of a domain are integers, and its bounds are numbers."""
    if isinstance(domain, Int):
        return domain.reference is None
    return _lowest(domain) is not None


def _n_values(domain: Domain) -> int:
    return domain.n_values if isinstance(domain, (Int, Choice)) else 1


def _lowest(domain: Domain) -> int | None:
    """Return the smallest value of a domain; None if one of its values is not an integer."""
    if isinstance(domain, Int):
        return domain.low
    values = domain.options if isinstance(domain, Choice) else (domain.only(),)
    integers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    return min(integers) if len(integers) == len(values) else None


def _keys(values: Iterable[Value]) -> frozenset[tuple[bool, Value]]:
    """Return values as a set in which equal values are the `same`."""
    return frozenset((isinstance(value, bool), value) for value in values)


def can_be(value: Value, sources: list[Domain]) -> bool:
    """Whether a key can have this value, given all domains that it has in the space."""
    return not _impossible([value], sources) if sources else False


def _impossible(values: Sequence[Value], sources: Sequence[Domain]) -> list[Value]:
    """Return the values that a key cannot have; each source is asked once for all, as both may be many."""
    for source in sources:
        if isinstance(source, Int) and source.reference is not None:
            return []
        if isinstance(source, Choice):
            options = _keys(source.options)
            values = [value for value in values if (isinstance(value, bool), value) not in options]
        else:
            values = [value for value in values if not source.contains(value)]
    return list(values)
