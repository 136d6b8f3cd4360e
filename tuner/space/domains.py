"""The words of a space: `Choice`, `Subset`, `Int`, `Float`, `Fixed`. Bounds are inclusive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.space.names import class_path
from tuner.space.relations import Relation

if TYPE_CHECKING:
    from optuna.distributions import CategoricalChoiceType

__all__ = ["Choice", "Domain", "Fixed", "Float", "Int", "Subset", "Value", "as_domain", "same"]

#: What one flat param may hold. Lists are kept as tuples.
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"

_STEP_TOLERANCE = 1e-8  # of Optuna's own check whether a float lies on its grid


def same(left: Value, right: Value) -> bool:
    """Compare two values; unlike ``==``, ``True`` is not ``1``."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def plain_value(value: object) -> Value:
    """Return the value as flat params hold it: a class becomes its import path."""
    if isinstance(value, type):
        return class_path(value)
    if isinstance(value, (list, tuple)):
        return tuple(plain_value(part) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"a number must be finite, but got {value!r}"
        raise ValueError(msg)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    msg = f"a value must be a class, text, a number, true, false or null, but got {value!r}"
    raise TypeError(msg)


def _plain_when(when: Mapping[str, object] | None) -> dict[str, tuple[Value, ...]]:
    """Normalise ``{"loss": ("BCE", "gBCE")}``; a single value stands for itself."""
    values = {}
    for key, accepted in (when or {}).items():
        several = accepted if isinstance(accepted, (list, tuple, set)) else (accepted,)
        values[key] = tuple(plain_value(value) for value in several)
        if not values[key]:
            msg = f"`when` must give {key!r} at least one value, but got none"
            raise ValueError(msg)
    return values


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        msg = f"{name} must be true or false, but got {value!r}"
        raise TypeError(msg)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"{name} must be a number, but got {value!r}"
        raise TypeError(msg)
    if not math.isfinite(value):
        msg = f"{name} must be finite, but got {value!r}"
        raise ValueError(msg)


def _check_reach(low: float, high: float, step: float) -> None:
    if low < high < low + step:
        msg = f"step <= high - low must hold, but got low={low}, high={high}, step={step}"
        raise ValueError(msg)


@dataclass(frozen=True)
class Fixed:
    """A param that every trial has at this value.

    Parameters
    ----------
    value
        A class, or any value that is valid in flat params.
    when
        The param exists only where each key named here has one of the values given.
    """

    value: Any
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain_value(self.value))
        object.__setattr__(self, "when", _plain_when(self.when))

    def distribution(self) -> BaseDistribution | None:
        """Return None: nothing is left to suggest."""
        return None

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        return same(self.value, value)

    def describe(self) -> str:
        """Say the domain in words, for messages."""
        return f"be {self.value!r}"

    def only(self) -> Value:
        """Return the one value."""
        return cast("Value", self.value)


@dataclass(frozen=True)
class Int:
    """An integer between two inclusive bounds.

    Parameters
    ----------
    low, high
        Inclusive bounds. `high` may name an earlier integer param, such as ``"n_blocks"``.
    step
        Distance between neighbours, counted from `low`.
    log
        Search on a logarithmic scale (`low` must be at least 1).
    when
        See `Fixed`.
    relations
        What values must satisfy, given earlier integer params, as ``[AtMost("n_blocks")]``.
    """

    low: int
    high: int | str
    step: int = 1
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", _plain_when(self.when))
        object.__setattr__(self, "relations", tuple(self.relations))
        if self.relations and isinstance(self.high, str):
            msg = f"high must be an integer beside a relation, but got {self.high!r}"
            raise TypeError(msg)
        if isinstance(self.low, bool) or not isinstance(self.low, int):
            msg = f"low must be an integer, but got {self.low!r}"
            raise TypeError(msg)
        if isinstance(self.high, bool) or not isinstance(self.high, (int, str)):
            msg = f"high must be an integer or the name of a param, but got {self.high!r}"
            raise TypeError(msg)
        if isinstance(self.high, int) and self.high < self.low:
            msg = f"low <= high must hold, but got low={self.low}, high={self.high}"
            raise ValueError(msg)
        _check_flag("log", self.log)
        if isinstance(self.step, bool) or not isinstance(self.step, int):
            msg = f"step must be an integer, but got {self.step!r}"
            raise TypeError(msg)
        if self.step < 1:
            msg = f"step >= 1 must hold, but got step={self.step}"
            raise ValueError(msg)
        if isinstance(self.high, int):
            _check_reach(self.low, self.high, self.step)
        if self.log and (self.low < 1 or self.step != 1):
            msg = f"log needs low >= 1 and step 1, but got low={self.low}, step={self.step}"
            raise ValueError(msg)

    def values(self) -> tuple[int, ...]:
        """Return all values."""
        return tuple(range(self.low, self._high() + 1, self.step))

    def only_values(self, values: tuple[Any, ...]) -> tuple[str, Domain]:
        """Return the domain with these of its values left, without relations, and a label for it."""
        if values == tuple(range(values[0], values[-1] + 1, self.step)):
            return f"[{values[0]}..{values[-1]}]", Int(values[0], values[-1], self.step, self.log)
        return f"[{','.join(map(str, values))}]", Choice(*values)

    @property
    def reference(self) -> str | None:
        """The param that bounds this one, if any."""
        return self.high if isinstance(self.high, str) else None

    def bounded(self, high: int) -> Int:
        """Return the domain with the reference replaced by its value in a trial."""
        return replace(self, high=high if high - self.low >= self.step else self.low)

    def distribution(self) -> BaseDistribution | None:
        """Return the Optuna distribution, None where only one value is left."""
        high = self._high()
        if high - self.low < self.step:
            return None
        reached = high - (high - self.low) % self.step  # Optuna would say so in a warning each time
        return IntDistribution(self.low, reached, log=self.log, step=self.step)

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self._high() and (value - self.low) % self.step == 0

    def describe(self) -> str:
        """Say the domain in words, for messages."""
        step = f" in steps of {self.step}" if self.step > 1 else ""
        return f"be an integer from {self.low} to {self.high}{step}"

    def only(self) -> Value:
        """Return the one value that is left."""
        return self.low

    def _high(self) -> int:
        if isinstance(self.high, str):
            msg = f"the bound {self.high!r} has no value yet"
            raise TypeError(msg)
        return self.high


@dataclass(frozen=True)
class Float:
    """A real number between two inclusive bounds.

    Parameters
    ----------
    low, high
        Inclusive bounds.
    log
        Search on a logarithmic scale (`low` must be above 0).
    step
        Distance between neighbours, counted from `low`; None for any value.
    when
        See `Fixed`.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", _plain_when(self.when))
        _check_flag("log", self.log)
        for name in ("low", "high") if self.step is None else ("low", "high", "step"):
            _check_number(name, getattr(self, name))
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.high < self.low:
            msg = f"low <= high must hold, but got low={self.low}, high={self.high}"
            raise ValueError(msg)
        if self.log and (self.low <= 0 or self.step is not None):
            msg = f"log needs low > 0 and no step, but got low={self.low}, step={self.step}"
            raise ValueError(msg)
        if self.step is not None and self.step <= 0:
            msg = f"step > 0 must hold, but got step={self.step}"
            raise ValueError(msg)
        if self.step is not None:
            _check_reach(self.low, self.high, self.step)

    def distribution(self) -> BaseDistribution | None:
        """Return the Optuna distribution, None where only one value is left."""
        if self.low == self.high:
            return None
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < _STEP_TOLERANCE

    def describe(self) -> str:
        """Say the domain in words, for messages."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"be a number from {self.low:g} to {self.high:g}{step}"

    def only(self) -> Value:
        """Return the one value that is left."""
        return self.low


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values, each with the params that exist only beside it.

    Parameters
    ----------
    *options
        The values; or one mapping from each value to the params that come with it. Under a
        ``*_type`` key these are the kwargs of the class by bare name (``n_hidden_groups`` of
        `transformer_layers_type` becomes ``transformer_layers_kwargs.n_hidden_groups``), under
        any other key they are flat params.
    when
        See `Fixed`.
    relations
        What options must satisfy, given earlier integer params, as ``[Divides("n_factors")]``.

    Raises
    ------
    ValueError
        If there is no option, or one stands there twice.
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
                    msg = f"the params beside {value!r} must be a mapping, but got {params!r}"
                    raise TypeError(msg)
                branches[plain_value(value)] = params or {}
            values = tuple(branches)
        else:
            values = tuple(plain_value(option) for option in options)
            branches = {}
        if not values:
            msg = "a choice needs at least one option, but got none"
            raise ValueError(msg)
        for place, value in enumerate(values):
            if any(same(value, other) for other in values[:place]):
                msg = f"the options of a choice must differ, but {value!r} stands there twice"
                raise ValueError(msg)
        params = {
            value: {key: as_domain(domain) for key, domain in branch.items()}
            for value, branch in branches.items()
            if branch
        }
        object.__setattr__(self, "options", values)
        texts = [self.category(value) for value in values if isinstance(value, tuple)]
        for text in texts:
            if sum(same(self.category(value), text) for value in values) > 1:
                msg = f"the options of a choice must differ as text, but {text!r} stands for two of them"
                raise ValueError(msg)
        object.__setattr__(self, "params", params)
        object.__setattr__(self, "when", _plain_when(when))
        object.__setattr__(self, "relations", tuple(relations))
        if self.relations and not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            msg = f"options must be integers beside a relation, but got {values!r}"
            raise TypeError(msg)

    def values(self) -> tuple[Value, ...]:
        """Return all options."""
        return self.options

    def only_values(self, values: tuple[Any, ...]) -> tuple[str, Domain]:
        """Return the choice among these of its options, without relations, and a label for it."""
        return f"[{','.join(map(str, values))}]", Choice(*values)

    def distribution(self) -> BaseDistribution | None:
        """Return the Optuna distribution, None where only one value is left."""
        if len(self.options) == 1:
            return None
        return CategoricalDistribution([self.category(option) for option in self.options])

    def with_params(self, params: Mapping[Value, Mapping[str, Domain]], when: Mapping[str, Any]) -> Choice:
        """Return the choice among the same options, with other params beside them and another condition."""
        made = Choice(*self.options, when=when, relations=self.relations)
        object.__setattr__(made, "params", {value: branch for value, branch in params.items() if branch})
        return made

    def with_relations(self, relations: tuple[Relation, ...]) -> Choice:
        """Return the choice with other relations."""
        made = Choice(*self.options, when=self.when, relations=relations)
        object.__setattr__(made, "params", self.params)
        return made

    def category(self, value: Value) -> CategoricalChoiceType:
        """Return an option as Optuna holds it: a list becomes text, its parts joined by ``+``."""
        return "+".join(str(part) for part in value) if isinstance(value, tuple) else value

    def option(self, category: Value) -> Value:
        """Return the option that `category` stands for, itself if it stands for none."""
        found = [option for option in self.options if same(self.category(option), category)]
        return found[0] if found else category

    def contains(self, value: Value) -> bool:
        """Whether the param may have this value."""
        return any(same(option, value) for option in self.options)

    def describe(self) -> str:
        """Say the domain in words, for messages."""
        return "be one of " + ", ".join(repr(option) for option in self.options)

    def only(self) -> Value:
        """Return the one value that is left."""
        return self.options[0]


#: Subsets are options of one choice, and that many of them still make sense to a sampler.
_MOST_IN_A_SUBSET = 8


def Subset(  # noqa: N802  # a word of the vocabulary, as `Choice` is
    *options: object, at_least: int = 1, when: Mapping[str, object] | None = None
) -> Choice:
    """Return the choice among all lists of some of the values, each in the order written, short ones first.

    Parameters
    ----------
    *options
        The values, 8 at most.
    at_least
        Values that each list has at least.
    when
        See `Fixed`.

    Raises
    ------
    ValueError, TypeError
        If the values are not such, or fewer than `at_least`.
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
    """Return a domain as it is, any other value as `Fixed`."""
    return value if isinstance(value, (Fixed, Int, Float, Choice)) else Fixed(value)


#: Where the value of a named dimension comes from: a sampler, or a point that is replayed.
Source: TypeAlias = "Callable[[str, Domain], Value]"
