"""Tries a sampler with the options of a study, before anything is trained."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import optuna

from tuner.config import Sampler
from tuner.errors import Problem, StudyError
from tuner.sampling.options import KEY
from tuner.sampling.samplers import make_sampler, sampler_class
from tuner.space import Space

__all__ = ["try_sampler"]

#: Options after which a sampler no longer chooses at random, and the most that they are here.
_START = {"n_startup_trials": 3, "population_size": 3}
#: Number of points that are chosen: one more than a sampler needs to begin.
_N_POINTS = 4


def try_sampler(wanted: Sampler, seed: int, space: Space, *, n_objectives: int = 1) -> None:
    """Choose some points with a sampler in a study in memory, if a study gives it options.

    Parameters
    ----------
    wanted
        The study's section `search.sampler`.
    seed
        Seed, unless the section's options have one.
    space
        Space of the points.
    n_objectives
        Number of objectives.

    Raises
    ------
    StudyError
        If the sampler cannot choose points with these options.
    """
    if not wanted.options:
        return
    short = wanted.model_copy(update={"options": _shortened(wanted), "prior": False})
    sampler = make_sampler(short, seed, space)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _choose(sampler, space, n_objectives)
    except (Exception, SystemExit) as error:  # a sampler may raise anything
        cause = f"{type(error).__name__}: {error}".rstrip(": ")
        rule = f"must be options with which {wanted.use} can choose points, but got the error: {cause}"
        raise StudyError("study", [Problem(KEY, rule)]) from error


def _shortened(wanted: Sampler) -> dict[str, Any]:
    """Return the options of a sampler, with few points until it begins to learn."""
    known = inspect.signature(sampler_class(wanted.use)).parameters
    given = {name: wanted.options.get(name, most) for name, most in _START.items() if name in known}
    return {**wanted.options, **{name: min(value, _START[name]) for name, value in given.items()}}


def _choose(sampler: optuna.samplers.BaseSampler, space: Space, n_objectives: int) -> None:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        study = optuna.create_study(sampler=sampler, directions=["maximize"] * n_objectives)
        for number in range(_N_POINTS):
            trial = study.ask()
            space.suggest(trial)
            study.tell(trial, [number / _N_POINTS] * n_objectives)
    finally:
        optuna.logging.set_verbosity(verbosity)
