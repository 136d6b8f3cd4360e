"""What conditions, bounds and relations refer to, checked when a space is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from math import prod

from tuner.errors import Problem, did_you_mean
from tuner.space.domains import Choice, Domain
from tuner.space.parameters import Condition, Parameter
from tuner.space.ranges import Int
from tuner.space.values import Value, same

__all__ = ["can_be", "structure_problems"]

_MOST_COMBINATIONS = 1_000_000  # of related values that are checked when a space is built


def structure_problems(parameters: tuple[Parameter, ...]) -> Iterator[Problem]:
    """Check what conditions and bounds refer to."""
    if not any(parameter.key == "cls" for parameter in parameters):
        yield Problem("cls", "must say which model to build, but is missing")
    before: dict[str, list[Parameter]] = {}
    names: set[str] = set()
    needs: dict[str, set[str]] = {}
    for parameter in parameters:
        needs.setdefault(parameter.key, set()).update(_needs(parameter))
    for parameter in parameters:
        if parameter.name in names:
            yield Problem(
                parameter.key, f"must stand once in one place, but {parameter.name!r} is there twice"
            )
        else:
            for twin in before.get(parameter.key, []):
                if not _exclusive(twin, parameter):
                    yield Problem(
                        parameter.key,
                        "must exist at most once in a trial, but two of its places can be met together",
                        "give one of them a `when`, or put both under options of one choice",
                    )
        names.add(parameter.name)
        for key in sorted(_needs(parameter) - before.keys()):
            rule = f"must depend on params that stand before it, but got {key!r}"
            yield Problem(parameter.key, rule, _order_hint(parameter.key, key, needs, list(before)))
        if not _can_hold(parameter.conditions):
            rule = (
                "must have conditions that can be met together, but they want different values of one param"
            )
            yield Problem(parameter.key, rule, "drop one of them: it would never exist")
            continue
        for condition in parameter.conditions:
            yield from _condition_problems(parameter, condition, before)
        if isinstance(parameter.domain, Int) and parameter.domain.reference is not None:
            yield from _reference_problems(parameter, parameter.domain.reference, before)
        if isinstance(parameter.domain, (Int, Choice)):
            yield from _relation_problems(parameter, parameter.domain, before)
        before.setdefault(parameter.key, []).append(parameter)


def _needs(parameter: Parameter) -> set[str]:
    """Return the keys that a param looks at: those of conditions, bounds and relations."""
    domain = parameter.domain
    keys = {condition.key for condition in parameter.conditions}
    if isinstance(domain, Int) and domain.reference is not None:
        keys.add(domain.reference)
    if isinstance(domain, (Int, Choice)):
        keys.update(key for relation in domain.relations for key in relation.keys)
    return keys


def _order_hint(key: str, missing: str, needs: Mapping[str, set[str]], before: list[str]) -> str:
    """Say how to give a param what it looks at and does not find before it."""
    if missing == key:
        return "a param cannot depend on itself"
    if key in needs.get(missing, ()):
        return f"{key} and {missing} depend on each other: let only one of them look at the other"
    if missing in needs:
        return f"put {missing!r} before {key!r}"
    near = did_you_mean(missing, before)
    return (
        near
        if near.startswith("did")
        else f"the space has no {missing!r}: add it before, or drop what needs it"
    )


def _can_hold(conditions: tuple[Condition, ...]) -> bool:
    """Whether no two conditions want different values of one param."""
    return all(
        one.key != other.key or any(same(a, b) for a in one.values for b in other.values)
        for one, other in combinations(conditions, 2)
    )


def _exclusive(one: Parameter, other: Parameter) -> bool:
    """Whether no trial can have both: they need different values of one param."""
    return any(
        mine.key == theirs.key and not any(same(a, b) for a in mine.values for b in theirs.values)
        for mine in one.conditions
        for theirs in other.conditions
    )


def _condition_problems(
    parameter: Parameter, condition: Condition, before: Mapping[str, list[Parameter]]
) -> Iterator[Problem]:
    sources = before.get(condition.key, [])
    for value in condition.values if sources else ():
        if not can_be(value, [source.domain for source in sources]):
            yield Problem(
                parameter.key,
                f"`when` must name values that {condition.key} can take, but got {value!r}",
                f"{condition.key} must " + " or ".join(source.domain.describe() for source in sources),
            )


def _reference_problems(
    parameter: Parameter, reference: str, before: Mapping[str, list[Parameter]]
) -> Iterator[Problem]:
    sources = before.get(reference, [])
    if sources and not any(set(source.conditions) <= set(parameter.conditions) for source in sources):
        yield Problem(
            parameter.key,
            f"its bound {reference!r} must exist wherever it does, but has conditions of its own",
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
    parameter: Parameter, domain: Int | Choice, before: Mapping[str, list[Parameter]]
) -> Iterator[Problem]:
    """Check that what a relation looks at exists wherever the param does, and always leaves a value."""
    keys = dict.fromkeys(key for relation in domain.relations for key in relation.keys)
    choices: list[list[int]] = []
    for key in keys:
        sources = before.get(key, [])
        values = [_integers(source.domain) for source in sources]
        if not sources:  # told above
            continue
        if not any(set(source.conditions) <= set(parameter.conditions) for source in sources):
            rule = (
                f"{key!r}, which it is related to, must exist wherever it does, but has conditions of its own"
            )
            yield Problem(parameter.key, rule)
        elif any(value is None for value in values):
            rule = f"{key!r}, which it is related to, must have integer values, fixed bounds"
            others = " or ".join(source.domain.describe() for source in sources)
            yield Problem(parameter.key, rule, f"here {key} must {others}")
        else:
            choices.append(sorted({value for several in values for value in several or ()}))
    if not keys or len(choices) < len(keys):
        return
    if prod(map(len, choices)) * len(domain.values()) > _MOST_COMBINATIONS:
        yield Problem(
            parameter.key, f"a relation must leave at most {_MOST_COMBINATIONS:,} combinations to check"
        )
        return
    for combination in product(*choices):
        flat = dict(zip(keys, combination, strict=True))
        if not any(all(r.allows(int(str(v)), flat) for r in domain.relations) for v in domain.values()):
            words = " and ".join(relation.describe() for relation in domain.relations)
            beside = ", ".join(f"{key}={value}" for key, value in flat.items())
            yield Problem(parameter.key, f"must {words}, but no value does beside {beside}")
            return


def _integers(domain: Domain) -> list[int] | None:
    """Return all values of an integer domain, None if it has others or its bound is another param."""
    if isinstance(domain, Int):
        return None if domain.reference is not None else list(domain.values())
    values = domain.options if isinstance(domain, Choice) else (domain.only(),)
    integers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    return integers if len(integers) == len(values) else None


def _lowest(domain: Domain) -> int | None:
    """Return the smallest value of an integer domain, None if it has others than integers."""
    if isinstance(domain, Int):
        return domain.low
    values = domain.options if isinstance(domain, Choice) else (domain.only(),)
    integers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    return min(integers) if len(integers) == len(values) else None


def can_be(value: Value, sources: list[Domain]) -> bool:
    """Whether one of the domains that a key has can give it this value."""
    return any(
        (isinstance(source, Int) and source.reference is not None) or source.contains(value)
        for source in sources
    )
