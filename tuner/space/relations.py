"""Relations: what one param's values must satisfy, given params that stand before it.

A relation leaves a trial with some of a param's values. Each set of values that can be left is a dimension
of its own (see `tuner.space.space`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["AtMost", "Divides", "Relation", "SumAtMost", "relations_from_plain", "relations_to_plain"]


class Relation(Protocol):
    """A rule between a param and earlier ones, all integers."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The params that it looks at."""

    def allows(self, value: int, flat: Mapping[str, Any]) -> bool:
        """Whether the param may have the value beside these params."""

    def describe(self) -> str:
        """Say the rule in words, for messages: ``divide n_factors``."""


@dataclass(frozen=True)
class Divides:
    """The value divides another param, as heads divide factors."""

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
    """The value is at most that of another param, as groups are at most blocks."""

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
    """The value and other params together stay within a budget."""

    total: int
    keys: tuple[str, ...]

    def allows(self, value: int, flat: Mapping[str, Any]) -> bool:
        """See `Relation`."""
        return value + sum(int(flat[key]) for key in self.keys) <= self.total

    def describe(self) -> str:
        """See `Relation`."""
        return f"stay, with {', '.join(self.keys)}, within {self.total} together"


def relations_from_plain(plain: Mapping[str, object]) -> tuple[Relation, ...]:
    """Read the relations of a domain in a study file.

    Parameters
    ----------
    plain
        ``divides`` and ``at_most`` name the other param; ``sum_at_most`` is ``{total: 10, with: [a, b]}``.

    Raises
    ------
    TypeError
        With the rule and the value, if one is not well formed.
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
        found.append(_budget(plain["sum_at_most"]))
    return tuple(found)


def relations_to_plain(relations: tuple[Relation, ...]) -> dict[str, object]:
    """Return relations as a study file writes them."""
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


def _budget(plain: object) -> SumAtMost:
    match plain:
        case {"total": int(total), "with": [*keys], **rest} if not rest and all(
            isinstance(k, str) for k in keys
        ):
            return SumAtMost(total, tuple(keys))
    msg = f"sum_at_most must be {{total: INTEGER, with: [PARAM, ...]}}, but got {plain!r}"
    raise TypeError(msg)
