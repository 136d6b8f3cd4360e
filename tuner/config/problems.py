"""Turns the errors of pydantic into problems in the house's words, with the key of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tuner.errors import Problem, did_you_mean

__all__ = ["MOST_PROBLEMS", "dotted", "problems_of"]

#: Most problems that are shown with their hints.
MOST_PROBLEMS = 100


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return all problems of an error of pydantic.

    Parameters
    ----------
    error
        The error.
    model
        The section that was checked.
    """
    details = _joined(error.errors(include_url=False))
    found = [_problem(detail, model) for detail in details[:MOST_PROBLEMS]]
    if len(details) > MOST_PROBLEMS:
        found.append(Problem("", f"has {len(details) - MOST_PROBLEMS:,} more problems"))
    return found


def _joined(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors with one for each flag that may also be a word: pydantic has one for each type."""
    joined: list[ErrorDetails] = []
    for detail in details:
        before, where = (joined[-1] if joined else None), detail["loc"]
        of_word = detail["type"] == "literal_error" and str(where[-1]).startswith("literal[")
        if of_word and before is not None and before["loc"] == (*where[:-1], "bool"):
            expected = f"true, false or {detail['ctx']['expected']}".replace("'", "")
            joined[-1] = {**before, "type": "flag_or_word", "loc": where[:-1], "ctx": {"expected": expected}}
        else:
            joined.append(detail)
    return joined


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    """Turn one pydantic error into the house's words: the rule, then the value."""
    where = detail["loc"]
    if len(where) > 1 and where[0] == "space":  # pydantic names the alternative that it tried
        where = (where[0], *where[2:])
    if where[-1:] in {("share",), ("[key]",)}:  # likewise, of a GPU; and it marks the name of a value
        where = where[:-1]
    kind, value = detail["type"], detail["input"]
    hint = None
    if kind == "extra_forbidden":
        rule = "is no key of this section"
        fields = _fields_at(model, where[:-1])
        hint = did_you_mean(str(where[-1]), fields) if fields else None
    elif kind == "missing":
        rule = "must be given, but is missing"
    elif kind == "literal_error":
        options = [part.strip("'\" ") for part in detail["ctx"]["expected"].replace(" or ", ", ").split(",")]
        rule = f"must be one of {', '.join(options)}, but got {value!r}"
        near = did_you_mean(str(value), options)
        hint = near if near.startswith("did") else None  # the rule has named them all
    elif kind == "value_error":
        rule = str(detail["ctx"]["error"])
    else:
        rule = (
            _RULES.get(kind, detail["msg"].lower()).format(**detail.get("ctx", {})) + f", but got {value!r}"
        )
        hint = "write it without quotes" if _is_quoted(kind, value) else None
        if kind == "string_type" and isinstance(value, (bool, int, float, date)):
            hint = "if it is text, put it in quotes"
    return Problem(dotted(where), rule, hint)


def _is_quoted(kind: str, value: object) -> bool:
    """Tell whether a text would be right without its quotes."""
    pattern = _UNQUOTED.get(kind)
    return pattern is not None and isinstance(value, str) and re.fullmatch(pattern, value) is not None


#: What may stand without quotes, by the kind of pydantic's error.
_UNQUOTED = {
    "bool_type": "true|false",
    "float_type": r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?",
    "int_type": r"-?\d+",
}
_RULES = {
    "bool_type": "must be true or false",
    "callable_type": "must be a function",
    "dict_type": "must be a mapping",
    "finite_number": "must be finite",
    "flag_or_word": "must be {expected}",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be an integer",
    "int_type": "must be an integer",
    "is_instance_of": "must be an object of the class {class}",
    "less_than": "must be below {lt}",
    "model_type": "must be a mapping of keys",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


def _fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the section at `path` below a section knows."""
    for step in path:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        parts = get_args(annotation)
        tagged = [get_args(part)[0] for part in parts if get_args(part)]  # of a discriminated union
        candidates = [annotation, *parts, *tagged]
        sections = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not sections:
            return []
        model = sections[0]
    return list(model.model_fields)


def dotted(path: Sequence[str | int]) -> str:
    """Return the place of a key as text: ``baselines[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
