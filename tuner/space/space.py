"""The space: its params in order, and the conversion between flat params and Optuna's dimensions.

A *param* is a key of RecTools' flat params. A *dimension* is what Optuna stores: a name with one distribution
that never changes. Samplers that learn need this. Most params are one dimension of the same name. There are
two exceptions:

- A param under an option gets the option in its name:
``transformer_layers_kwargs.n_inner_groups@AlbertLayers``.
- A param with a relation, or with another param as its bound, can have different values in different trials.
Each
  set of values that remains is a dimension of its own: ``...@AlbertLayers[1..3]``, ``n_heads[1,2,4]``. If a
  relation excludes no value, the dimension has the plain name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.errors import Problem, SpaceError, did_you_mean
from tuner.space.domains import Choice, Domain, Source, as_domain
from tuner.space.narrow import apply_change, reachable
from tuner.space.parameters import flatten
from tuner.space.ranges import Float
from tuner.space.validation import structure_problems
from tuner.space.values import Value, plain_value, same

if TYPE_CHECKING:
    from optuna.trial import Trial

    from tuner.space.prior import Prior

__all__ = ["Space"]


Flat = dict[str, Value]


class Space:
    """All configurations that a search may try: an ordered, immutable set of params with conditions.

    Parameters
    ----------
    params
        Domains by key. A plain value is the same as `Fixed`. Conditions, bounds and relations of a param may
        refer to params that come before it.
    baselines
        Flat params by name. They run first, and the leaderboard shows them by name.
    prior
        What other data sets say of the params. A search may take some of its first points from it. It does
        not change which points the space has, so spaces that differ only in it are equal.

    Raises
    ------
    SpaceError
        If the space is not well formed. The error has all problems.
    """

    def __init__(
        self,
        params: Mapping[str, object],
        *,
        baselines: Mapping[str, Mapping[str, object]] | None = None,
        prior: Prior | None = None,
    ) -> None:
        self.prior = prior
        self.domains = _domains(params)
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
        """Let Optuna choose a point, and return it as flat params.

        A second call for the same trial returns the same point, because Optuna keeps the values of the trial.
        """
        return self.walk(lambda name, domain: _suggest(trial, name, domain))

    def decode(self, point: Mapping[str, Value]) -> Flat:
        """Return the flat params of a point, given as values by name of the dimension.

        Raises
        ------
        SpaceError
            If a dimension is missing, or a value is outside its domain.
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
        """Return the distributions of a point by name of the dimension."""
        found: dict[str, BaseDistribution] = {}

        def note(name: str, domain: Domain) -> Value:
            distribution = domain.distribution()
            assert distribution is not None, "every dimension has a distribution"
            found[name] = distribution
            return _from_point(domain, point[name])

        self.walk(note)
        return found

    def encode(self, flat: Mapping[str, Value], defaults: Mapping[str, Value] | None = None) -> Flat:
        """Return the point (values by name of the dimension) that `decode` turns into the given flat params.

        Parameters
        ----------
        flat
            Flat params, as RecTools accepts them.
        defaults
            Default values by key, for params that `flat` does not have. If `flat` has a param that the space
            does not have, its value must be the default.

        Raises
        ------
        SpaceError
            If the params are outside the space. The error says why, for each param.
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
        problems.extend(_unknown_params(known, seen, defaults or {}))
        if problems:
            raise SpaceError("params outside the space", problems)
        return point

    def narrow(self, changes: Mapping[str, object]) -> Space:
        """Return the space with some params replaced, fixed or added.

        Parameters
        ----------
        changes
            New domains or values by key. The key of a kwarg, such as
            ``transformer_layers_kwargs.n_hidden_groups``, changes the kwarg under every module that has it.
            An option of a choice keeps its params, unless the change gives it new ones. A new domain without
            a condition keeps the condition of the old domain.

        Raises
        ------
        SpaceError
            If a change cannot be applied, or the new space is not well formed.
        """
        domains = dict(self.domains)
        problems: list[Problem] = []
        for key, change in changes.items():
            try:
                apply_change(domains, key, change)
            except (ValueError, TypeError) as error:
                problems.append(Problem.of(key, error))
        if problems:
            raise SpaceError("space", problems)
        written = {key for key, change in changes.items() if as_domain(change).when}
        left = reachable(domains, (), written, set(changes))
        return Space(left, baselines=self.baselines, prior=self.prior)

    def with_prior(self, prior: Prior | None) -> Space:
        """Return the space with another prior, or without one."""
        return Space(self.domains, baselines=self.baselines, prior=prior)

    def fixed(self) -> Flat:
        """Return the params that every trial has, with the same value in all of them."""
        return {
            parameter.key: parameter.domain.only()
            for parameter in self.parameters
            if not parameter.conditions and parameter.constant
        }

    def varying(self) -> tuple[str, ...]:
        """Return the keys of the params that can differ between trials, each key once, in order."""
        keys = (p.key for p in self.parameters if not p.constant or p.conditions)
        return tuple(dict.fromkeys(keys))

    @property
    def is_finite(self) -> bool:
        """Whether the number of points is finite: every `Float` has a step or only one value."""
        floats = (one.domain for one in self.parameters if isinstance(one.domain, Float))
        return all(one.step is not None or one.low == one.high for one in floats)

    @property
    def has_one_point(self) -> bool:
        """Whether all trials have the same params."""
        return all(parameter.constant for parameter in self.parameters)

    def walk(self, source: Source) -> Flat:
        """Return flat params. `source` returns the value of each dimension, given its name and domain."""
        flat: Flat = {}
        for parameter in self.parameters:
            if not parameter.active(flat):
                continue
            name, domain = parameter.dimension(flat)
            flat[parameter.key] = domain.only() if domain.distribution() is None else source(name, domain)
        return flat


def _domains(params: object) -> dict[str, Domain]:
    if not isinstance(params, Mapping):
        hint = 'give a mapping, such as {"cls": "SASRecModel", "n_factors": Choice(64, 128)}'
        raise SpaceError("space", [Problem("params", f"must be domains by key, but got {params!r}", hint)])
    domains: dict[str, Domain] = {}
    problems: list[Problem] = []
    for key, value in params.items():
        try:
            domains[key] = as_domain(value)
        except (ValueError, TypeError) as error:
            problem = Problem.of(key, error)
            is_mapping = isinstance(value, Mapping)
            problems.append(replace(problem, hint=_hint_of_mapping(key, value)) if is_mapping else problem)
    if problems:
        raise SpaceError("space", problems)
    return domains


def _hint_of_mapping(key: str, params: Mapping[Any, object]) -> str:
    """Return how to write what a mapping is probably meant to be."""
    name = next(iter(params), "NAME")
    if key.endswith("_kwargs"):
        return f'write "{key}.{name}": ...'
    return f"options with params are Choice({{{name!r}: ...}})"


def _suggest(trial: Trial, name: str, domain: Domain) -> Value:
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
    """Return the value of a dimension in the form that flat params have."""
    return domain.option(value) if isinstance(domain, Choice) else value


def _unknown_params(known: Flat, seen: Flat, defaults: Mapping[str, Value]) -> Iterator[Problem]:
    """Yield a problem for each param that the space does not have here and that is not at its default."""
    for key, value in known.items():
        if key in seen or (key in defaults and same(value, defaults[key])):
            continue
        rule = f"must be left out, since the space does not have it here, but got {value!r}"
        yield Problem(key, rule, did_you_mean(key, list(seen)))
