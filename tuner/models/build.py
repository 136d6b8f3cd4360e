"""Builds RecTools models from flat params, and completes params without data."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from lightning_utilities.core import rank_zero
from pydantic import BaseModel, ValidationError
from rectools.models import model_from_params
from rectools.models.base import ModelBase
from rectools.models.nn.transformers.base import TransformerModelBase

from tuner.config import Baseline, Study
from tuner.config.problems import problems_of
from tuner.errors import Problem, SpaceError, TrialError, did_you_mean
from tuner.models.feasibility import DataFacts, infeasible
from tuner.models.launchers import outside_of_jobs
from tuner.models.params import params_problems
from tuner.models.signatures import accepted_kwargs, class_paths, imported, model_class, options
from tuner.space import Space, Value, flat_params

__all__ = [
    "NamedParams",
    "build_model",
    "complete_params",
    "one_device_params",
    "point_of",
    "reference_params",
    "refit_params",
    "resolve_baselines",
    "trains_by_steps",
    "trial_params",
    "why_infeasible",
]

Flat = dict[str, Value]

#: Models that are strong enough to compare with, even untuned (Ferrari Dacrema 2019; Shehzad & Jannach 2023).
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


#: Modules of RecTools with models that use no GPU.
_CLASSIC = tuple(
    f"rectools.models.{name}"
    for name in (
        "ease",
        "implicit_als",
        "implicit_bpr",
        "implicit_knn",
        "lightfm",
        "popular",
        "popular_in_category",
        "pure_svd",
        "random",
    )
)


@dataclass(frozen=True)
class NamedParams:
    """A baseline with complete params.

    Attributes
    ----------
    name
        Name of the baseline. The leaderboard shows it.
    params
        Flat params of its model.
    point
        The params as a point of the space; None if they are outside the space.
    """

    name: str
    params: Flat
    point: Flat | None


def build_model(params: Mapping[str, Value]) -> ModelBase[Any]:
    """Build a RecTools model from flat params.

    Raises
    ------
    TrialError
        If RecTools or a user's class refuses the params. The cause is chained.
    """
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in params.items()}
    try:
        with _without_launcher():
            return model_from_params(plain)
    except ValidationError as error:
        cls = model_class(params.get("cls"))
        found = problems_of(error, BaseModel if cls is None else cls.config_class)
        rules = (f"{one.where} {one.rule}" for one in found)
        msg = f"the model cannot be built: {'; '.join(rules)}".replace("key of this section", "param of it")
        raise TrialError(msg) from error
    except Exception as error:  # a user's constructor may raise anything
        reason = " ".join(str(error).split())
        msg = f"the model cannot be built: {type(error).__name__}: {reason[:300]}"
        raise TrialError(msg) from error


@contextmanager
def _without_launcher() -> Iterator[None]:
    """Hide the variables of batch systems and launchers from Lightning, and those that change its defaults.

    A trainer reads them when it is made. It takes the job's tasks for its own processes, and refuses to start
    or waits for them. A fit here has one process: Ray shares out the job's machines. Lightning has read the
    rank when it was imported. Only the process of rank 0 writes logs and checkpoints.
    """
    rank_zero_only: Any = rank_zero.rank_zero_only
    rank_zero_only.rank = 0
    with outside_of_jobs():
        yield


def complete_params(params: Mapping[str, Value]) -> Flat:
    """Return the params with all defaults, as ``get_params(simple_types=True)`` prints them."""
    printed = build_model(params).get_params(simple_types=True)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in printed.items()}


def kwarg_default(key: str, params: Mapping[str, Value]) -> list[Any]:
    """Return the value that a module gets for a kwarg that is not given.

    The signature of the module is not enough, because some models pass values of their own. For example, the
    distance of the similarity module is ``dot`` by its signature, but `HSTUModel` passes ``cosine``. So this
    function builds the model and reads what it passes.

    Parameters
    ----------
    key
        Flat key of the kwarg.
    params
        Flat params of the model, without that kwarg.

    Returns
    -------
    list
        The value as the only element. Empty if the kwarg has no default.
    """
    owner, _, name = key.partition("_kwargs.")
    handed: dict[str, Any] = {}
    try:
        model = build_model(params)
    except TrialError:  # a module may require this kwarg
        cls = imported(str(params.get(f"{owner}_type")))
    else:
        cls = getattr(model, f"{owner}_type", None)
        handed = _handed_over(model, owner)
    known = {**(accepted_kwargs(cls) if isinstance(cls, type) else {}), **handed}
    return [known[name]] if known.get(name, inspect.Parameter.empty) is not inspect.Parameter.empty else []


#: Methods of a transformer model that build its modules, for the modules that need no data.
_MAKERS = {
    "data_preparator": "_init_data_preparator",
    "pos_encoding": "_init_pos_encoding_layer",
    "similarity_module": "_init_similarity_module",
    "transformer_layers": "_init_transformer_layers",
}


def _handed_over(model: ModelBase[Any], owner: str) -> dict[str, Any]:
    """Return the arguments that a model passes to one of its modules, by name. It is unusable afterwards."""
    seen: dict[str, Any] = {}
    if owner in _MAKERS and isinstance(model, TransformerModelBase):
        setattr(model, f"{owner}_type", lambda *_, **kwargs: seen.update(kwargs))
        with suppress(Exception):  # a user's model may need more of the module than this replacement has
            getattr(model, _MAKERS[owner])()
    return seen


def trains_by_steps(params: Mapping[str, Value]) -> bool:
    """Whether the model of flat params is trained by torch. The classic models of RecTools are not."""
    cls = model_class(params.get("cls"))
    return cls is None or not cls.__module__.startswith(_CLASSIC)


def trial_params(params: Mapping[str, Value], epochs: int) -> Flat:
    """Return the params of a trial. A transformer without `epochs` gets the study's number of epochs."""
    cls = model_class(params.get("cls"))
    if cls is not None and issubclass(cls, TransformerModelBase):
        return {**params, "epochs": params.get("epochs", epochs)}
    return dict(params)


def refit_params(params: Mapping[str, Value], epochs: int) -> Flat:
    """Return the params of a trial's model, fitted for another number of epochs.

    A schedule of the learning rate stays that of the trial: a Lightning module with the kwarg
    `schedule_epochs` gets the trial's number of epochs there.
    """
    key = "lightning_module_kwargs.schedule_epochs"
    kept: Flat = {}
    cls = imported(str(params.get("lightning_module_type")))
    if isinstance(cls, type) and "schedule_epochs" in accepted_kwargs(cls) and "epochs" in params:
        kept = {key: params.get(key) or params["epochs"]}
    return {**params, **kept, "epochs": epochs}


def one_device_params(params: Mapping[str, Value], devices: int) -> Flat:
    """Return the params by which one device trains in steps as large as those of several devices together."""
    cls = model_class(params.get("cls"))
    if devices == 1 or cls is None or not issubclass(cls, TransformerModelBase):
        return dict(params)
    return {**params, "batch_size": int(str(complete_params(params)["batch_size"])) * devices}


def why_infeasible(params: Mapping[str, Value], data: DataFacts | None = None) -> str | None:
    """Return in one line why these params are infeasible, or None if they are not."""
    problems = infeasible(params, data)
    return f"{problems[0].where}: {problems[0].rule}" if problems else None


def resolve_baselines(study: Study, space: Space) -> list[NamedParams]:
    """Return the baselines of a study with complete params, and as points of the space.

    A baseline of the space or a built-in one gets the values that the space fixes, if its model is one of
    the space's models. A baseline whose params name a model is taken as it is written.

    Raises
    ------
    StudyError
        If a baseline or the reference model is unknown, infeasible or cannot be built. The error has all
        problems.
    """
    named: dict[str, Flat] = {**CLASSIC_BASELINES, **space.baselines}
    resolved: list[NamedParams] = []
    problems: list[Problem] = []
    for index, baseline in enumerate(study.baselines):
        where = f"baselines[{index}]"
        own = "cls" in baseline.params and baseline.use is None
        start = baseline.use or baseline.name
        if not own and start not in named:
            rule = f"must be a named baseline or give `params` with a `cls`, but got {start!r}"
            problems.append(Problem(where, rule, did_you_mean(start, list(named))))
            continue
        given, found = flat_params(baseline.params, class_paths(space))
        written = given if own else {**named[start], **given}
        params = written if own else _with_fixed(written, space)
        if "cls" not in {problem.where for problem in found}:
            found += params_problems(params, written)
        if found:
            problems.extend(Problem(f"{where} {baseline.name}, {p.where}", p.rule, p.hint) for p in found)
            continue
        try:
            build_model(params)
            point = point_of(params, space, study.training.epochs)
            resolved.append(NamedParams(baseline.name, params, point))
        except TrialError as error:
            problems.append(Problem(where, f"{baseline.name}: {error.message}"))
    names = [baseline.name for baseline in study.baselines]
    reference = study.metrics.reference
    if reference is not None and reference not in names and reference not in named:
        rule = f"must name a baseline, but got {reference!r}"
        problems.append(Problem("metrics.reference", rule, did_you_mean(reference, [*names, *named])))
    if problems:
        raise study.refusal(problems)
    return resolved


def reference_params(study: Study, space: Space) -> Flat | None:
    """Return the flat params of the reference model, or None if the study names none.

    Raises
    ------
    StudyError
        If the reference model is unknown, infeasible or cannot be built.
    """
    name = study.metrics.reference
    if name is None:
        return None
    own = [baseline for baseline in study.baselines if baseline.name == name]
    wanted = study.model_copy(update={"baselines": tuple(own) or (Baseline(name=name),)})
    return trial_params(resolve_baselines(wanted, space)[0].params, study.training.epochs)


def _with_fixed(params: Flat, space: Space) -> Flat:
    """Add the values that the space fixes, and a value for each kwarg that a chosen module requires.

    Params of a model that is not in the space are returned unchanged.
    """
    if params.get("cls") not in options(space, "cls"):
        return params
    merged = dict(params)
    for parameter in space.parameters:
        if parameter.key in merged or not parameter.active(merged):
            continue
        required = "_kwargs." in parameter.key and not kwarg_default(parameter.key, merged)
        if required or parameter.constant:
            merged[parameter.key] = parameter.domain.only()
    return merged


def point_of(params: Mapping[str, Value], space: Space, epochs: int) -> Flat | None:
    """Return flat params as a point of the space, or None if they are outside.

    A param that is not given has the default of the model or of its module.

    Parameters
    ----------
    params
        Flat params of a model or of a trial.
    space
        The space.
    epochs
        The study's number of epochs, for a transformer without `epochs`.

    Raises
    ------
    TrialError
        If the params are incomplete, and the model cannot be built to read its defaults.
    """
    full = trial_params(params, epochs)
    given = trial_params({"cls": params["cls"]}, epochs)
    with suppress(SpaceError):
        return space.encode(full, given)
    if params["cls"] not in options(space, "cls"):
        return None
    complete = complete_params(full)
    known = dict(complete)
    for parameter in space.parameters:
        if "_kwargs." in parameter.key and parameter.key not in known and parameter.active(known):
            known.update((parameter.key, value) for value in kwarg_default(parameter.key, complete))
    try:
        defaults = complete_params(given)
    except TrialError:  # some params of the model have no default
        defaults = given
    implied = {key: value for key, value in known.items() if key not in params}
    try:
        return space.encode(known, {**defaults, **implied})
    except SpaceError:
        return None
