"""Families of models: the names by which people ask for the best trial of a kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuner.space.class_names import short_name
from tuner.trials.stored import TrialRecord

__all__ = ["SEARCHED", "TRANSFORMER", "families", "families_of", "is_of"]

#: Families besides the classes of models: all trials of the search, and all transformers.
SEARCHED, TRANSFORMER = "searched", "transformer"

#: RecTools' transformers, and params that only a transformer has. A subclass by a user has these params too.
_TRANSFORMERS = frozenset({"SASRecModel", "BERT4RecModel", "HSTUModel"})
_MARKS = frozenset({"session_max_len", "transformer_layers_type", "data_preparator_type"})


def families_of(record: TrialRecord) -> tuple[str, ...]:
    """Return the families of a trial: its model's class, with ``transformer`` and ``searched`` if they apply.

    The class is the short name, such as ``SASRecModel``.
    """
    return families(record.params, searched=record.name is None)


def families(params: Mapping[str, object], *, searched: bool) -> tuple[str, ...]:
    """Return the families of a model with these params; see `families_of`."""
    model = short_name(params.get("cls", "?"))
    is_transformer = model in _TRANSFORMERS or not _MARKS.isdisjoint(params)
    return (model, *([TRANSFORMER] if is_transformer else []), *([SEARCHED] if searched else []))


def is_of(asked: str, names: Iterable[str]) -> bool:
    """Tell whether a family is among names, in any case. ``SASRec`` stands for ``SASRecModel``."""
    return not {asked.lower(), f"{asked.lower()}model"}.isdisjoint(name.lower() for name in names)
