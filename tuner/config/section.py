"""What all sections of a study share: their base, and the short spellings that they read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from pydantic._internal._model_construction import ModelMetaclass  # a metaclass has no public name

from tuner.config.durations import nearest_duration
from tuner.errors import Problem, StudyError
from tuner.space.class_names import class_path
from tuner.space.values import plain_scalar

__all__ = ["Section", "read_duration", "read_off", "read_paths", "read_switch", "with_paths"]


#: Most digits of a number in a duration.
_MOST_DIGITS = 9


class _Checked(ModelMetaclass):
    """Lets a section that is made in Python raise the error that a study file raises.

    Pydantic does not call the class when it reads a section inside another one. So the outermost section has
    all problems.
    """

    def __call__(self, *args: Any, **values: Any) -> Any:  # noqa: ANN401  # an instance of the class
        """Make a section; raise its problems as a `StudyError` that names the fields."""
        if args:
            shown = repr(args[0]) if isinstance(args[0], (str, int, float)) else type(args[0]).__name__
            rule = (
                f"must be given with their names, as {self.__name__}(key=value), but got {shown} without one"
            )
            hint = "Study.load reads a study file" if self.__name__ == "Study" else None
            raise StudyError(self.__name__, [Problem("", rule, hint)])
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            from tuner.config.problems import problems_of  # noqa: PLC0415  # only for errors

            name = values.get("study")
            source = name if isinstance(name, str) and name else self.__name__
            raise StudyError(source, problems_of(error, self)) from None  # type: ignore[arg-type]  # a class of pydantic


class Section(BaseModel, metaclass=_Checked):
    """A frozen part of a study. It refuses unknown keys, wrong types, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_python_values(cls, plain: object) -> object:
        if not isinstance(plain, Mapping):
            return plain
        return {key: _as_plain(value) for key, value in plain.items()}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return what was given: the rest are defaults."""
        return [(key, value) for key, value in super().__repr_args__() if key in self.model_fields_set]

    def __str__(self) -> str:
        return repr(self)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_sets(cls, value: object) -> object:
        if isinstance(value, (set, frozenset)):
            msg = f"must be a list, because a set has no order, but got {value!r}"
            raise ValueError(msg)  # noqa: TRY004  # pydantic reports a ValueError
        return value


def _as_plain(value: object) -> object:
    """Return a `Path` as text, a scalar of numpy as Python's, and a list of them likewise."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if type(value) is list:
        return [_as_plain(one) for one in value]
    return tuple(map(_as_plain, value)) if type(value) is tuple else plain_scalar(value)


def with_paths(plain: Any) -> Any:  # noqa: ANN401  # plain data of any shape
    """Return plain data in which each class is its import path, and each scalar of numpy is Python's."""
    if isinstance(plain, type):
        return class_path(plain)
    if isinstance(plain, Mapping):
        return {with_paths(key): with_paths(value) for key, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return type(plain)(map(with_paths, plain)) if type(plain) in {list, tuple} else plain
    return plain_scalar(plain)


def read_duration(plain: object) -> object:
    """Read a duration: a number of seconds, or text such as 45s, 30m, 2h, 1d or 1h30m."""
    if plain is None:
        return None
    if isinstance(plain, (int, float)) and not isinstance(plain, bool):
        return _above_zero(float(plain), plain)
    digits = r"(\d+)"
    pattern = f"(?:{digits}d)?(?:{digits}h)?(?:{digits}m)?(?:{digits}s)?"
    parts = re.fullmatch(pattern, str(plain).strip().lower())
    if parts is None or not any(parts.groups()):
        near = nearest_duration(str(plain))
        cure = f"; write {near}" if near else ""
        msg = f"must be a duration, as 45s, 30m, 2h or 1h30m, but got {plain!r}{cure}"
        raise ValueError(msg)
    if any(len(n or "") > _MOST_DIGITS for n in parts.groups()):
        msg = f"must have numbers of at most {_MOST_DIGITS} digits, but got {plain!r}"
        raise ValueError(msg)
    seconds = sum(int(n or 0) * unit for n, unit in zip(parts.groups(), (86400, 3600, 60, 1), strict=True))
    return _above_zero(float(seconds), plain)


def _above_zero(seconds: float, plain: object) -> float:
    if seconds > 0:
        return seconds
    msg = f"must be above 0, but got {plain!r}"
    raise ValueError(msg)


def read_paths(plain: object) -> object:
    """Read a single path as a list with one path."""
    return [plain] if isinstance(plain, str) else plain


def read_off(plain: object) -> object:
    """Read ``false`` as null, where null switches something off."""
    return None if plain is False else plain


def read_switch(plain: object) -> object:
    """Read ``false`` as off, and ``true`` as the default settings."""
    if isinstance(plain, bool):
        return {} if plain else None
    return plain
