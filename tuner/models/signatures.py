"""Compares a space with the signatures of the classes that it names.

RecTools ignores most kwargs that it does not know. A search over a misspelt kwarg would have no effect. So
this module looks up every key in the signature of the class that receives it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

import rectools.models
from rectools.models.base import ModelBase
from rectools.utils.misc import import_object
from typing_extensions import get_type_hints, is_typeddict

from tuner.errors import Problem, did_you_mean
from tuner.space import Choice, Domain, Float, Int, Parameter, Space, Value, short_name
from tuner.space.imports import find_module, import_problem
from tuner.space.validation import can_be

__all__ = ["accepted_kwargs", "class_paths", "imported", "model_class", "options", "space_problems"]


def space_problems(space: Space) -> list[Problem]:
    """Return all problems with the keys, values and classes of a space."""
    problems: list[Problem] = []
    models: dict[Value, type[ModelBase[Any]]] = {}
    for path in options(space, "cls"):
        cls = model_class(path)
        if cls is None:
            problems.append(_no_model(path))
        elif not hasattr(cls, "config_class"):
            rule = f"must be a model that can be made from params, but {path!r} has no config"
            problems.append(Problem("cls", rule, "RecTools' DSSM and candidate ranking cannot be searched"))
        else:
            models[path] = cls
    for parameter in space.parameters:
        takers = {path: cls for path, cls in models.items() if path in _models_with(space, parameter)}
        problems.extend(_key_problems(parameter, takers))
        problems.extend(_value_problems(parameter, takers))
        if parameter.key.endswith(("_type", "_types")):
            problems.extend(_type_problems(parameter, takers))
        elif "_kwargs." in parameter.key:
            problems.extend(_kwarg_problems(space, parameter, takers))
    return list(dict.fromkeys(problems))


def _no_model(path: Value) -> Problem:
    """Return the problem of a name that is no model. Its module may raise an error."""
    if "." in str(path):
        try:
            import_object(str(path))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's module may raise anything
            module = str(path).rpartition(".")[0]
            if find_module(module) is not None and not module.startswith("rectools."):
                return import_problem("cls", str(path), error)
    rule = f"must be a model of RecTools or an importable one, but got {path!r}"
    return Problem("cls", rule, _near_model(path))


def _near_model(path: Value) -> str:
    names = [
        name
        for name, value in vars(rectools.models).items()
        if isinstance(value, type) and issubclass(value, ModelBase) and hasattr(value, "config_class")
    ]
    near = did_you_mean(short_name(path), names)
    return near if near.startswith("did") else "name a model of RecTools, or give the import path of your own"


def model_class(path: Value) -> type[ModelBase[Any]] | None:
    """Return the model class with a name of RecTools or an import path, or None if there is none."""
    cls = imported(str(path) if "." in str(path) else f"rectools.models.{path}")
    return cls if isinstance(cls, type) and issubclass(cls, ModelBase) else None


def options(space: Space, key: str) -> list[Value]:
    """Return all options of a key of the space, also of those under other options."""
    found: list[Value] = []
    for parameter in space.parameters:
        if parameter.key == key:
            found.extend(_options_of(parameter.domain))
    return found


def class_paths(space: Space) -> list[str]:
    """Return the class paths in a space. A study may use the short names of these classes."""
    values = [value for parameter in space.parameters for value in _options_of(parameter.domain)]
    parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return [part for part in parts if isinstance(part, str) and "." in part]


def _options_of(domain: Domain) -> tuple[Value, ...]:
    return domain.options if isinstance(domain, Choice) else (domain.only(),)


def imported(path: str) -> object:
    """Return the object at an import path, or None if it cannot be imported."""
    try:
        return import_object(path)
    except (Exception, SystemExit):  # noqa: BLE001  # a user's module may raise anything; `_type_problems` reports it
        return None


def _models_with(space: Space, parameter: Parameter) -> set[Value]:
    """Return the models that can have this param. This follows the conditions of the param up to `cls`."""
    models = set(options(space, "cls"))
    for condition in parameter.conditions:
        if condition.key == "cls":
            models &= set(condition.values)
            continue
        sources = [
            other
            for other in space.parameters
            if other.key == condition.key and any(can_be(value, [other.domain]) for value in condition.values)
        ]
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
        whole = not rest and head.endswith("_kwargs") and not parameter.domain.contains(None)
        if (rest and annotation in _TYPE_NAMES) or whole:
            rule = (
                f"must be {_TYPE_NAMES[annotation]}, without params of its own"
                if rest
                else "must be given one by one"
            )
            yield Problem(parameter.key, rule, f"say `{head}`" if rest else f"say `{head}.NAME: VALUE`")
            return
        if rest and is_typeddict(annotation) and rest not in annotation.__annotations__:
            names = [f"{head}.{name}" for name in annotation.__annotations__]
            rule = f"must be a param of {path}, but is not"
            yield Problem(parameter.key, rule, did_you_mean(parameter.key, names))
            return


#: Annotations of params as text for messages.
_TYPE_NAMES: Mapping[object, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    type(None): "null",
}


def _value_problems(parameter: Parameter, takers: Mapping[Value, type[ModelBase[Any]]]) -> Iterator[Problem]:
    """Compare values with the annotations of params. Pydantic would silently convert true to an integer."""
    for cls in takers.values():
        annotation = _annotation(cls, parameter.key)
        accepted = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
        if not set(accepted) <= _TYPE_NAMES.keys():
            continue
        for value in _samples(parameter.domain):
            if not any(_is_a(value, kind) for kind in accepted):
                real = isinstance(parameter.domain, Float)
                got = "real numbers" if real else repr(value)
                hint = _hint_of_value(parameter.domain, value, whole=int in accepted)
                rule = f"must be {' or '.join(_TYPE_NAMES[kind] for kind in accepted)}, but got {got}"
                yield Problem(parameter.key, rule, hint)
                return


def _hint_of_value(domain: Domain, value: Value, *, whole: bool) -> str | None:
    """Return how to write a value for a param of single values, perhaps of integers."""
    if whole and isinstance(domain, Float):
        return "say `int`, or `Int` in Python"
    if isinstance(value, tuple) and isinstance(domain, Choice) and len(domain.options) == 1:
        options = ", ".join(map(str, value))
        return f"a choice among them is [{options}], or Choice({options}) in Python"
    return f"say {int(value)}" if whole and isinstance(value, float) and value.is_integer() else None


def _annotation(cls: type[ModelBase[Any]], key: str) -> object:
    """Return the annotation of a flat key of a model, or None if it has none."""
    head, _, rest = key.partition(".")
    field = cls.config_class.model_fields.get(head)
    annotation: object = None if field is None else field.annotation
    if rest:
        return get_type_hints(annotation).get(rest) if is_typeddict(annotation) else None
    return annotation


def _samples(domain: Domain) -> tuple[Value, ...]:
    """Return values that have the same types as all values of a domain."""
    if isinstance(domain, Float):
        return (math.nextafter(domain.low, domain.high),)
    return (domain.low,) if isinstance(domain, Int) else _options_of(domain)


def _is_a(value: Value, kind: object) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, cast(type, kind))


def _type_problems(parameter: Parameter, takers: Mapping[Value, type[ModelBase[Any]]]) -> Iterator[Problem]:
    """Check the classes of a param. If its key ends with ``_types``, each option is a list of classes."""
    bases = _bases(parameter.key, takers)
    several = parameter.key.endswith("_types")
    for option in _options_of(parameter.domain):
        if isinstance(option, tuple) != several:
            rule = f"must be {'a list of classes' if several else 'a class'}, but got {option!r}"
            hint = "a choice among lists is [[A], [A, B]]" if several else "a choice among classes is [A, B]"
            yield Problem(parameter.key, rule, hint)
            return
        for path in option if isinstance(option, tuple) else (option,):
            yield from _class_problems(parameter.key, path, bases)


def _class_problems(key: str, path: Value, bases: list[type]) -> Iterator[Problem]:
    hint = "put the class at the top level of a file next to the study file, and name it as file.Class"
    if not isinstance(path, str):
        yield Problem(key, f"must be a class, but got {path!r}", "leave the key out to have RecTools' own")
    elif path.startswith("__main__.") or "<" in path:
        yield Problem(key, f"workers cannot import {path!r}", hint)
    else:
        try:
            found = import_object(path)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's module may raise anything
            yield import_problem(key, path, error)
            return
        wrong = [base for base in bases if not (isinstance(found, type) and issubclass(found, base))]
        if not isinstance(found, type):
            yield Problem(
                key, f"must be a class, but {path!r} is {found!r}", "give the import path of a class"
            )
        elif wrong:
            rule = f"must be a subclass of RecTools' {wrong[0].__name__}, but {path!r} is not"
            yield Problem(key, rule, f"let the class inherit from {wrong[0].__module__}.{wrong[0].__name__}")


def _bases(key: str, takers: Mapping[Value, type[ModelBase[Any]]]) -> list[type]:
    """Return the base classes that RecTools requires for the classes of a param."""
    found: list[type] = []
    for taker in takers.values():
        field = taker.config_class.model_fields.get(key)
        annotation = None if field is None else field.annotation
        if key.endswith("_types"):
            annotation = next(iter(get_args(annotation)), None)
        if get_origin(annotation) is type:
            found.extend(base for base in get_args(annotation) if isinstance(base, type))
    return list(dict.fromkeys(found))


def _kwarg_problems(
    space: Space, parameter: Parameter, takers: Mapping[Value, type[ModelBase[Any]]]
) -> Iterator[Problem]:
    owner, _, name = parameter.key.partition("_kwargs.")
    type_key = f"{owner}_type"
    name = name.partition(".")[0]  # a kwarg may be a mapping
    types = [p for p in space.parameters if p.key == type_key and _models_with(space, p) & takers.keys()]
    everywhere = [option for parameter in types for option in _options_of(parameter.domain)]
    paths = [value for c in parameter.conditions if c.key == type_key for value in c.values] or everywhere
    classes = {short_name(path): imported(str(path)) for path in paths}
    if not paths:
        defaults = [taker.config_class.model_fields.get(type_key) for taker in takers.values()]
        classes = {field.default.__name__: field.default for field in defaults if field is not None}
    known = {label: accepted_kwargs(cls) for label, cls in classes.items() if isinstance(cls, type)}
    without = [label for label, accepted in known.items() if name not in accepted]
    if without:
        rule = f"must be an argument of {' and '.join(without)}, but is not"
        others = [p for p in everywhere if name in accepted_kwargs(cast(type, imported(str(p)) or object))]
        hint = did_you_mean(name, sorted({accepted for label in without for accepted in known[label]}))
        if others:
            hint = f"{short_name(others[0])} takes it: put it under that option, or give it a `when` with it"
        yield Problem(parameter.key, rule, hint)
    elif any(isinstance(cls, type) and _is_list(cls, name) for cls in classes.values()):
        yield from _list_problems(parameter)


def _list_problems(parameter: Parameter) -> Iterator[Problem]:
    """Refuse single values of a kwarg that takes a list: in a study file, ``[a, b]`` is a choice."""
    values = _samples(parameter.domain)
    wrong = [value for value in values if value is not None and not isinstance(value, tuple)]
    if wrong:
        hint = f"the list as the only value is [[{', '.join(map(str, values))}]]; a choice is [[A], [A, B]]"
        single = f"a list with it is [{wrong[0]}], or [[{wrong[0]}]] in a space"
        hint = hint if isinstance(parameter.domain, Choice) else single
        yield Problem(parameter.key, f"must be a list, but got {wrong[0]!r}", hint)


def _is_list(cls: type, name: str) -> bool:
    """Whether an argument of a class takes a list, and no single value, by its annotation."""
    annotation: object = None
    for source in reversed(_makers(cls)):
        with suppress(Exception):  # a user's annotation may name what does not exist
            annotation = get_type_hints(source).get(name, annotation)
    union = get_origin(annotation) in {Union, UnionType}
    kinds = {one for one in (get_args(annotation) if union else (annotation,)) if one is not type(None)}
    return bool(kinds) and all((get_origin(kind) or kind) in {list, tuple, Sequence} for kind in kinds)


def _makers(cls: type) -> list[Any]:
    """Return the functions that take the arguments of a class, that of the class itself first."""
    if hasattr(cls, "from_dataset"):
        return [cls.from_dataset]
    return [vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)]


def accepted_kwargs(cls: type) -> dict[str, Any]:
    """Return the arguments that RecTools can pass to a class, with their defaults.

    RecTools builds item nets with `from_dataset` and all other classes with ``__init__``. If one has
    ``**kwargs``, the arguments of the base class are accepted too.

    Returns
    -------
    dict
        Defaults by name of the argument; `inspect.Parameter.empty` for an argument without default.
    """
    found: dict[str, Any] = {}
    for source in _makers(cls):
        parameters = inspect.signature(source).parameters.values()
        for parameter in parameters:
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                found.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    found.pop("self", None)
    return found
