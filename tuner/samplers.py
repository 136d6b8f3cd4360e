"""What chooses the next point: Optuna's samplers by name, or any importable one."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from tuner.errors import Problem, StudyError, did_you_mean
from tuner.spec import Sampler

__all__ = ["NAMED", "exhaustive_sampler", "make_sampler"]


class _Exhaustive(BruteForceSampler):
    """Goes through every point of a finite space, each once.

    Optuna's own ends its `optimize` loop after the last point, which a study that is asked and told has not.
    """

    def after_trial(self, *_: object) -> None:
        """Leave the end to the search."""


#: Name -> class, and the options that this project sets.
NAMED: dict[str, tuple[type[BaseSampler], Mapping[str, Any]]] = {
    "tpe": (TPESampler, {"multivariate": True, "group": True, "constant_liar": True}),
    "random": (RandomSampler, {}),
    "gp": (GPSampler, {}),
    "cmaes": (CmaEsSampler, {}),
    "nsga2": (NSGAIISampler, {}),
    "nsga3": (NSGAIIISampler, {}),
    "brute_force": (_Exhaustive, {"avoid_premature_stop": True}),
}
#: Packages that a sampler imports when it is first used, beside Optuna.
_NEEDS = {"cmaes": "cmaes"}


def make_sampler(wanted: Sampler, seed: int) -> BaseSampler:
    """Return a sampler, seeded unless its options say otherwise.

    Raises
    ------
    StudyError
        If there is none of that name, or it does not take the options.
    """
    cls, preset = _find(wanted.use)
    accepted = inspect.signature(cls).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    for option in wanted.options:
        if option not in accepted and not takes_any:
            rule = f"must be an option of {cls.__name__}, but is not"
            raise _wrong(rule, did_you_mean(option, list(accepted)), key=f"search.sampler.options.{option}")
    seeded = {"seed": seed} if "seed" in accepted else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return cls(**{**seeded, **preset, **wanted.options})
    except Exception as error:  # a sampler of the user's own may raise anything
        raise _wrong(f"{cls.__name__} cannot be made: {type(error).__name__}: {error}") from error


def exhaustive_sampler(seed: int) -> BaseSampler:
    """Return a sampler that gives a point which no trial has had, as long as there is one."""
    return make_sampler(Sampler(use="brute_force"), seed)


def _find(name: str) -> tuple[type[BaseSampler], Mapping[str, Any]]:
    if name in NAMED:
        package = _NEEDS.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            rule = f"must be a sampler that is installed, but {name!r} needs the package {package}"
            raise _wrong(rule, f"pip install {package}")
        return NAMED[name]
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise _wrong(f"must be importable, but {name!r} is not ({type(error).__name__}: {error})") from error
    if not (isinstance(cls, type) and issubclass(cls, BaseSampler)):
        raise _wrong(f"must be a sampler of Optuna's kind, but {name!r} is not", "derive it from BaseSampler")
    return cls, {}


def _wrong(rule: str, hint: str = "", *, key: str = "search.sampler") -> StudyError:
    return StudyError("study", [Problem(key, rule, hint)])
