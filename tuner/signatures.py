"""A space held against the classes that it names.

RecTools ignores most kwargs that it does not know, so a misspelt one would be searched in vain; here
every key is looked up in the signature of the class that would get it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from rectools.models.base import ModelBase
from rectools.utils.misc import import_object
from typing_extensions import is_typeddict

from tuner.errors import Problem, did_you_mean
from tuner.space import Choice, Parameter, Space, Value, short_name

__all__ = ["accepted_kwargs", "imported", "model_class", "options", "space_problems"]


def space_problems(space: Space) -> list[Problem]:
    """Return what is wrong with the keys and classes of a space."""
    problems: list[Problem] = []
    models: dict[Value, type[ModelBase[Any]]] = {}
    for path in options(space, "cls"):
        cls = model_class(path)
        if cls is None:
            rule = f"must be a model of RecTools or an importable one, but got {path!r}"
            problems.append(Problem("cls", rule))
        else:
            models[path] = cls
    for parameter in space.parameters:
        takers = {path: cls for path, cls in models.items() if path in _models_with(space, parameter)}
        problems.extend(_key_problems(parameter, takers))
        if parameter.key.endswith("_type"):
            problems.extend(_type_problems(parameter, takers))
        elif "_kwargs." in parameter.key:
            problems.extend(_kwarg_problems(space, parameter, takers))
    return list(dict.fromkeys(problems))


def model_class(path: Value) -> type[ModelBase[Any]] | None:
    """Return the model class of that name or import path, None if there is none."""
    cls = imported(str(path) if "." in str(path) else f"rectools.models.{path}")
    return cls if isinstance(cls, type) and issubclass(cls, ModelBase) else None


def options(space: Space, key: str) -> list[Value]:
    """Return all values that a key of the space may have, wherever it stands."""
    found: list[Value] = []
    for parameter in space.parameters:
        if parameter.key == key:
            domain = parameter.domain
            found.extend(domain.options if isinstance(domain, Choice) else [domain.only()])
    return found


def imported(path: str) -> object:
    """Return what stands at an import path, None if nothing can be imported."""
    try:
        return import_object(path)
    except Exception:  # noqa: BLE001  # a user's module may raise anything; `_type_problems` tells it
        return None


def _models_with(space: Space, parameter: Parameter) -> set[Value]:
    """Return the models that can have this param, following its conditions up to `cls`."""
    models = set(options(space, "cls"))
    for condition in parameter.conditions:
        if condition.key == "cls":
            models &= set(condition.values)
            continue
        sources = [other for other in space.parameters if other.key == condition.key]
        models &= set[Value]().union(*(_models_with(space, source) for source in sources))
    return models


def _key_problems(parameter: Parameter, takers: Mapping[Value, type[ModelBase[Any]]]) -> Iterator[Problem]:
    head, _, rest = parameter.key.partition(".")
    for path, cls in takers.items():
        fields = cls.config_class.model_fields
        if head not in fields:
            others = [other for other, taker in takers.items() if head in taker.config_class.model_fields]
            hint = did_you_mean(head, list(fields))
            if others:
                hint = f"{', '.join(map(str, others))} has it: say `when: {{cls: {others[0]}}}`"
            yield Problem(parameter.key, f"must be a param of {path}, but is not", hint)
            return
        annotation = fields[head].annotation
        if rest and is_typeddict(annotation) and rest not in annotation.__annotations__:
            names = [f"{head}.{name}" for name in annotation.__annotations__]
            rule = f"must be a param of {path}, but is not"
            yield Problem(parameter.key, rule, did_you_mean(parameter.key, names))
            return


def _type_problems(parameter: Parameter, takers: Mapping[Value, type[ModelBase[Any]]]) -> Iterator[Problem]:
    domain = parameter.domain
    bases = _bases(parameter.key, takers)
    for option in domain.options if isinstance(domain, Choice) else [domain.only()]:
        if str(option).startswith("__main__.") or "<locals>" in str(option):
            hint = "move the class to the top level of a file beside the study and import it from there"
            yield Problem(parameter.key, f"workers cannot import {option!r}", hint)
            continue
        try:
            found = import_object(str(option))
        except Exception as error:  # noqa: BLE001  # told below; a user's module may raise anything when it is imported
            hint = "modules must be importable by workers: put the class in a file beside the study"
            rule = f"must be importable, but {option!r} is not ({type(error).__name__}: {error})"
            yield Problem(parameter.key, rule, hint)
        else:
            wrong = [base for base in bases if not (isinstance(found, type) and issubclass(found, base))]
            if not isinstance(found, type):
                yield Problem(parameter.key, f"must be a class, but {option!r} is {found!r}")
            elif wrong:
                rule = f"must be a subclass of RecTools' {wrong[0].__name__}, but {option!r} is not"
                yield Problem(parameter.key, rule)


def _bases(key: str, takers: Mapping[Value, type[ModelBase[Any]]]) -> list[type]:
    """Return the classes that RecTools wants a ``*_type`` param to be a subclass of."""
    found: list[type] = []
    for taker in takers.values():
        field = taker.config_class.model_fields.get(key)
        if field is not None and get_origin(field.annotation) is type:
            found.extend(base for base in get_args(field.annotation) if isinstance(base, type))
    return list(dict.fromkeys(found))


def _kwarg_problems(
    space: Space, parameter: Parameter, takers: Mapping[Value, type[ModelBase[Any]]]
) -> Iterator[Problem]:
    owner, _, name = parameter.key.partition("_kwargs.")
    type_key = f"{owner}_type"
    paths = [value for c in parameter.conditions if c.key == type_key for value in c.values]
    paths = paths or options(space, type_key)
    classes = {short_name(path): imported(str(path)) for path in paths}
    if not paths:
        defaults = [taker.config_class.model_fields.get(type_key) for taker in takers.values()]
        classes = {field.default.__name__: field.default for field in defaults if field is not None}
    for label, cls in classes.items():
        if isinstance(cls, type) and name not in accepted_kwargs(cls):
            rule = f"must be an argument of {label}, but is not"
            yield Problem(parameter.key, rule, did_you_mean(name, list(accepted_kwargs(cls))))


def accepted_kwargs(cls: type) -> dict[str, Any]:
    """Return the arguments that RecTools can hand to a class, and their defaults (`Parameter.empty`: none).

    Item nets are made by `from_dataset`, all others by ``__init__``; ``**kwargs`` lead on to the base.
    """
    found: dict[str, Any] = {}
    if hasattr(cls, "from_dataset"):
        sources: list[Any] = [cls.from_dataset]
    else:
        sources = [vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)]
    for source in sources:
        parameters = inspect.signature(source).parameters.values()
        for parameter in parameters:
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                found.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    found.pop("self", None)
    return found
