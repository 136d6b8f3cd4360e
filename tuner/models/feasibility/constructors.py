"""Finds kwargs that a module's constructor refuses, by building the module or binding its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

import torch
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.errors import Problem
from tuner.models.feasibility.case import LOSSES, Case, defaults_of

__all__ = ["is_rectools", "refusals"]

_Names = tuple[str, ...]
#: What Python says of a kwarg that the model gives too.
_MULTIPLE = "multiple values for"

#: Modules that need no data: the method with which a model builds each, and the params it passes besides the
#: kwargs.
_BUILT: Mapping[str, tuple[str, _Names]] = {
    "transformer_layers": (
        "_init_transformer_layers",
        (
            *("n_blocks", "n_factors", "n_heads", "dropout_rate", "session_max_len"),
            *("relative_time_attention", "relative_pos_attention"),
        ),
    ),
    "pos_encoding": ("_init_pos_encoding_layer", ("use_pos_emb", "session_max_len", "n_factors")),
    "similarity_module": ("_init_similarity_module", ()),
}


#: Small values that are tried first, so that most answers are in the cache. For RecTools' own modules, other
#: rules have checked these params. A user's constructor hardly ever refuses a dropout rate within its bounds.
_USUAL: Mapping[str, float] = {"n_blocks": 1, "n_factors": 1, "n_heads": 1, "dropout_rate": 0.0}


def is_rectools(cls: object) -> bool:
    """Whether a class is RecTools' own."""
    return isinstance(cls, type) and cls.__module__.startswith("rectools.")


def refusals(case: Case) -> Iterator[Problem]:
    """Yield a problem for each module that refuses its arguments.

    Modules that need no data are built. For the others, the arguments are bound to the signature.
    """
    for owner, (_, names) in _BUILT.items():
        kwargs = case[f"{owner}_kwargs"]
        handed = {name: case[name] for name in names if name in case.fields}
        usual = {name: _USUAL.get(name, value) for name, value in handed.items()}
        if not is_rectools(case[f"{owner}_type"]):
            usual = {**handed, **{name: 0.0 for name in handed if name == "dropout_rate"}}
        if _refusal(case, owner, _built, usual, kwargs):
            yield from _problem(case, owner, _refusal(case, owner, _built, handed, kwargs), handed)
    for owner in _CALLS:
        loss = {"loss": case["loss"]}
        names_only = dict.fromkeys(case[f"{owner}_kwargs"])
        yield from _problem(case, owner, _refusal(case, owner, _called, loss, names_only), {})


def _refusal(
    case: Case,
    owner: str,
    ask: Callable[..., str | None],
    handed: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> str | None:
    cls = case[f"{owner}_type"]
    try:
        return ask(case.model, owner, cls, tuple(handed.items()), tuple(kwargs.items())) if cls else None
    except TypeError:  # a value that cannot be hashed cannot be in flat params
        return None


def _problem(case: Case, owner: str, error: str | None, handed: Mapping[str, Any]) -> Iterator[Problem]:
    if error is None:
        return
    cls, kwargs = case[f"{owner}_type"], case[f"{owner}_kwargs"]
    name = cls.__name__
    key = next((f"{owner}_kwargs.{kwarg}" for kwarg in kwargs if kwarg in error), f"{owner}_type")
    given = ", ".join(f"{kwarg}={value!r}" for kwarg, value in {**handed, **kwargs}.items())
    rule = f"`{name}` must accept its arguments ({given}), but got {error}"
    kwarg = key.partition("_kwargs.")[2]
    if kwarg and _MULTIPLE in error:
        hint = f"leave `{key}` out: the model gives {kwarg}"
    elif is_rectools(cls) or not error.startswith("TypeError"):
        hint = f"make `{key}` conditional, or change what {name} is given"
    else:
        made = "from_dataset" if owner == "item_net_constructor" else "__init__"
        hint = f"let `{made}` of {name} accept these arguments"
    yield Problem(key, rule, hint)


@lru_cache(maxsize=4096)
def _built(
    model: type[TransformerModelBase[Any]],
    owner: str,
    cls: type,
    handed: tuple[tuple[str, Any], ...],
    kwargs: tuple[tuple[str, Any], ...],
) -> str | None:
    """Return why a module cannot be built, or None if it can.

    The module is first built on torch's meta device, where parameters need no memory and no time. Some
    constructors compute with their tensors, which fails there. So after a failure, the module is built on the
    CPU too.
    """
    self = SimpleNamespace(
        **dict(handed), **{f"{owner}_type": cls, f"{owner}_kwargs": dict(kwargs)}, _get_kwargs=_get_kwargs
    )
    build = partial(getattr(model, _BUILT[owner][0]), cast(Any, self))
    with torch.random.fork_rng(devices=[]):
        return _error(build, "meta") and _error(build, "cpu")


def _error(build: Callable[[], object], device: str) -> str | None:
    try:
        with torch.device(device):
            build()
    except Exception as error:  # noqa: BLE001  # a user's constructor may raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def _get_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs


#: A model class, or an object that replaces the model in a call of one of its methods.
_Duck: TypeAlias = Any
_Call = Callable[[_Duck, _Duck, Callable[..., Any]], object]


def _make_item_net(model: _Duck, self: _Duck, bind: Callable[..., Any]) -> object:
    self.item_net_constructor_type = SimpleNamespace(from_dataset=bind)
    return model._construct_item_net(self, None)  # noqa: SLF001  # the call that RecTools will make


def _make_backbone(model: _Duck, self: _Duck, bind: Callable[..., Any]) -> object:
    self.backbone_type = bind
    for owner in _BUILT:
        setattr(self, _BUILT[owner][0], lambda: None)
    return model._init_torch_model(self, None)  # noqa: SLF001  # the call that RecTools will make


def _make_lightning(model: _Duck, self: _Duck, bind: Callable[..., Any]) -> object:
    self.lightning_module_type = bind
    return model._init_lightning_model(self, None, None, None, None)  # noqa: SLF001  # the call that RecTools will make


def _make_preparator(model: _Duck, self: _Duck, bind: Callable[..., Any]) -> object:
    self.data_preparator_type = bind
    self.lightning_module_type = SimpleNamespace(requires_negatives=lambda _: False)
    return model._init_data_preparator(self)  # noqa: SLF001  # the call that RecTools will make


def _make_sampler(model: _Duck, self: _Duck, bind: Callable[..., Any]) -> object:
    self.negative_sampler_type = bind
    drawn = self.loss in LOSSES[1:]
    return model._init_negative_sampler(self) if drawn else None  # noqa: SLF001  # the call that RecTools will make


#: Modules that need data, and functions that call the model's method for each.
_CALLS: Mapping[str, _Call] = {
    "data_preparator": _make_preparator,
    "negative_sampler": _make_sampler,
    "item_net_constructor": _make_item_net,
    "backbone": _make_backbone,
    "lightning_module": _make_lightning,
}


@lru_cache(maxsize=4096)
def _called(
    model: type[TransformerModelBase[Any]],
    owner: str,
    cls: type,
    handed: tuple[tuple[str, Any], ...],
    kwargs: tuple[tuple[str, Any], ...],
) -> str | None:
    """Return why a module cannot be called with these kwargs, or None if it can."""
    target = cls.from_dataset if owner == "item_net_constructor" else cls  # type: ignore[attr-defined]  # `ItemNetConstructorBase` has it
    preparator = SimpleNamespace(item_extra_tokens=())
    self = SimpleNamespace(
        **{**defaults_of(cast(Any, model)), **dict(handed), f"{owner}_kwargs": dict(kwargs)},
        data_preparator=preparator,
    )
    self._get_kwargs = lambda given: given or {}
    self.train_loss_name = self.val_loss_name = ""
    try:
        _CALLS[owner](model, self, inspect.signature(target).bind)
    except TypeError as error:
        return f"TypeError: {str(error).removeprefix('inspect.Signature.bind() ')}"
    return None
