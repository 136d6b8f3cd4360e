"""From flat params to a RecTools model, and what can be said of params without data."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rectools.models import model_from_params
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase
from rectools.utils.misc import import_object

from tuner.errors import Problem, SpaceError, StudyError, TrialError, did_you_mean
from tuner.space import Choice, Parameter, Space, Value
from tuner.spec import Baseline, Study

__all__ = [
    "CLASSIC_BASELINES",
    "NamedParams",
    "build_model",
    "complete_params",
    "reference_params",
    "resolve_baselines",
    "space_problems",
    "trial_params",
]

Flat = dict[str, Value]

#: Models that need no tuning to be worth comparing with (Ferrari Dacrema 2019; Shehzad & Jannach 2023).
CLASSIC_BASELINES: dict[str, Flat] = {
    "popular": {"cls": "PopularModel"},
    "random": {"cls": "RandomModel", "random_state": 60},
    "ease": {"cls": "EASEModel", "regularization": 500.0},
    "ials": {
        "cls": "ImplicitALSWrapperModel",
        "model.factors": 64,
        "model.iterations": 15,
        "model.random_state": 60,
    },
    "item_knn": {"cls": "ImplicitItemKNNWrapperModel", "model.cls": "CosineRecommender", "model.K": 50},
    "pure_svd": {"cls": "PureSVDModel", "factors": 64},
    "sasrec": {"cls": "SASRecModel"},
    "bert4rec": {"cls": "BERT4RecModel"},
}


@dataclass(frozen=True)
class NamedParams:
    """A baseline with its params worked out.

    Attributes
    ----------
    name
        On the leaderboard.
    params
        Flat params of its model.
    point
        The same as a point of the space; None if it lies outside.
    """

    name: str
    params: Flat
    point: Flat | None


def build_model(params: Mapping[str, Value]) -> ModelBase[Any]:
    """Build a RecTools model from flat params.

    Raises
    ------
    TrialError
        If RecTools or a user's class refuses them; the cause is chained.
    """
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in params.items()}
    try:
        return model_from_params(plain)
    except Exception as error:  # a user's constructor may raise anything
        reason = " ".join(str(error).split())
        msg = f"the model cannot be built: {type(error).__name__}: {reason[:300]}"
        raise TrialError(msg) from error


def complete_params(params: Mapping[str, Value]) -> Flat:
    """Return the params with all defaults filled in, as ``get_params(simple_types=True)`` prints them."""
    printed = build_model(params).get_params(simple_types=True)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in printed.items()}


def trial_params(params: Mapping[str, Value], epochs: int) -> Flat:
    """Return a trial's full params: a transformer gets the study's number of epochs unless it has its own."""
    cls = _model_class(params)
    if cls is not None and issubclass(cls, TransformerModelBase):
        return {**params, "epochs": params.get("epochs", epochs)}
    return dict(params)


def resolve_baselines(study: Study, space: Space) -> list[NamedParams]:
    """Work out the params of each baseline, and its place in the space where it has one.

    A baseline of one of the space's models takes the values that the space fixes.

    Raises
    ------
    StudyError
        With every baseline that cannot be worked out or built.
    """
    named: dict[str, Flat] = {**CLASSIC_BASELINES, **space.baselines}
    resolved: list[NamedParams] = []
    problems: list[Problem] = []
    for index, baseline in enumerate(study.baselines):
        where = f"baselines[{index}]"
        start = baseline.use or baseline.name
        if start not in named and (baseline.use is not None or "cls" not in baseline.params):
            rule = f"must be a named baseline or give `params` with a `cls`, but got {start!r}"
            problems.append(Problem(where, rule, did_you_mean(start, list(named))))
            continue
        params = _with_fixed({**named.get(start, {}), **_tupled(baseline)}, space)
        try:
            resolved.append(NamedParams(baseline.name, params, _point(params, space)))
        except TrialError as error:
            problems.append(Problem(where, f"{baseline.name}: {error.message}"))
    names = [baseline.name for baseline in study.baselines]
    reference = study.metrics.reference
    if reference is not None and reference not in names and reference not in named:
        rule = f"must name a baseline, but got {reference!r}"
        problems.append(Problem("metrics.reference", rule, did_you_mean(reference, [*names, *named])))
    if problems:
        raise StudyError(study.study, problems)
    return resolved


def reference_params(study: Study, space: Space) -> Flat | None:
    """Return the params of the reference model, None if the study names none."""
    name = study.metrics.reference
    if name is None:
        return None
    own = [baseline for baseline in study.baselines if baseline.name == name]
    wanted = study.model_copy(update={"baselines": tuple(own) or (Baseline(name=name),)})
    return trial_params(resolve_baselines(wanted, space)[0].params, study.training.epochs)


def space_problems(space: Space) -> list[Problem]:
    """Check a space against the classes it names.

    RecTools ignores most kwargs it does not know, so a misspelt one would be searched in vain.
    """
    problems: list[Problem] = []
    fields: dict[str, list[str]] = {}
    for path in _options(space, "cls"):
        cls = _model_class({"cls": path})
        if cls is None:
            problems.append(
                Problem("cls", f"must be a model of RecTools or an importable one, but got {path!r}")
            )
        else:
            fields[str(path)] = list(cls.config_class.model_fields)
    known = sorted({field for names in fields.values() for field in names})
    for parameter in space.parameters:
        head = parameter.key.split(".")[0]
        if known and head not in known:
            rule = f"must be a param of {', '.join(fields)}, but is not"
            problems.append(Problem(parameter.key, rule, did_you_mean(head, known)))
        elif parameter.key.endswith("_type"):
            problems.extend(_type_problems(parameter))
        elif "_kwargs." in parameter.key:
            problems.extend(_kwarg_problems(parameter))
    return list(dict.fromkeys(problems))


def _tupled(baseline: Baseline) -> Flat:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in baseline.params.items()}


def _with_fixed(params: Flat, space: Space) -> Flat:
    if params.get("cls") not in _options(space, "cls"):
        return params
    return {**space.fixed(), **params}


def _point(params: Flat, space: Space) -> Flat | None:
    """Return the params as a point of the space; None if they lie outside."""
    complete = complete_params(params)  # also builds it: what cannot be built is found here
    if params["cls"] not in _options(space, "cls"):
        return None
    defaults = complete_params({"cls": params["cls"]})
    implied = {key: value for key, value in complete.items() if key not in params}
    kwargs = {
        parameter.key: default
        for parameter in space.parameters
        if "_kwargs." in parameter.key and parameter.key not in complete
        for default in _kwarg_default(parameter.key, complete)
    }
    try:
        return space.encode(complete | kwargs, {**defaults, **implied, **kwargs})
    except SpaceError:
        return None


def _options(space: Space, key: str) -> list[Value]:
    found: list[Value] = []
    for parameter in space.parameters:
        if parameter.key == key:
            domain = parameter.domain
            found.extend(domain.options if isinstance(domain, Choice) else [domain.only()])
    return found


def _model_class(params: Mapping[str, Value]) -> type[ModelBase[Any]] | None:
    path = str(params.get("cls"))
    try:
        cls = import_object(path if "." in path else f"rectools.models.{path}")
    except (ImportError, AttributeError, ValueError):
        return None
    return cls if isinstance(cls, type) and issubclass(cls, ModelBase) else None


def _type_problems(parameter: Parameter) -> Iterator[Problem]:
    domain = parameter.domain
    for option in domain.options if isinstance(domain, Choice) else [domain.only()]:
        try:
            import_object(str(option))
        except (ImportError, AttributeError, ValueError) as error:
            hint = "modules must be importable by workers: put the class in a file beside the study"
            yield Problem(parameter.key, f"must be importable, but {option!r} is not ({error})", hint)


def _kwarg_problems(parameter: Parameter) -> Iterator[Problem]:
    """Look for the kwarg in the signature of the class under which it stands."""
    owner, _, name = parameter.key.partition("_kwargs.")
    for condition in parameter.conditions:
        if condition.key != f"{owner}_type":
            continue
        for path in condition.values:
            try:
                accepted = _accepted_kwargs(import_object(str(path)))
            except (ImportError, AttributeError, ValueError):
                continue  # reported by the type itself
            if name not in accepted:
                rule = f"must be an argument of {str(path).rsplit('.', 1)[-1]}, but is not"
                yield Problem(parameter.key, rule, did_you_mean(name, list(accepted)))


def _kwarg_default(key: str, complete: Flat) -> list[Value]:
    """Return the default of a module's kwarg, in a list that is empty where there is none."""
    owner, _, name = key.partition("_kwargs.")
    default = _accepted_kwargs(import_object(str(complete[f"{owner}_type"]))).get(
        name, inspect.Parameter.empty
    )
    return [] if default is inspect.Parameter.empty else [default]


def _accepted_kwargs(cls: type) -> dict[str, Any]:
    """Return the named arguments of a class and their defaults, following ``**kwargs`` into its bases."""
    found: dict[str, Any] = {}
    factory = getattr(cls, "from_dataset", None)
    sources = [
        vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base) and base is not object
    ]
    for source in [*([factory] if factory else []), *sources]:
        parameters = inspect.signature(source).parameters.values()
        for parameter in parameters:
            if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                found.setdefault(parameter.name, parameter.default)
        if source is not factory and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    found.pop("self", None)
    return found
