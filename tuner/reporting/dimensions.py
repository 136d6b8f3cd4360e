"""Makes dimensions of figures from params: decides which are choices, which are numbers, and the scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner.formatting import short
from tuner.reporting.distinguish import short_key
from tuner.reporting.report_data import ReportData
from tuner.trials.stored import TrialRecord

__all__ = ["MISSING", "Dimension", "by_option", "dimensions"]

#: Text for a param that does not apply to a trial.
MISSING = "does not apply"
#: Up to this number of different integers are drawn as choices.
_FEW = 4
#: Positive numbers whose largest is this many times the smallest are drawn logarithmically.
_WIDE = 30


@dataclass(frozen=True)
class Dimension:
    """A param that varies.

    Attributes
    ----------
    key, label
        Name among the flat params, and name for people.
    options
        Values of a choice as text, in order; empty for a number.
    low, high, log
        Lower end and upper end of a number, and whether its scale is logarithmic.
    partial
        Whether some trials do not have this param.
    module
        Whether its options are classes or other names, such as losses. Other params may depend on them.
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
        """Return a trial's value; None if the param does not apply or is not a number."""
        value = record.params.get(self.key)
        return float(value) if isinstance(value, (int, float)) else None


def dimensions(report: ReportData) -> list[Dimension]:
    """Return the params that vary between searched trials, modules first."""
    searched = [record for record in report.records if record.name is None and record.params]
    found = [_dimension(key, searched, report) for key in report.varying]
    return sorted(found, key=lambda one: not one.module)


def _dimension(key: str, records: Sequence[TrialRecord], report: ReportData) -> Dimension:
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
    known = _is_log(key, report)
    log = low > 0 and (high / low >= _WIDE if known is None else known)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Dimension(key, label, low=low, high=high, log=log, partial=partial)


def _is_log(key: str, report: ReportData) -> bool | None:
    """Return whether the space draws the param on a logarithmic scale; None if that is not recorded."""
    found = [
        getattr(distribution, "log", False)
        for trial in report.points.values()
        for name, distribution in trial.distributions.items()
        if name.partition("@")[0] == key
    ]
    return any(found) if found else None


def _text(key: str, value: object) -> str:
    text = short(value)
    if key == "cls":
        return text.removesuffix("Model")
    return text.removesuffix("TransformerLayers").removesuffix("Layers") or text


def _order(value: object) -> tuple[int, float, str]:
    if isinstance(value, (int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def by_option(dimension: Dimension, records: Sequence[TrialRecord]) -> Mapping[str, list[TrialRecord]]:
    """Return the trials by option. Trials to which the param does not apply are under `MISSING`."""
    found: dict[str, list[TrialRecord]] = {option: [] for option in dimension.options}
    for record in records:
        found.setdefault(dimension.text_of(record), []).append(record)
    return {option: trials for option, trials in found.items() if trials}
