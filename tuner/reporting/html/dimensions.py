"""Params as dimensions of figures: which are choices, which are numbers, and on which scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner.formatting import short
from tuner.reporting.html.material import Material
from tuner.reporting.leaderboard import short_key
from tuner.trials.stored import TrialRecord

__all__ = ["MISSING", "Dimension", "by_option", "dimensions"]

#: What stands for a param that does not apply to a trial.
MISSING = "does not apply"
#: So few different integers are drawn as choices.
_FEW = 4
#: A range of positive numbers this wide is drawn logarithmically.
_WIDE = 30


@dataclass(frozen=True)
class Dimension:
    """A param that varies.

    Attributes
    ----------
    key, label
        Of the flat params; for people.
    options
        Values as text, in order, of a choice; empty for a number.
    low, high, log
        Ends and scale of a number.
    partial
        Whether it does not apply to some trials.
    module
        Whether its options are classes, or settle what else applies, as a loss.
    """

    key: str
    label: str
    options: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    partial: bool = False
    module: bool = False

    def text_of(self, record: TrialRecord) -> str:
        """Return a trial's value as text."""
        return _text(self.key, record.params[self.key]) if self.key in record.params else MISSING

    def number_of(self, record: TrialRecord) -> float | None:
        """Return a trial's value; None where it does not apply or is no number."""
        value = record.params.get(self.key)
        return float(value) if isinstance(value, (int, float)) else None


def dimensions(material: Material) -> list[Dimension]:
    """Return the params that vary between searched trials, modules first."""
    searched = [record for record in material.records if record.name is None and record.params]
    found = [_dimension(key, searched, material) for key in material.varying]
    return sorted(found, key=lambda one: not one.module)


def _dimension(key: str, records: Sequence[TrialRecord], material: Material) -> Dimension:
    values = [record.params[key] for record in records if key in record.params]
    partial = len(values) < len(records)
    plain = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    integers = all(isinstance(value, int) for value in plain)
    label = "model" if key == "cls" else short_key(key)
    if len(plain) < len(values) or (integers and len(set(plain)) <= _FEW):
        texts = dict.fromkeys(_text(key, value) for value in sorted(values, key=_order))
        module = key == "cls" or key.endswith(("_type", "_types")) or any(isinstance(v, str) for v in values)
        return Dimension(key, label, tuple(texts), partial=partial, module=module)
    low, high = float(min(plain)), float(max(plain))
    known = _is_log(key, material)
    log = low > 0 and (high / low >= _WIDE if known is None else known)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Dimension(key, label, low=low, high=high, log=log, partial=partial)


def _is_log(key: str, material: Material) -> bool | None:
    """Whether the space draws the param on a logarithmic scale; None where it does not say."""
    found = [
        getattr(distribution, "log", False)
        for trial in material.points.values()
        for name, distribution in trial.distributions.items()
        if name.partition("@")[0] == key
    ]
    return any(found) if found else None


def _text(key: str, value: object) -> str:
    words = short(value)
    if key == "cls":
        return words.removesuffix("Model")
    return words.removesuffix("TransformerLayers").removesuffix("Layers") or words


def _order(value: object) -> tuple[int, float, str]:
    if isinstance(value, (int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def by_option(dimension: Dimension, records: Sequence[TrialRecord]) -> Mapping[str, list[TrialRecord]]:
    """Return the trials of each option, also of those to which it does not apply."""
    found: dict[str, list[TrialRecord]] = {option: [] for option in dimension.options}
    for record in records:
        found.setdefault(dimension.text_of(record), []).append(record)
    return {option: trials for option, trials in found.items() if trials}
