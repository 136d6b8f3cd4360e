"""Relations: conditions between the value of a param and the values of earlier params.

In a trial, a relation excludes some values of a param. Each set of remaining values is a dimension of its
own; see `tuner.space.space`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["AtMost", "Divides", "Relation", "SumAtMost", "relations_from_plain", "relations_to_plain"]


class Relation(Protocol):
    """A condition on an integer param that depends on earlier integer params."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the earlier params."""

    def allows(self, value: int, flat: Mapping[str, Any]) -> bool:
        """Whether the param may have this value, given the earlier params of a trial."""

    def describe(self) -> str:
        """Return the condition as text for messages, to follow "must": ``divide n_factors``."""


@dataclass(frozen=True)
class Divides:
    """The value divides another param. For example, the number of heads divides the number of factors."""

    key: str

    @property
    def keys(self) -> tuple[str, ...]:
        """See `Relation`."""
        return (self.key,)

    def allows(self, value: int, flat: Mapping[str, Any]) -> bool:
        """See `Relation`."""
        return value != 0 and int(flat[self.key]) % value == 0

    def describe(self) -> str:
        """See `Relation`."""
        return f"divide {self.key}"


@dataclass(frozen=True)
class AtMost:
    """The value is at most that of another param. For example, there are at most as many groups as blocks."""

    key: str

    @property
    def keys(self) -> tuple[str, ...]:
        """See `Relation`."""
        return (self.key,)

    def allows(self, value: int, flat: Mapping[str, Any]) -> bool:
        """See `Relation`."""
        return value <= int(flat[self.key])

    def describe(self) -> str:
        """See `Relation`."""
        return f"be at most {self.key}"


@dataclass(frozen=True)
class SumAtMost:
    """The sum of the value and other params is at most `total`."""

    total: int
    keys: tuple[str, ...]

    def allows(self, value: int, flat: Mapping[str, Any]) -> bool:
        """See `Relation`."""
        return value + sum(int(flat[key]) for key in self.keys) <= self.total

    def describe(self) -> str:
        """See `Relation`."""
        return f"have a sum with {', '.join(self.keys)} of at most {self.total}"


def relations_from_plain(plain: Mapping[str, object]) -> tuple[Relation, ...]:
    """Read the relations of a domain in a study file.

    Parameters
    ----------
    plain
        ``divides`` and ``at_most`` name the other param; ``sum_at_most`` is ``{total: 10, with: [a, b]}``.

    Raises
    ------
    TypeError
        If a relation is not well formed.
    """
    found: list[Relation] = []
    for name, kind in (("divides", Divides), ("at_most", AtMost)):
        if name not in plain:
            continue
        key = plain[name]
        if not isinstance(key, str):
            msg = f"{name} must name a param, but got {key!r}"
            raise TypeError(msg)
        found.append(kind(key))
    if "sum_at_most" in plain:
        found.append(_sum_at_most(plain["sum_at_most"]))
    return tuple(found)


def relations_to_plain(relations: tuple[Relation, ...]) -> dict[str, object]:
    """Return relations in the form that `relations_from_plain` reads."""
    plain: dict[str, object] = {}
    for relation in relations:
        match relation:
            case Divides(key):
                plain["divides"] = key
            case AtMost(key):
                plain["at_most"] = key
            case SumAtMost(total, keys):
                plain["sum_at_most"] = {"total": total, "with": list(keys)}
    return plain


def _sum_at_most(plain: object) -> SumAtMost:
    match plain:
        case {"total": int(total), "with": [*keys], **rest} if not rest and all(
            isinstance(k, str) for k in keys
        ):
            return SumAtMost(total, tuple(keys))
    msg = f"sum_at_most must be {{total: INTEGER, with: [PARAM, ...]}}, but got {plain!r}"
    raise TypeError(msg)
