"""Families of models: the names by which people ask for the best trial of a kind."""

from __future__ import annotations

from tuner.space.class_names import short_name
from tuner.trials.stored import TrialRecord

__all__ = ["SEARCHED", "TRANSFORMER", "families_of"]

#: Families besides the classes of models: all trials of the search, and all transformers.
SEARCHED, TRANSFORMER = "searched", "transformer"

#: RecTools' transformers, and params that only a transformer has. A subclass by a user has these params too.
_TRANSFORMERS = frozenset({"SASRecModel", "BERT4RecModel", "HSTUModel"})
_MARKS = frozenset({"session_max_len", "transformer_layers_type", "data_preparator_type"})


def families_of(record: TrialRecord) -> tuple[str, ...]:
    """Return the families of a trial: its model's class, with ``transformer`` and ``searched`` if they apply.

    The class is the short name, such as ``SASRecModel``.
    """
    model = short_name(record.params.get("cls", "?"))
    is_transformer = model in _TRANSFORMERS or not _MARKS.isdisjoint(record.params)
    return (
        model,
        *([TRANSFORMER] if is_transformer else []),
        *([SEARCHED] if record.name is None else []),
    )
