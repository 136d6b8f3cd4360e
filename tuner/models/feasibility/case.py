"""The input of feasibility rules: the model class, the module classes, values and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any, cast

from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.models.nn.transformers.bert4rec import BERT4RecDataPreparator
from rectools.models.nn.transformers.hstu import STULayers
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.net_blocks import PreLNTransformerLayers
from rectools.models.nn.transformers.sasrec import SASRecDataPreparator, SASRecTransformerLayers
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone
from rectools.utils.misc import import_object

from tuner.models.signatures import model_class
from tuner.space import Value

__all__ = ["ATTENTION", "LOSSES", "LOSS_PARTS", "Case", "case_of", "defaults_of", "model_named"]

#: The losses of RecTools. All but the first draw negatives.
LOSSES = ("softmax", "BCE", "gBCE", "sampled_softmax")

#: Layers of RecTools that split the width into heads, and in which a position sees only what the masks allow.
ATTENTION = (SASRecTransformerLayers, PreLNTransformerLayers, LiGRLayers)


@dataclass(frozen=True)
class Case:
    """The params of a transformer with all defaults. Classes are imported, and kwargs are collected in dicts.

    Attributes
    ----------
    model
        Class of the model, one of RecTools' own.
    fields
        Values of all fields of its config. Each ``X_kwargs`` is a dict.
    """

    model: type[TransformerModelBase[Any]]
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # a param may be anything
        return self.fields[name]

    def flat(self, key: str) -> Any:  # noqa: ANN401  # a param may be anything
        """Return the value of a flat key, or None if it has none."""
        owner, _, name = key.partition("_kwargs.")
        return self.fields[f"{owner}_kwargs"].get(name) if name else self.fields.get(key)

    def inherits(self, owner: str, base: type, *names: str) -> bool:
        """Whether the class of the param ``{owner}_type`` has the same functions `names` as `base`.

        A class may override a method and do the same as before for RecTools' own losses. It declares this by
        ``extends``, a set of names, next to the methods in its body.
        """
        return inherits(self.fields[f"{owner}_type"], base, names)

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses of the Lightning module: RecTools' own, or those that its class names as ``losses``."""
        named: tuple[str, ...] = getattr(self["lightning_module_type"], "losses", LOSSES)
        return named

    @property
    def shifts(self) -> bool:
        """Whether the target of each position in a train sequence is the next item."""
        return self.inherits("data_preparator", SASRecDataPreparator, "_collate_fn_train")

    @property
    def masks(self) -> bool:
        """Whether random items of a train sequence are masked and are the targets."""
        return self.inherits("data_preparator", BERT4RecDataPreparator, "_collate_fn_train", "_mask_session")

    @property
    def stu(self) -> bool:
        """Whether the layers work as HSTU's do."""
        return self.inherits("transformer_layers", STULayers, "__init__", "forward")

    @property
    def masked_attention(self) -> bool:
        """Whether ``use_causal_attn`` alone decides which positions a position sees."""
        known = any(self.inherits("transformer_layers", base, "__init__", "forward") for base in ATTENTION)
        return known and self.inherits("backbone", TransformerTorchBackbone, "encode_sessions", "forward")

    @property
    def usual_loss(self) -> bool:
        """Whether the loss is one of RecTools' own, computed at all positions."""
        names = ("__init__", "training_step", "get_batch_logits", *LOSS_PARTS)
        return self.inherits("lightning_module", TransformerLightningModule, *names)


LOSS_PARTS = ("requires_negatives", "get_loss_calculator", "_calc_custom_loss")


@lru_cache(maxsize=256)
def inherits(cls: object, base: type, names: tuple[str, ...]) -> bool:
    """Whether a class has the same functions as `base` under these names."""
    return isinstance(cls, type) and all(
        getattr(cls, name, None) is getattr(base, name) or _extends(cls, name) for name in names
    )


def _extends(cls: type, name: str) -> bool:
    """Whether each class that overrides a method of RecTools declares that it extends the method."""
    defining = (one for one in cls.__mro__ if name in vars(one))
    own = [vars(one) for one in takewhile(lambda one: not _is_rectools(one), defining)]
    return bool(own) and all(name in body.get("extends", ()) for body in own)


def _is_rectools(cls: type) -> bool:
    return cls.__module__.startswith("rectools.")


@lru_cache(maxsize=64)
def model_named(path: Value) -> type[ModelBase[Any]] | None:
    """Return the model class with a name or import path, or None if there is none."""
    return model_class(path)


@lru_cache(maxsize=64)
def defaults_of(model: type[TransformerModelBase[Any]]) -> Mapping[str, Any]:
    """Return the defaults of a model class by param."""
    return {name: field.default for name, field in model.config_class.model_fields.items()}


@lru_cache(maxsize=256)
def imported(path: str) -> object:
    """Return the object at an import path, or None if it cannot be imported."""
    try:
        return import_object(path)
    except (Exception, SystemExit):  # noqa: BLE001  # a user's module may raise anything; `tuner.models.signatures` reports it
        return None


def case_of(model: type[TransformerModelBase[Any]], params: Mapping[str, Value]) -> Case:
    """Return the input of the rules for the flat params of a transformer."""
    fields: dict[str, Any] = dict(defaults_of(cast(Any, model)))
    fields |= {f"{name[:-5]}_kwargs": {} for name in fields if name.endswith("_type")}
    for key, value in params.items():
        owner, _, name = key.partition("_kwargs.")
        if name and isinstance(fields.get(f"{owner}_kwargs"), dict):
            fields[f"{owner}_kwargs"][name] = tuple(value) if isinstance(value, list) else value
        elif key.endswith("_type") and isinstance(value, str):
            fields[key] = imported(value)
        elif not key.endswith("_kwargs"):
            whole = isinstance(fields.get(key), int) and isinstance(value, float) and value.is_integer()
            fields[key] = int(value) if whole else value  # type: ignore[arg-type]  # RecTools' config does the same
    return Case(model, fields)
