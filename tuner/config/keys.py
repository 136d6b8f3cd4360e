"""The keys of a study file, read from the models of its sections."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from tuner.config.study import Study

__all__ = ["settable_keys"]


def models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the models in the type of a field."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def sections(model: type[BaseModel] = Study, key: str = "") -> list[tuple[str, type[BaseModel]]]:
    """Return a model with its key, then the models inside it with theirs."""
    found = [(key, model)]
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            found += sections(inner, f"{key}.{name}" if key else name)
    return found


def settable_keys() -> dict[str, tuple[str, ...]]:
    """Return each key that a study file may have, with dots, and the values that it may take.

    A key that takes any text or number, or another section, has no values here.
    """
    return {
        f"{key}.{name}" if key else name: _values(field.annotation)
        for key, model in sections()
        for name, field in model.model_fields.items()
    }


def _values(annotation: object) -> tuple[str, ...]:
    """Return the texts that a type allows, as YAML writes them; empty if it allows others too."""
    if annotation is bool:
        return ("true", "false")
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(value for part in get_args(annotation) for value in _values(part))
