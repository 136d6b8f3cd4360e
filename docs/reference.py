"""Write docs/study.md, the reference of the study file, from the models that read it.

python docs/reference.py
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from tuner.config import Metric
from tuner.config.data import InMemory
from tuner.config.keys import models_in, sections
from tuner.config.section import read_duration
from tuner.space import Space
from tuner.trials.constraints import Constraint

PAGE = Path(__file__).with_name("study.md")
INTRODUCTION = """\
# The study file

This page lists every key of a study file, with its type and its default. A short study:

```yaml
study: shop
data:
  interactions: clicks.parquet
  columns: {user: userId, item: sku, datetime: ts}
  datetime: unix_s
folds: {split: time_range, size: 14D}
metrics: {objective: NDCG@10, direction: maximize}
space: search_spaces.guide
```

[README](../README.md#a-study) explains a longer one. In Python the same study is a `tuner.Study`.

- **Change a key for one run** with `--set KEY=VALUE`. Write a dot between a section and its key:
  `--set training.epochs=5`.
- **Unknown keys, wrong types and broken rules** are reported all at once. Each report has the line in the
  file, and the nearest valid name for a misspelt one.

The command `python docs/reference.py` writes this page from the code.
"""
#: Names of Python's types for readers.
NAMES: dict[object, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Any: "anything",
    NoneType: "null",
}
OWN: dict[object, str] = {
    Metric: "metric",
    Constraint: "constraint",
    Space: "space",
    InMemory: "a table in memory",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for key, section in sections():
        parts.append(f"## {f'`{key}`' if key else 'At the top'}\n\n{_section(key, section)}")
    return "\n".join(parts)


def _section(key: str, model: type[BaseModel]) -> str:
    """Return the text of a section and the table of its keys."""
    words, described = _docstring(model)
    lines = [words, "", "| key | takes | default | |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        meaning = described.get(name) or (inner and _docstring(inner[0])[0].split("\n")[0])
        if not meaning:
            msg = f"{model.__name__}.{name} has no description in its class's docstring"
            raise SystemExit(msg)
        cells = (f"`{name}`", _takes(field, f"{key}.{name}" if key else name), _default(field), meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _docstring(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Return the text of a NumPy docstring and its description of each attribute, as Markdown."""
    words, _, rest = inspect.getdoc(model).partition("Attributes\n----------\n")  # type: ignore[union-attr]  # all have one
    described: dict[str, str] = {}
    for names, text in re.findall(r"^(\S.*)\n((?:[ ]{4}.*\n?|\n)+)", rest, flags=re.MULTILINE):
        for name in names.split(", "):
            described[name] = _markdown(" ".join(textwrap.dedent(text).split()))
    return _markdown(words.strip()), described


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _takes(field: FieldInfo, key: str) -> str:
    text = _type(field.annotation, key)
    if any(isinstance(one, BeforeValidator) and one.func is read_duration for one in field.metadata):
        text = text.replace("number", "duration, as 45s, 30m, 2h, 1d")
    bounds = [
        f"{words} {getattr(one, bound):,}"
        for one in field.metadata
        for bound, words in BOUNDS.items()
        if hasattr(one, bound)
    ]
    return " ".join([text.removesuffix(" or null"), *bounds]) + (" or null" if "null" in text else "")


def _type(annotation: object, key: str) -> str:
    parts = get_args(annotation)
    if annotation in NAMES:
        return NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[section](#{key.replace('.', '')})"
    return OWN[annotation] if annotation in OWN else _composed(get_origin(annotation), parts, key)


def _composed(origin: object, parts: tuple[Any, ...], key: str) -> str:
    words: dict[object, Callable[[], str]] = {
        Annotated: lambda: _annotated(parts, key),
        Literal: lambda: ", ".join(f"`{part}`" for part in parts),
        tuple: lambda: f"list of {_type(parts[0], key)}",
        dict: lambda: f"mapping of names to {_type(parts[1], key)}",
        Union: lambda: " or ".join(_type(part, key) for part in parts),
        UnionType: lambda: " or ".join(_type(part, key) for part in parts),
    }
    if origin not in words:
        raise SystemExit(f"{key}: no words for a type {origin}")
    return words[origin]()


def _annotated(parts: tuple[Any, ...], key: str) -> str:
    readers = [part.func for part in parts[1:] if isinstance(part, BeforeValidator)]
    return "duration" if read_duration in readers else _type(parts[0], key)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in ((), {}, ""):
        return ""
    words = {None: "", True: "`true`", False: "`false`"}
    return words[value] if value is None or isinstance(value, bool) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
