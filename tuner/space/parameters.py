"""The params of a space as a flat list: nested domains with all conditions under which a trial has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tuner.space.class_names import short_name
from tuner.space.domains import Choice, Domain
from tuner.space.ranges import Int
from tuner.space.values import Value, same

__all__ = ["Condition", "Parameter", "child_key", "flatten"]


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
    """One param of the space, with the conditions under which a trial has it.

    Attributes
    ----------
    key
        Key in RecTools' flat params.
    name
        Name of its dimension, without the values that a bound or a relation leaves; see `dimension`.
    domain
        The values that the param may have.
    conditions
        A trial has the param if all of these hold.
    """

    key: str
    name: str
    domain: Domain
    conditions: tuple[Condition, ...]

    @property
    def constant(self) -> bool:
        """Whether the param has the same value in all trials that have it."""
        domain = self.domain
        if isinstance(domain, Int) and domain.reference is not None:
            return False
        if isinstance(domain, (Int, Choice)) and domain.relations and domain.n_values > 1:
            return False
        return domain.distribution() is None

    def active(self, flat: Mapping[str, Value]) -> bool:
        """Whether a trial has this param, given `flat`, the trial's params before this one."""
        return all(condition.holds(flat) for condition in self.conditions)

    def dimension(self, flat: Mapping[str, Value]) -> tuple[str, Domain]:
        """Return the name and the domain of the param's dimension in a trial.

        Parameters
        ----------
        flat
            The trial's params before this one. A bound or a relation may refer to them.
        """
        if isinstance(self.domain, Int) and self.domain.reference is not None:
            high = flat[self.domain.reference]
            assert isinstance(high, int), "checked when the space was built"
            return f"{self.name}[{self.domain.low}..{high}]", self.domain.bounded(high)
        if isinstance(self.domain, (Int, Choice)) and self.domain.relations:
            values = self.domain.values()
            left = tuple(v for v in values if all(r.allows(int(str(v)), flat) for r in self.domain.relations))
            assert left, "checked when the space was built"
            label, domain = _only(self.domain, left)
            return self.name if left == values else f"{self.name}{label}", domain
        return self.name, self.domain


def _only(domain: Int | Choice, values: tuple[Any, ...]) -> tuple[str, Domain]:
    """Return a label of these values, and the domain with only these values and without relations."""
    if isinstance(domain, Int) and values == tuple(range(values[0], values[-1] + 1, domain.step)):
        return f"[{values[0]}..{values[-1]}]", Int(values[0], values[-1], domain.step, domain.log)
    return f"[{','.join(map(str, values))}]", Choice(*values)


def child_key(key: str, child: str) -> str:
    """Return the flat key of the param `child` under an option of `key`."""
    return f"{key.removesuffix('_type')}_kwargs.{child}" if key.endswith("_type") else child


def flatten(
    domains: Mapping[str, Domain], conditions: tuple[Condition, ...], label: str
) -> Iterator[Parameter]:
    """Yield the params of nested domains, depth first, so that a param follows the choice it depends on.

    Parameters
    ----------
    domains
        Domains by flat key.
    conditions
        Conditions that hold for all of them.
    label
        Options under which they are, for the names of dimensions; empty at the top level.
    """
    for key, domain in domains.items():
        own = conditions + tuple(Condition(name, values) for name, values in domain.when.items())
        yield Parameter(key, f"{key}@{label}" if label else key, domain, own)
        if not isinstance(domain, Choice):
            continue
        for option, children in domain.params.items():
            under = {child_key(key, child): inner for child, inner in children.items()}
            name = short_name(option)
            if sum(short_name(other) == name for other in domain.options) > 1:
                name = str(option)
            path = f"{label}/{name}" if label else name
            yield from flatten(under, (*own, Condition(key, (option,))), path)
