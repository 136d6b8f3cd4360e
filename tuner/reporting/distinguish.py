"""What distinguishes a trial from the others: the params that vary, as a short text."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.formatting import short
from tuner.reporting.row import Row
from tuner.trials.stored import TrialRecord

__all__ = ["short_key", "varying_params", "what_distinguishes"]


def varying_params(records: Sequence[TrialRecord]) -> list[str]:
    """Return the params whose value differs between trials of the search, in the order of the params."""
    searched = [record for record in records if record.params and record.name is None]
    relevant = searched or [record for record in records if record.params]
    keys = dict.fromkeys(key for record in relevant for key in record.params)
    return [key for key in keys if key != "cls" and len({repr(r.params.get(key)) for r in relevant}) > 1]


def short_key(key: str) -> str:
    """Return a param's key without its prefix and without ``_type``."""
    return key.rsplit("_kwargs.", maxsplit=1)[-1].removesuffix("_type")


def short_module(value: object) -> str:
    """Return the name of a module without the end that all modules of its kind have."""
    name = short(value)
    return next((head for end in _ENDS if (head := name.removesuffix(end)) not in {name, ""}), name)


#: Ends of the names of modules, the longer one first.
_ENDS = ("TransformerLayers", "Layers", "Constructor")


def what_distinguishes(row: Row) -> str:
    """Return the trial's values of the params that vary between trials, as a short text."""
    modules = [short_module(value) for key, value in row.differs.items() if key.endswith("_type")]
    others = [
        f"{short_key(key)}={short(value)}" for key, value in row.differs.items() if not key.endswith("_type")
    ]
    return " ".join([*modules, *others])
