"""The space: params in order, which of them a trial has, and the two ways between params and dimensions.

A *param* is a key of RecTools' flat params. A *dimension* is what Optuna sees: a name with one
fixed distribution. Most params are one dimension of the same name. Two rules make the others:

- a param that exists only beside an option is named after it, as in
  ``transformer_layers_kwargs.n_inner_groups@AlbertLayers``;
- a param bounded by, or related to, others is one dimension for each set of values that this leaves:
  ``...@AlbertLayers[1..3]``, ``n_heads[1,2,4]``; with a relation that leaves all, by its plain name,

so that every distribution in the store is fixed, as samplers that learn require.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tuner.errors import Problem, SpaceError, did_you_mean
from tuner.space.domains import Choice, Domain, Fixed, Float, Int, Source, Value, as_domain, plain_value, same
from tuner.space.names import resolve_name, short_name
from tuner.space.relations import AtMost

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Parameter", "Space"]

_MOST_COMBINATIONS = 1_000_000  # of related values that are checked when a space is built

Flat = dict[str, Value]


@dataclass(frozen=True)
class Condition:
    """A param exists only where `key` has one of `values`."""

    key: str
    values: tuple[Value, ...]

    def holds(self, flat: Mapping[str, Value]) -> bool:
        """Whether the condition holds for the params known so far."""
        return self.key in flat and any(same(flat[self.key], value) for value in self.values)


@dataclass(frozen=True)
class Parameter:
    """One param of the space, with all that decides whether a trial has it.

    Attributes
    ----------
    key
        Key in RecTools' flat params.
    name
        Name of its dimension, without a bound.
    domain
        The values it may take.
    conditions
        All must hold for the param to exist.
    """

    key: str
    name: str
    domain: Domain
    conditions: tuple[Condition, ...]

    @property
    def constant(self) -> bool:
        """Whether it has one value wherever it exists."""
        domain = self.domain
        if isinstance(domain, Int) and domain.reference is not None:
            return False
        if isinstance(domain, (Int, Choice)) and domain.relations and len(domain.values()) > 1:
            return False
        return domain.distribution() is None

    def active(self, flat: Mapping[str, Value]) -> bool:
        """Whether a trial with the params `flat` (those before this one) has this param."""
        return all(condition.holds(flat) for condition in self.conditions)

    def dimension(self, flat: Mapping[str, Value]) -> tuple[str, Domain]:
        """Return the name and the domain once the params before this one are known."""
        if isinstance(self.domain, Int) and self.domain.reference is not None:
            high = flat[self.domain.reference]
            assert isinstance(high, int), "checked when the space was built"
            return f"{self.name}[{self.domain.low}..{high}]", self.domain.bounded(high)
        if isinstance(self.domain, (Int, Choice)) and self.domain.relations:
            values = self.domain.values()
            left = tuple(v for v in values if all(r.allows(int(str(v)), flat) for r in self.domain.relations))
            assert left, "checked when the space was built"
            label, domain = self.domain.only_values(left)
            return self.name if left == values else f"{self.name}{label}", domain
        return self.name, self.domain


class Space:
    """What a search may try: an ordered, immutable set of params with conditions.

    Parameters
    ----------
    params
        From key to domain; a bare value is the same as `Fixed`. A param may be conditioned on, or
        bounded by, params that stand before it.
    baselines
        Named params to compare with: they run first, and stand on the leaderboard by their name.

    Raises
    ------
    SpaceError
        With every problem found.
    """

    def __init__(
        self,
        params: Mapping[str, object],
        *,
        baselines: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self.domains: dict[str, Domain] = {key: as_domain(value) for key, value in params.items()}
        self.baselines: dict[str, Flat] = {
            name: {key: plain_value(value) for key, value in flat.items()}
            for name, flat in (baselines or {}).items()
        }
        self.parameters = tuple(_parameters(self.domains, (), ""))
        problems = list(_structure_problems(self.parameters))
        if problems:
            raise SpaceError("space", problems)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return (self.domains, self.baselines) == (other.domains, other.baselines)

    __hash__ = None  # type: ignore[assignment]  # a space holds mappings

    def __repr__(self) -> str:
        return f"Space({', '.join(self.domains)})"

    def suggest(self, trial: Trial) -> Flat:
        """Let Optuna choose a point; return it as flat params.

        Calling it again for the same trial gives the same point: values that the trial already
        has are kept.
        """
        return self.walk(lambda name, domain: _ask(trial, name, domain))

    def decode(self, point: Mapping[str, Value]) -> Flat:
        """Return the flat params of a point, given as dimension names and values.

        Raises
        ------
        SpaceError
            If a dimension is missing or its value is outside its distribution.
        """
        problems: list[Problem] = []

        def replay(name: str, domain: Domain) -> Value:
            if name not in point:
                problems.append(Problem(name, f"must {domain.describe()}, but is missing"))
            elif not domain.contains(value := _from_point(domain, point[name])):
                problems.append(Problem(name, f"must {domain.describe()}, but got {point[name]!r}"))
            else:
                return value
            return domain.only()

        flat = self.walk(replay)
        if problems:
            raise SpaceError("point", problems)
        return flat

    def encode(self, flat: Mapping[str, Value], defaults: Mapping[str, Value] | None = None) -> Flat:
        """Return the point (dimension names and values) that decodes to the given flat params.

        Parameters
        ----------
        flat
            Flat params as RecTools takes them.
        defaults
            Values that a missing param stands for. A param that the space does not have must be
            at its default.

        Raises
        ------
        SpaceError
            Saying for each param why the params lie outside the space.
        """
        known = dict(defaults or {}) | dict(flat)
        point: Flat = {}
        seen: Flat = {}
        problems: list[Problem] = []
        for parameter in self.parameters:
            if not parameter.active(seen):
                continue
            name, domain = parameter.dimension(seen)
            if parameter.key not in known:
                problems.append(Problem(parameter.key, f"must {domain.describe()}, but is missing"))
                value = domain.only()
            else:
                value = known[parameter.key]
                if not domain.contains(value):
                    problems.append(Problem(parameter.key, f"must {domain.describe()}, but got {value!r}"))
                    value = domain.only()
            seen[parameter.key] = value
            if domain.distribution() is not None:
                point[name] = domain.category(value) if isinstance(domain, Choice) else value
        problems.extend(_strangers(known, seen, defaults or {}))
        if problems:
            raise SpaceError("params outside the space", problems)
        return point

    def narrow(self, changes: Mapping[str, object]) -> Space:
        """Return the space with some params replaced, fixed or added.

        Parameters
        ----------
        changes
            From key to the new domain or value. The key of a module's kwarg (as
            ``transformer_layers_kwargs.n_hidden_groups``) changes it under every module that has
            it. An option of a choice keeps the params that stood beside it, unless new ones are
            given. A new domain without a condition keeps the old one.

        Raises
        ------
        SpaceError
            If a change cannot be applied, or the result is not well formed.
        """
        domains = dict(self.domains)
        problems: list[Problem] = []
        for key, change in changes.items():
            try:
                _change(domains, key, change)
            except (ValueError, TypeError) as error:
                problems.append(Problem(key, str(error)))
        if problems:
            raise SpaceError("space", problems)
        written = {key for key, change in changes.items() if as_domain(change).when}
        return Space(_reachable(domains, (), written, set(changes)), baselines=self.baselines)

    def fixed(self) -> Flat:
        """Return the params that have one value in every trial."""
        return {
            parameter.key: parameter.domain.only()
            for parameter in self.parameters
            if not parameter.conditions and parameter.constant
        }

    def varying(self) -> tuple[str, ...]:
        """Return the keys of the params that differ between trials, in order, each once."""
        keys = (p.key for p in self.parameters if not p.constant or p.conditions)
        return tuple(dict.fromkeys(keys))

    def walk(self, source: Source) -> Flat:
        """Return flat params whose values come from a function of dimension name and domain."""
        flat: Flat = {}
        for parameter in self.parameters:
            if not parameter.active(flat):
                continue
            name, domain = parameter.dimension(flat)
            flat[parameter.key] = domain.only() if domain.distribution() is None else source(name, domain)
        return flat


def _ask(trial: Trial, name: str, domain: Domain) -> Value:
    distribution = domain.distribution()
    if isinstance(distribution, CategoricalDistribution):
        return _from_point(domain, trial.suggest_categorical(name, distribution.choices))
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution), distribution
    return trial.suggest_float(
        name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )


def _from_point(domain: Domain, value: Value) -> Value:
    """Return a dimension's value as flat params hold it."""
    return domain.option(value) if isinstance(domain, Choice) else value


def _child_key(key: str, child: str) -> str:
    """Return the flat key of a param that stands under an option of `key`."""
    return f"{key.removesuffix('_type')}_kwargs.{child}" if key.endswith("_type") else child


def _parameters(
    domains: Mapping[str, Domain], conditions: tuple[Condition, ...], label: str
) -> Iterator[Parameter]:
    """Flatten nested domains depth first, so that a param follows the option it depends on."""
    for key, domain in domains.items():
        own = conditions + tuple(Condition(name, values) for name, values in domain.when.items())
        yield Parameter(key, f"{key}@{label}" if label else key, domain, own)
        if not isinstance(domain, Choice):
            continue
        for option, children in domain.params.items():
            under = {_child_key(key, child): inner for child, inner in children.items()}
            name = short_name(option)
            if sum(short_name(other) == name for other in domain.options) > 1:
                name = str(option)
            path = f"{label}/{name}" if label else name
            yield from _parameters(under, (*own, Condition(key, (option,))), path)


def _structure_problems(parameters: tuple[Parameter, ...]) -> Iterator[Problem]:
    """Check what conditions and bounds refer to."""
    if not any(parameter.key == "cls" for parameter in parameters):
        yield Problem("cls", "must say which model to build, but is missing")
    before: dict[str, list[Parameter]] = {}
    names: set[str] = set()
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
        for condition in parameter.conditions:
            yield from _condition_problems(parameter, condition, before)
        if isinstance(parameter.domain, Int) and parameter.domain.reference is not None:
            yield from _reference_problems(parameter, parameter.domain.reference, before)
        if isinstance(parameter.domain, (Int, Choice)):
            yield from _relation_problems(parameter, parameter.domain, before)
        before.setdefault(parameter.key, []).append(parameter)


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
    if condition.key not in before:
        yield Problem(
            parameter.key,
            f"`when` must name a param that stands before it, but got {condition.key!r}",
            did_you_mean(condition.key, list(before)) if before else None,
        )
        return
    for value in condition.values:
        sources = before[condition.key]
        if not _can_be(value, [source.domain for source in sources]):
            yield Problem(
                parameter.key,
                f"`when` must name values that {condition.key} can take, but got {value!r}",
                f"{condition.key} must " + " or ".join(source.domain.describe() for source in sources),
            )


def _reference_problems(
    parameter: Parameter, reference: str, before: Mapping[str, list[Parameter]]
) -> Iterator[Problem]:
    sources = before.get(reference, [])
    if not sources:
        hint = did_you_mean(reference, list(before)) if before else None
        yield Problem(
            parameter.key, f"high must name a param that stands before it, but got {reference!r}", hint
        )
        return
    if not any(set(source.conditions) <= set(parameter.conditions) for source in sources):
        yield Problem(
            parameter.key,
            f"its bound {reference!r} must exist wherever it does, but has conditions of its own",
        )
    assert isinstance(parameter.domain, Int), "only integers refer to other params"
    for source in sources:
        lowest = _lowest(source.domain)
        if lowest is None:
            yield Problem(parameter.key, f"its bound {reference!r} must be an integer param")
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
        if not sources:
            hint = did_you_mean(key, list(before)) if before else None
            rule = f"a relation must name a param that stands before it, but got {key!r}"
            yield Problem(parameter.key, rule, hint)
        elif not any(set(source.conditions) <= set(parameter.conditions) for source in sources):
            rule = (
                f"{key!r}, which it is related to, must exist wherever it does, but has conditions of its own"
            )
            yield Problem(parameter.key, rule)
        elif any(value is None for value in values):
            yield Problem(
                parameter.key, f"{key!r}, which it is related to, must have integer values, fixed bounds"
            )
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
        flat: Flat = dict(zip(keys, combination, strict=True))
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


def _strangers(known: Flat, seen: Flat, defaults: Mapping[str, Value]) -> Iterator[Problem]:
    """Find params that the space does not have at this point and that are not at their default."""
    for key, value in known.items():
        if key in seen or (key in defaults and same(value, defaults[key])):
            continue
        yield Problem(key, f"is no param of the space here, but got {value!r}", did_you_mean(key, list(seen)))


def _reachable(
    domains: Mapping[str, Domain], above: tuple[Parameter, ...], written: set[str], changed: set[str]
) -> dict[str, Domain]:
    """Drop params whose condition a narrower space can no longer meet, and such values of conditions.

    Parameters
    ----------
    domains
        Of one level: the space's own, or those under an option.
    above
        The params that stand before this level.
    written
        Params whose condition the user has just written: they stay as they are.
    changed
        Params that the user has just set: if they cannot be reached any more, they stay and are an
        error to report.
    """
    kept: dict[str, Domain] = {}
    for key, domain in domains.items():
        before = (*above, *_parameters(kept, (), ""))
        when = {
            name: tuple(value for value in values if _can_be(value, _sources(before, name)))
            for name, values in domain.when.items()
        }
        if key in written or (key in changed and not all(when.values())):
            kept[key] = domain
        elif all(when.values()):
            kept[key] = _with_children(key, domain, when, before=before, written=written, changed=changed)
    return kept


def _with_children(
    key: str,
    domain: Domain,
    when: Mapping[str, tuple[Value, ...]],
    *,
    before: tuple[Parameter, ...],
    written: set[str],
    changed: set[str],
) -> Domain:
    """Return the domain under a narrower condition, with what stands beside its options narrowed too."""
    if not isinstance(domain, Choice):
        return replace(domain, when=when)
    before = (*before, Parameter(key, key, domain, ()))
    branches: dict[Value, Mapping[str, Domain]] = {}
    for option, children in domain.params.items():
        flat = {_child_key(key, child): inner for child, inner in children.items()}
        names = dict(zip(flat, children, strict=True))
        reached = _reachable(flat, before, written, changed)
        branches[option] = {names[child]: inner for child, inner in reached.items()}
        before = (*before, *_parameters(reached, (), ""))
    return domain.with_params(branches, when)


def _sources(parameters: tuple[Parameter, ...], key: str) -> list[Domain]:
    return [parameter.domain for parameter in parameters if parameter.key == key]


def _can_be(value: Value, sources: list[Domain]) -> bool:
    return any(
        (isinstance(source, Int) and source.reference is not None) or source.contains(value)
        for source in sources
    )


def _with_when(domain: Domain, when: Mapping[str, tuple[Value, ...]]) -> Domain:
    if isinstance(domain, Choice):
        return domain.with_params(domain.params, when)
    return replace(domain, when=when)


def _change(domains: dict[str, Domain], key: str, change: object) -> None:
    """Replace `key` in the given domains or in those nested under options; add it if nowhere."""
    if key in domains:
        domains[key] = _replaced(key, domains[key], change)
        return
    if not _change_nested(domains, key, change):
        domains[key] = _replaced(key, None, change)


def _change_nested(domains: dict[str, Domain], key: str, change: object) -> bool:
    found = False
    for outer, domain in domains.items():
        if not isinstance(domain, Choice):
            continue
        branches = dict(domain.params)
        hit = False
        for option, children in domain.params.items():
            inner = {_child_key(outer, child): child_domain for child, child_domain in children.items()}
            if key in inner:
                inner[key] = _replaced(key, inner[key], change)
            elif not _change_nested(inner, key, change):
                continue
            hit = True
            branches[option] = dict(zip(children, inner.values(), strict=True))
        if hit:
            domains[outer] = domain.with_params(branches, domain.when)
            found = True
    return found


def _replaced(key: str, old: Domain | None, change: object) -> Domain:
    """Return the new domain with short names resolved and what it inherits from the old one."""
    new = as_domain(change)
    known = old.options if isinstance(old, Choice) else (old.only(),) if isinstance(old, Fixed) else ()
    if isinstance(new, Fixed):
        value = plain_value(resolve_name(key, new.value, known))
        if isinstance(old, Choice) and value in old.params:  # its kwargs are still searched
            new = Choice({value: old.params[value]}, when=new.when)
        else:
            new = replace(new, value=value)
    elif isinstance(new, Choice):
        inherited = old.params if isinstance(old, Choice) else {}
        branches: dict[object, Mapping[str, Domain]] = {}
        for option in new.options:
            value = plain_value(resolve_name(key, option, known))
            branches[value] = new.params.get(option) or inherited.get(value, {})
        new = Choice(branches, when=new.when, relations=new.relations)
    if old is not None and not new.when:
        new = _with_when(new, old.when)
    return _with_relations(new, old)


def _with_relations(new: Domain, old: Domain | None) -> Domain:
    """Let a narrower domain keep the relations of the old one, a bound by another param among them."""
    if not isinstance(old, (Int, Choice)) or isinstance(new, (Fixed, Float)):
        return new
    kept = old.relations
    if isinstance(old, Int) and old.reference is not None:
        kept = (AtMost(old.reference),)
    if not kept or new.relations or (isinstance(new, Int) and new.reference is not None):
        return new
    return replace(new, relations=kept) if isinstance(new, Int) else new.with_relations(kept)
