"""Turns the errors of pydantic into problems in the house's words, with the key of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tuner.errors import Problem, did_you_mean

__all__ = ["MOST_PROBLEMS", "dotted", "problems_of", "type_of"]

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
        hint = _meant(model, where)
    elif kind == "missing":
        rule = "must be given, but is missing"
    elif kind in {"enum", "literal_error"}:
        options = [part.strip("'\" ") for part in detail["ctx"]["expected"].replace(" or ", ", ").split(",")]
        rule = f"must be one of {', '.join(options)}, but got {value!r}"
        near = did_you_mean(str(value), options)
        hint = near if near.startswith("did") else None  # the rule has named them all
    elif kind == "value_error":
        rule = str(detail["ctx"]["error"])
    else:
        rule = _RULES.get(kind, detail["msg"].lower()).format(**detail.get("ctx", {}))
        rule += f", but got {_shown(value)}"
        hint = "write it without quotes" if _is_quoted(kind, value) else None
        if kind == "model_type":
            hint = _keys_needed(model, where)
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


def _shown(value: object) -> str:
    """Return a value as Python writes it, or the type of an object that is not written in a study file."""
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return repr(value)
    return type_of(value)


def type_of(value: object) -> str:
    """Return the type of an object with its library, such as ``pandas DataFrame``."""
    return f"{type(value).__module__.partition('.')[0]} {type(value).__name__}"


def _meant(model: type[BaseModel], where: tuple[str | int, ...]) -> str | None:
    """Return the hint for an unknown key: the section that has it, or the nearest key of this section."""
    *above, key = where
    section = _section_at(model, above)
    if section is None:
        return None
    fields = section.model_fields
    others = [name for name in fields if key in _keys_of(model, [*above, name])]
    if others:
        return f"write it below `{others[0]}`: it is {dotted([*above, others[0], key])}"
    near = did_you_mean(str(key), list(fields))
    if {"use", "set"} == set(fields) and not near.startswith("did"):
        return f"write params of models below `set`: it is {dotted([*above, 'set', key])}"
    return near


def _keys_needed(model: type[BaseModel], where: tuple[str | int, ...]) -> str | None:
    """Return how a section is written, by the keys that it cannot do without."""
    section = _section_at(model, where)
    needed = [name for name, field in section.model_fields.items() if field.is_required()] if section else []
    if not needed:
        return None
    return f"write it as {dotted(where)}: {{{', '.join(f'{name}: ...' for name in needed)}}}"


def _keys_of(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    section = _section_at(model, path)
    return [] if section is None else list(section.model_fields)


def _section_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the section at `path` below a section; None if there is none."""
    for step in path:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step)
        if field is None:
            return None
        parts = get_args(field.annotation)
        tagged = [get_args(part)[0] for part in parts if get_args(part)]  # of a discriminated union
        candidates = [field.annotation, *parts, *tagged]
        sections = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not sections:
            return None
        model = sections[0]
    return model


def dotted(path: Sequence[str | int]) -> str:
    """Return the place of a key as text: ``baselines[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
