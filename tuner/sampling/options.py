"""Checks the options of a sampler against the annotations of its class, before the sampler is made."""

from __future__ import annotations

import builtins
import collections.abc
import inspect
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from optuna.samplers import BaseSampler
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from tuner.config import Sampler
from tuner.config.problems import problems_of
from tuner.errors import Problem, did_you_mean
from tuner.space.values import plain_scalar

__all__ = ["KEY", "option_problems"]

#: Key of the options in a study.
KEY = "search.sampler.options"
#: A flag is no number here, and a text is none either.
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def option_problems(cls: type[BaseSampler], options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the names, types and numbers of a sampler's options.

    Parameters
    ----------
    cls
        Class of the sampler.
    options
        The options that a study gives.
    """
    accepted = {name: p for name, p in inspect.signature(cls).parameters.items() if name != "space"}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    for name, value in options.items():
        if name in accepted:
            found = _type_problems(cls, accepted[name].annotation, value) or _number_problems(name, value)
            yield from (replace(one, where=f"{KEY}.{name}{one.where}") for one in found)
        elif not takes_any:
            rule = f"must be an option of {cls.__name__}, but is not"
            yield Problem(f"{KEY}.{name}", rule, did_you_mean(name, list(accepted)))


def _type_problems(cls: type[BaseSampler], annotation: object, value: object) -> list[Problem]:
    """Return why a value is not of the annotated type; nothing if the annotation is missing or unknown."""
    if annotation is inspect.Parameter.empty:
        return []
    owner = SimpleNamespace(__annotations__={"option": annotation})
    try:
        hint = typing.get_type_hints(owner, localns=_Names(cls))["option"]
        TypeAdapter(hint, config=_STRICT).validate_python(plain_scalar(value))
    except ValidationError as error:
        return problems_of(error, Sampler)[:1]  # of a union, the first alternative is the usual one
    except (NameError, AttributeError, TypeError, SyntaxError, PydanticSchemaGenerationError):
        return []
    return []


class _Names(dict[str, Any]):
    """The names that the annotations of a class may use; what only type checkers import is anything."""

    def __init__(self, cls: type[BaseSampler]) -> None:
        owner = next(one for one in cls.__mro__ if "__init__" in vars(one))
        super().__init__(vars(sys.modules[owner.__module__]))

    def __missing__(self, name: str) -> object:
        return getattr(builtins, name, None) or getattr(collections.abc, name, Any)


def _number_problems(name: str, value: object) -> list[Problem]:
    """Return why a number of things is none; Optuna takes a negative one for zero, or fails later."""
    wrong = name.startswith("n_") and isinstance(value, int) and value < 0
    return [Problem("", f"must be at least 0, but got {value}")] if wrong else []
