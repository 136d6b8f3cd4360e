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
from typing import TYPE_CHECKING

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.errors import Problem, SpaceError, did_you_mean
from tuner.space.domains import Choice, Domain, Source, as_domain
from tuner.space.narrow import apply_change, reachable
from tuner.space.parameters import Parameter, flatten
from tuner.space.validation import structure_problems
from tuner.space.values import Value, plain_value, same

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Parameter", "Space"]


Flat = dict[str, Value]


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
        self.parameters = tuple(flatten(self.domains, (), ""))
        problems = list(structure_problems(self.parameters))
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

    def distributions(self, point: Mapping[str, Value]) -> dict[str, BaseDistribution]:
        """Return the distribution of each dimension of a point."""
        found: dict[str, BaseDistribution] = {}

        def note(name: str, domain: Domain) -> Value:
            distribution = domain.distribution()
            assert distribution is not None, "a dimension has one"
            found[name] = distribution
            return _from_point(domain, point[name])

        self.walk(note)
        return found

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
                apply_change(domains, key, change)
            except (ValueError, TypeError) as error:
                problems.append(Problem(key, str(error)))
        if problems:
            raise SpaceError("space", problems)
        written = {key for key, change in changes.items() if as_domain(change).when}
        return Space(reachable(domains, (), written, set(changes)), baselines=self.baselines)

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

    @property
    def is_finite(self) -> bool:
        """Whether its points can be counted: no float without a step."""
        domains = (parameter.domain.distribution() for parameter in self.parameters)
        floats = (found for found in domains if isinstance(found, FloatDistribution))
        return all(found.step is not None or found.single() for found in floats)

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


def _strangers(known: Flat, seen: Flat, defaults: Mapping[str, Value]) -> Iterator[Problem]:
    """Find params that the space does not have at this point and that are not at their default."""
    for key, value in known.items():
        if key in seen or (key in defaults and same(value, defaults[key])):
            continue
        yield Problem(key, f"is no param of the space here, but got {value!r}", did_you_mean(key, list(seen)))
