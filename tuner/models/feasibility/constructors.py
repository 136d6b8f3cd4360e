"""What a module's own constructor refuses: it is asked, on the meta device, where nothing is allocated."""

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

#: Modules that need no data, how a model makes each, and what it hands over besides their kwargs.
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


#: Asked first, to find the answer in the cache: rules above have judged these params of RecTools' own
#: modules, and a dropout rate within bounds is hardly ever what a user's constructor refuses.
_USUAL: Mapping[str, float] = {"n_blocks": 1, "n_factors": 1, "n_heads": 1, "dropout_rate": 0.0}


def is_rectools(cls: object) -> bool:
    """Whether a class is RecTools' own."""
    return isinstance(cls, type) and cls.__module__.startswith("rectools.")


def refusals(case: Case) -> Iterator[Problem]:
    """Ask the modules themselves: by construction where that needs no data, otherwise by signature."""
    for owner, (_, names) in _BUILT.items():
        kwargs = case[f"{owner}_kwargs"]
        handed = {name: case[name] for name in names if name in case.fields}
        usual = {name: _USUAL.get(name, value) for name, value in handed.items()}
        if not is_rectools(case[f"{owner}_type"]):
            usual = {**handed, **{name: 0.0 for name in handed if name == "dropout_rate"}}
        if _asked(case, owner, _built, usual, kwargs):
            yield from _told(case, owner, _asked(case, owner, _built, handed, kwargs), handed)
    for owner in _CALLS:
        loss = {"loss": case["loss"]}
        names_only = dict.fromkeys(case[f"{owner}_kwargs"])
        yield from _told(case, owner, _asked(case, owner, _called, loss, names_only), {})


def _asked(
    case: Case,
    owner: str,
    ask: Callable[..., str | None],
    handed: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> str | None:
    cls = case[f"{owner}_type"]
    try:
        return ask(case.model, owner, cls, tuple(handed.items()), tuple(kwargs.items())) if cls else None
    except TypeError:  # a value that cannot be hashed is no flat param
        return None


def _told(case: Case, owner: str, error: str | None, handed: Mapping[str, Any]) -> Iterator[Problem]:
    if error is None:
        return
    name, kwargs = case[f"{owner}_type"].__name__, case[f"{owner}_kwargs"]
    key = next((f"{owner}_kwargs.{kwarg}" for kwarg in kwargs if kwarg in error), f"{owner}_type")
    given = ", ".join(f"{kwarg}={value!r}" for kwarg, value in {**handed, **kwargs}.items())
    rule = f"`{name}` must accept its arguments ({given}), but got {error}"
    yield Problem(key, rule, f"make `{key}` conditional, or change what {name} is given")


@lru_cache(maxsize=4096)
def _built(
    model: type[TransformerModelBase[Any]],
    owner: str,
    cls: type,
    handed: tuple[tuple[str, Any], ...],
    kwargs: tuple[tuple[str, Any], ...],
) -> str | None:
    """Return why a module cannot be built, None if it can be.

    On the meta device first, where no parameter takes memory or time. Some constructors compute with their
    tensors, which does not work there: only what is refused on the CPU too is refused.
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


#: A model class, or what stands in for the model in a call of one of its methods.
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


#: Modules that need data to be built, and how a model calls for each.
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
    """Return why a module cannot be called with these kwargs, None if it can be."""
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
        return f"TypeError: {error}"
    return None
