"""Spaces in a study file: how they are read and written, and how a space is imported by its path.

n_factors: [64, 128]                     a list is a choice
session_max_len: 50                      a plain value is fixed
lr: {float: [1.0e-4, 1.0e-2], log: true}
n_blocks: {int: [1, 4]}
loss: {choice: {softmax: {}, gBCE: {n_negatives: {int: [16, 256], log: true}}}}
item_net_block_types: {subset: [IdEmbeddingsItemNet, CatFeaturesItemNet], at_least: 1}
use_causal_attn: {choice: [true, false], when: {cls: BERT4RecModel}}
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tuner.errors import Problem, SpaceError, did_you_mean
from tuner.space.class_names import resolve_name
from tuner.space.domains import Choice, Domain, Fixed, Subset
from tuner.space.imports import find_module, line_that_raised, no_module
from tuner.space.ranges import Float, Int
from tuner.space.relations import relations_from_plain, relations_to_plain
from tuner.space.space import Space

__all__ = [
    "domain_from_plain",
    "domain_to_plain",
    "load_space",
    "space_to_plain",
]

_RELATIONS = ("divides", "at_most", "sum_at_most")
_KINDS: dict[str, tuple[str, ...]] = {
    "choice": ("when", *_RELATIONS),
    "subset": ("at_least", "when"),
    "int": ("step", "log", "when", *_RELATIONS),
    "float": ("step", "log", "when"),
    "fixed": ("when",),
}


#: Params of RecTools' classic models that are sections with params of their own.
_NESTED = ("model", "period")


def domain_from_plain(key: str, plain: object, known: tuple[object, ...] = ()) -> Domain:
    """Read one domain of a study file.

    Parameters
    ----------
    key
        Flat key of the param.
    plain
        The value in the file.
    known
        Class paths whose short names are accepted, besides those of RecTools.

    Raises
    ------
    ValueError, TypeError
        If the domain is not well formed.
    """
    read = _Reader(known)
    if isinstance(plain, list):
        return read.choice(key, plain, {})
    if not isinstance(plain, Mapping):
        return read.fixed(key, plain, {})
    kinds = [kind for kind in _KINDS if kind in plain]
    if len(kinds) != 1:
        rule = f"must be a value, a list, or a mapping with one of {', '.join(_KINDS)}"
        msg = f"{rule}, but got {dict(plain)!r}; {_hint_of_mapping(key, plain, kinds)}"
        raise ValueError(msg)
    (kind,) = kinds
    options = {name: value for name, value in plain.items() if name != kind}
    for name in options:
        if name not in _KINDS[kind]:
            msg = f"{kind} takes no {name!r}; {did_you_mean(str(name), _KINDS[kind])}"
            raise ValueError(msg)
    if "when" in options:
        options["when"] = read.when(options["when"])
    related = {name: options.pop(name) for name in _RELATIONS if name in options}
    if related:
        options["relations"] = relations_from_plain(related)
    builder: Callable[[str, object, dict[str, Any]], Domain] = getattr(read, kind)
    return builder(key, plain[kind], options)


def _hint_of_mapping(key: str, plain: Mapping[Any, object], kinds: list[str]) -> str:
    """Return how to write what a mapping, which is no domain, is probably meant to be."""
    near = [did_you_mean(str(name), list(_KINDS)) for name in plain]
    if kinds or not plain or any(hint.startswith("did") for hint in near):
        return next((hint for hint in near if hint.startswith("did")), "name one of them")
    name, value = next(iter(plain.items()))
    if key.endswith("_kwargs") or key in _NESTED:
        return f"write `{key}.{name}: {value}`"
    if all(value is None or isinstance(value, Mapping) for value in plain.values()):
        params = value or "{}"
        return f"options with params are `{key}: {{choice: {{{name}: {params}}}}}`"
    return near[0]


@dataclass(frozen=True)
class _Reader:
    """Builds domains. It has one method for each of `_KINDS`."""

    known: tuple[object, ...]

    def choice(self, key: str, body: object, options: dict[str, Any]) -> Domain:
        if isinstance(body, list):
            return Choice(*[resolve_name(key, option, self.known) for option in body], **options)
        if isinstance(body, Mapping):
            branches = {
                resolve_name(key, option, self.known): self._params(option, params)
                for option, params in body.items()
            }
            return Choice(branches, **options)
        msg = f"choice must be a list or a mapping, but got {body!r}"
        raise TypeError(msg)

    def subset(self, key: str, body: object, options: dict[str, Any]) -> Domain:
        if not isinstance(body, list):
            msg = f"subset must be a list, but got {body!r}"
            raise TypeError(msg)
        names = resolve_name(key, body, self.known)
        assert isinstance(names, list), "a list of names is resolved one by one"
        return Subset(*names, **options)

    def _params(self, option: object, params: object) -> dict[str, Domain]:
        if params is not None and not isinstance(params, Mapping):
            msg = f"the params under {option!r} must be a mapping, but got {params!r}"
            raise TypeError(msg)
        return {
            child: domain_from_plain(_text(child), domain, self.known)
            for child, domain in (params or {}).items()
        }

    def int(self, _key: str, body: object, options: dict[str, Any]) -> Domain:
        low, high = _bounds("int", body)
        return Int(low, high, **options)

    def float(self, _key: str, body: object, options: dict[str, Any]) -> Domain:
        low, high = _bounds("float", body)
        return Float(low, high, **options)

    def fixed(self, key: str, body: object, options: dict[str, Any]) -> Domain:
        if isinstance(body, list):
            return Fixed(tuple(resolve_name(key, part, self.known) for part in body), **options)
        return Fixed(resolve_name(key, body, self.known), **options)

    def when(self, body: object) -> dict[str, list[object]]:
        if not isinstance(body, Mapping):
            msg = f"`when` must be a mapping from params to accepted values, but got {body!r}"
            raise TypeError(msg)
        return {
            _text(name): [
                resolve_name(_text(name), value, self.known)
                for value in (values if isinstance(values, list) else [values])
            ]
            for name, values in body.items()
        }


def _text(key: object) -> str:
    if isinstance(key, str):
        return key
    msg = (
        f"the name of a param must be text, but got {key!r}; YAML reads on, off, yes and no as true and false"
    )
    raise TypeError(msg)


def _bounds(kind: str, body: object) -> tuple[Any, Any]:
    match body:
        case [low, high]:
            return low, high
    msg = f"{kind} must be [low, high], both included, but got {body!r}"
    if isinstance(body, list) and len(body) > 2:  # noqa: PLR2004  # more than bounds
        msg += f"; a choice of values is {body!r} without `{kind}`"
    raise ValueError(msg)


def domain_to_plain(domain: Domain) -> object:
    """Return a domain in the form that a study file has and `domain_from_plain` reads.

    Raises
    ------
    ValueError
        If a choice among lists has params under an option. YAML cannot express this.
    """
    if isinstance(domain, Fixed):
        body: object = _listed(domain.value)
        if not domain.when and not isinstance(body, list):
            return body
        return {"fixed": body, **_when_to_plain(domain)}
    if isinstance(domain, Choice):
        return _choice_to_plain(domain)
    options: dict[str, object] = {}
    if domain.log:
        options["log"] = True
    if domain.step not in {None, 1} or (isinstance(domain, Float) and domain.step is not None):
        options["step"] = domain.step
    options |= _when_to_plain(domain)
    if isinstance(domain, Int):
        return {"int": [domain.low, domain.high], **options, **relations_to_plain(domain.relations)}
    return {"float": [domain.low, domain.high], **options}


def space_to_plain(space: Space) -> dict[str, object]:
    """Return a space in the form of `space.set` in a study file without `space.use`."""
    return {key: domain_to_plain(domain) for key, domain in space.domains.items()}


def _choice_to_plain(domain: Choice) -> object:
    body: object = [_listed(option) for option in domain.options]
    if domain.params:
        if any(isinstance(option, tuple) for option in domain.options):
            msg = "a choice among lists with params under them cannot be written in YAML"
            raise ValueError(msg)
        body = {
            option: {child: domain_to_plain(inner) for child, inner in domain.params.get(option, {}).items()}
            for option in domain.options
        }
    options = {**_when_to_plain(domain), **relations_to_plain(domain.relations)}
    return {"choice": body, **options} if options or domain.params else body


def _when_to_plain(domain: Domain) -> dict[str, object]:
    if not domain.when:
        return {}
    return {"when": {key: [_listed(value) for value in values] for key, values in domain.when.items()}}


def _listed(value: object) -> object:
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def load_space(path: str) -> Space:
    """Import a space.

    Parameters
    ----------
    path
        ``package.module:name``. Without ``:name``, the attribute ``space`` of the module.

    Raises
    ------
    SpaceError
        If the module cannot be imported, has no such `Space`, or has a dict with the same key twice.
    """
    module_name, _, attribute = path.partition(":")
    if find_module(path) is None:
        raise SpaceError("space", [no_module("space.use", module_name)])
    try:
        module = importlib.import_module(module_name)
    except SpaceError as error:
        raise SpaceError(module_name, error.problems) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        rule = f"must be importable, but {module_name} raises {type(error).__name__}: {error}"
        raise SpaceError("space", [Problem("space.use", rule, line_that_raised(error))]) from error
    repeated = list(_repeated_keys(module))
    if repeated:
        raise SpaceError(module_name, repeated)
    space = getattr(module, attribute or "space", None)
    if isinstance(space, Space):
        return space
    found = [name for name, value in vars(module).items() if isinstance(value, Space)]
    rule = f"must name a Space, but {module_name} has none called {attribute or 'space'!r}"
    hint = f"it has: {', '.join(f'{module_name}:{name}' for name in found)}" if found else None
    raise SpaceError("space", [Problem("space.use", rule, hint)])


def _repeated_keys(module: ModuleType) -> Iterator[Problem]:
    """Yield a problem for each key that is twice in one dict of a module. Python silently uses the last."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):  # the module has no source
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [key for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            lines: dict[object, int] = {}
            for key in keys:
                if key.value in lines:
                    rule = f"must appear once, but is on lines {lines[key.value]} and {key.lineno}"
                    yield Problem(str(key.value), rule, "remove one of the two: Python uses only the last")
                lines[key.value] = key.lineno
