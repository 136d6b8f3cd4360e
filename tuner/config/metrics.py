"""The section `metrics`, and each metric in it: ``NDCG@10``, or ``{NDCG@10: {divide_by_achievable: true}}``.

The table of names stands here as text, so that a misspelt metric is found without importing
RecTools; a test compares it with `rectools.metrics`. A metric of the user's own is written as its import
path: ``my_metrics.Novelty@10``.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf, ValidationInfo, field_validator

from tuner.config.section import Section
from tuner.errors import did_you_mean
from tuner.space.class_names import class_path
from tuner.trials.constraints import QUANTITIES

__all__ = ["Metric", "Metrics"]

#: Metric of `rectools.metrics` -> its options beside k, and the type of each. The distances of
#: `IntraListDiversity` are those of the study's item features.
METRICS: dict[str, dict[str, type]] = {
    "Accuracy": {},
    "AvgRecPopularity": {"normalize": bool},
    "CatalogCoverage": {"normalize": bool},
    "CoveredUsers": {},
    "F1Beta": {"beta": float},
    "HitRate": {},
    "Intersection": {"ref_k": int},
    "IntraListDiversity": {},
    "MAP": {"divide_by_k": bool},
    "MCC": {},
    "MRR": {},
    "MeanInvUserFreq": {},
    "NDCG": {"log_base": int, "divide_by_achievable": bool},
    "PAP": {"insufficient_handling": str},
    "PartialAUC": {"insufficient_handling": str},
    "Precision": {"r_precision": bool},
    "Recall": {},
    "Serendipity": {},
    "SufficientReco": {"deep": bool},
    "UnrepeatedReco": {"deep": bool},
}

#: Metrics of RecTools that can be measured on debiased interactions. Their names then begin with `DEBIASED`.
_DEBIASABLE = frozenset(
    {
        *("Accuracy", "F1Beta", "HitRate", "MAP", "MCC", "MRR"),
        *("NDCG", "PAP", "PartialAUC", "Precision", "Recall"),
    }
)
DEBIASED = "Debiased"
_HANDLINGS = ("ignore", "exclude", "raise")
#: By option, which of its values give a metric a meaning. RecTools takes the others too.
_SENSIBLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "log_base": (lambda base: base >= 2, "at least 2"),  # noqa: PLR2004  # the base of a logarithm
    "ref_k": (lambda k: k >= 1, "at least 1"),
    "beta": (lambda beta: 0 < beta < math.inf, "above 0"),
    "iqr_coef": (lambda coefficient: 0 <= coefficient < math.inf, "at least 0"),
    "insufficient_handling": (
        lambda handling: handling in _HANDLINGS,
        "one of " + ", ".join(_HANDLINGS),
    ),
}
#: Arguments of `rectools.metrics.DebiasConfig`.
DEBIAS_OPTIONS: dict[str, type] = {"iqr_coef": float, "random_state": int}

_PER_USER = frozenset({"F1Beta", "HitRate", "MAP", "MRR", "NDCG", "Precision", "Recall"})


def _known() -> dict[str, dict[str, type]]:
    """Return all names of metrics that need no import path, with their options."""
    debiased = {f"{DEBIASED}{name}": {**METRICS[name], **DEBIAS_OPTIONS} for name in sorted(_DEBIASABLE)}
    return {**METRICS, **debiased}


@dataclass(frozen=True)
class Metric:
    """One metric at one k.

    Attributes
    ----------
    name
        Class name in `rectools.metrics`, possibly after ``Debiased``, or the import path of the user's own
        class.
    k
        Length of the recommendation list it looks at.
    options
        Further keyword arguments of the class, and of `rectools.metrics.DebiasConfig`.
    """

    name: str
    k: int
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name in tables, such as ``NDCG@10``. The user's own class has it without its module."""
        return f"{self.name.rpartition('.')[2]}@{self.k}"

    @property
    def is_own(self) -> bool:
        """Whether it is a class of the user, named by its import path."""
        return "." in self.name

    @property
    def needs_item_features(self) -> bool:
        """Whether it measures distances between items."""
        return self.name == "IntraListDiversity"

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with the recommendations of a reference model."""
        return self.name == "Intersection"

    @property
    def per_user(self) -> bool:
        """Whether it is a mean over the test users, each judged by their own list and test items alone.

        For the user's own class, see `tuner.evaluation.metrics.is_per_user`, which imports it.
        """
        return self.name in _PER_USER

    def plain(self) -> object:
        """Return the spelling a study file uses."""
        spelt = f"{self.name}@{self.k}"
        return {spelt: dict(self.options)} if self.options else spelt

    @classmethod
    def parse(cls, plain: object) -> Metric:
        """Read a metric of a study file.

        Raises
        ------
        ValueError
            With the rule and the value, if there is no such metric or option.
        """
        if isinstance(plain, Metric):
            return plain
        if isinstance(plain, type):
            name = plain.__name__
            msg = f"must be a metric and its k, but got the class {name}; give an object: {name}(k=10)"
            raise ValueError(msg)  # noqa: TRY004  # pydantic reads it
        if isinstance(getattr(plain, "k", None), int):
            plain = _of_object(plain)
        label, options = _label_and_options(plain)
        match = re.fullmatch(r"((?:[A-Za-z_]\w*\.)*[A-Za-z0-9_]+)@([1-9]\d{0,8})", label)
        if match is None:
            msg = f"must be a metric and its k, as NDCG@10, but got {label!r}"
            raise ValueError(msg)
        name = match[1]
        if "." in name:
            _check_own(name)
            return cls(name, int(match[2]), {str(option): value for option, value in options.items()})
        known = _known()
        if name not in known:
            msg = (
                "must be a metric of RecTools, or the import path of your own class, as "
                f"my_metrics.{name}@{match[2]}, but got {name!r}; {did_you_mean(name, list(known))}"
            )
            raise ValueError(msg)
        for option, value in options.items():
            _check_option(name, known[name], str(option), value)
        return cls(name, int(match[2]), dict(options))


def _of_object(metric: object) -> object:
    """Return a metric that was made in Python, such as ``NDCG(k=10)``, in the spelling of a study file."""
    cls = type(metric)
    home, name = class_path(cls).rsplit(".", 1)
    values = {
        key: (getattr(metric, key, one.default), one.default)
        for key, one in inspect.signature(cls).parameters.items()
        if key != "k"
    }
    options = {key: value for key, (value, default) in values.items() if value != default}
    for key, value in options.items():
        if not isinstance(value, (bool, int, float, str)):
            msg = f"must have options of numbers and text, but {name} has {key}={value!r}"
            raise ValueError(msg)  # noqa: TRY004  # pydantic reads it
    spelt = f"{name}@{metric.k}"  # type: ignore[attr-defined]  # the caller has asked
    spelt = spelt if home.startswith("rectools.") else f"{home}.{spelt}"
    return {spelt: options} if options else spelt


def _label_and_options(plain: object) -> tuple[str, Mapping[str, object]]:
    if isinstance(plain, str):
        return plain, {}
    if isinstance(plain, Mapping) and len(plain) == 1:
        ((label, options),) = plain.items()
        if isinstance(label, str) and (options is None or isinstance(options, Mapping)):
            return label, options or {}
    msg = f"must be NAME@K or {{NAME@K: {{option: value}}}}, but got {plain!r}"
    raise ValueError(msg)


def _check_own(path: str) -> None:
    """Refuse a class of the user whose name in tables is that of a metric of RecTools."""
    name = path.rpartition(".")[2]
    if name in _known():
        msg = f"must have another name than a metric of RecTools, but got {path!r}; rename the class"
        raise ValueError(msg)


def _check_option(name: str, valid: Mapping[str, type], option: str, value: object) -> None:
    if option not in valid:
        hint = did_you_mean(option, list(valid)) if valid else "it takes none beside k"
        msg = f"{name} takes no option {option!r}; {hint}"
        raise ValueError(msg)
    kind = valid[option]
    accepted = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
    if not accepted or (kind is not bool and isinstance(value, bool)):
        msg = f"{name}'s {option} must be {kind.__name__}, but got {value!r}"
        raise ValueError(msg)
    sensible, rule = _SENSIBLE.get(option, (None, ""))
    if sensible is not None and not sensible(value):
        msg = f"{name}'s {option} must be {rule}, but got {value!r}"
        raise ValueError(msg)


MetricField = Annotated[InstanceOf[Metric], BeforeValidator(Metric.parse)]


class Metrics(Section):
    """Which metrics are measured on each fold. The objective ranks the trials.

    Attributes
    ----------
    objective
        The metric to optimize, such as ``NDCG@10``, or one of your own by its import path, such as
        ``my_metrics.Novelty@10``; see [search.md](search.md#metrics). From Python also a metric object. Its
        mean over the folds is the value of a trial.
    direction
        ``maximize`` or ``minimize``. It is never guessed from the name of the metric.
    report
        Further metrics for the leaderboard.
    further_objectives
        More objectives, each with its direction, such as ``parameters: minimize``. Each is a metric of
        `report` or one of `tuner.trials.constraints.QUANTITIES`. The sampler then searches for the Pareto
        front of all objectives. Only `objective` decides the best epoch of a trial, patience, early
        stopping, target and plateau.
    prefer
        Quantities that should be low, the most important one first, such as ``[parameters,
        recommend_seconds]``. Of the searched trials that validation cannot tell apart from the best one, the
        winner is the one with the lowest values. Each is one of `tuner.trials.constraints.QUANTITIES`.
    reference
        Name of a baseline. The metric Intersection compares recommendations with those of this baseline.
    """

    objective: MetricField
    direction: Literal["maximize", "minimize"]
    report: tuple[MetricField, ...] = Field(default=(), strict=False)
    further_objectives: dict[str, Literal["maximize", "minimize"]] = Field(default_factory=dict)
    prefer: tuple[str, ...] = Field(default=(), strict=False)
    reference: str | None = Field(default=None, validate_default=True)

    @property
    def all(self) -> tuple[Metric, ...]:
        """Objective and report, each label once."""
        return tuple({metric.label: metric for metric in (*self.report, self.objective)}.values())

    @property
    def own(self) -> tuple[str, ...]:
        """Import paths of the user's own metrics."""
        return tuple(metric.name for metric in self.all if metric.is_own)

    @property
    def k(self) -> int:
        """Length of the recommendation lists that all metrics together need."""
        return max(metric.k for metric in self.all)

    @field_validator("report")
    @classmethod
    def _check_labels(cls, report: tuple[Metric, ...], info: ValidationInfo) -> tuple[Metric, ...]:
        seen = {metric.label: metric for metric in (info.data.get("objective"),) if metric is not None}
        for metric in report:
            if seen.setdefault(metric.label, metric) != metric:
                msg = f"must measure a metric one way, but {metric.label} has different options in two places"
                raise ValueError(msg)
        return report

    @field_validator("further_objectives")
    @classmethod
    def _check_further(cls, further: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        first, report = info.data.get("objective"), info.data.get("report", ())
        valid = [*(metric.label for metric in report if metric != first), *QUANTITIES]
        for name in further if "report" in info.data else ():
            if name not in valid:
                msg = (
                    f"must name metrics of the report, or {', '.join(QUANTITIES)}, but got {name!r}; "
                    f"{did_you_mean(name, valid)}"
                )
                raise ValueError(msg)
        return further

    @field_validator("prefer")
    @classmethod
    def _check_prefer(cls, prefer: tuple[str, ...]) -> tuple[str, ...]:
        for name in prefer:
            if name not in QUANTITIES:
                hint = did_you_mean(name, list(QUANTITIES))
                msg = f"must name {', '.join(QUANTITIES)}, but got {name!r}; {hint}"
                raise ValueError(msg)
        if len(set(prefer)) < len(prefer):
            msg = f"must name each quantity once, but got {', '.join(prefer)}"
            raise ValueError(msg)
        return prefer

    @field_validator("reference")
    @classmethod
    def _check_reference(cls, reference: str | None, info: ValidationInfo) -> str | None:
        measured = (info.data.get("objective"), *info.data.get("report", ()))
        needy = [metric.label for metric in measured if metric is not None and metric.needs_reference]
        if needy and reference is None:
            msg = f"must name a baseline when {', '.join(needy)} is measured, but is missing"
            raise ValueError(msg)
        return reference
