"""The samplers that choose the next point: Optuna's by name, or any importable one."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from bisect import bisect_left, insort
from collections.abc import Container, Mapping
from itertools import islice
from operator import is_
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
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
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.config import Sampler
from tuner.errors import Problem, StudyError
from tuner.sampling.model import ModelSampler
from tuner.sampling.options import option_problems
from tuner.sampling.prior import PriorStart
from tuner.space import Float, Int, Space
from tuner.space.imports import import_problem
from tuner.trials.schema import PAUSE_KEY

__all__ = ["check_finite", "exhaustive_sampler", "make_sampler", "sampler_class"]

#: Largest number of values of a param that the sampler brute_force lists.
_MOST_TRIED = 100_000
#: Largest number of finished trials that TPE learns from.
HISTORY = 500
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class _Exhaustive(BruteForceSampler):
    """Tries every point of a finite space once.

    After the last point, Optuna's own sampler stops the loop of `Study.optimize`. This project uses ask and
    tell, which have no such loop.
    """

    def after_trial(self, *_: object) -> None:
        """Do nothing: the search decides when it ends."""

    @staticmethod
    def _populate_tree(tree: Any, trials: list[FrozenTrial], params: dict[str, Any]) -> None:  # noqa: ANN401  # a private class of Optuna's
        """Leave out baselines outside the space: Optuna takes a trial without params for the whole space."""
        inside = [trial for trial in trials if trial.params]
        BruteForceSampler._populate_tree(tree, inside, params)  # noqa: SLF001  # our base class


class _Excerpt(Study):
    """A study in which a sampler sees only some of the trials."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self.visible = trials

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002  # Optuna's signature; samplers never change a trial
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002  # as above
    ) -> list[FrozenTrial]:
        return [trial for trial in self.visible if states is None or trial.state in states]


class _CachedTrial(FrozenTrial):
    """A finished or paused trial whose properties are computed once. TPE reads them for each group of params.

    A paused trial appears as pruned.
    """

    if not TYPE_CHECKING:  # plain attributes instead of properties, of the same types
        number = value = params = constraints = None

    def __init__(self, trial: FrozenTrial) -> None:
        plain = {name: getattr(trial, name) for name in ("number", "value", "params", "constraints")}
        self.__dict__.update(trial.__dict__ | plain)
        if trial.state not in _FINISHED:
            self.state = TrialState.PRUNED
        self.of = trial


class _History:
    """The trials of a study, sorted by value and by number, and updated at each suggestion.

    Only trials that changed are sorted again: of ten thousand, one or two change between suggestions.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        self.trials: list[FrozenTrial] = []
        self.reported: list[int] = []  # numbers of finished and paused trials, sorted
        self.best: list[tuple[float, int]] = []  # complete trials that satisfy the constraints, the best last
        self.running: set[int] = set()
        self.paused: set[int] = set()

    def renew(self) -> None:
        """Read the trials that changed. The storage returns a new object for each of them."""
        trials = self.study.get_trials(deepcopy=False)
        known = map(is_, self.trials, trials)
        changed = [number for number, same in enumerate(known) if not same]
        changed.extend(range(len(self.trials), len(trials)))
        before, self.trials = self.trials, trials
        for number in changed:
            if number >= len(before) or before[number].state not in _FINISHED:
                self._update(trials[number])

    def _update(self, trial: FrozenTrial) -> None:
        number, reported = trial.number, _is_reported(trial)
        at = bisect_left(self.reported, number)
        known = self.reported[at : at + 1] == [number]
        if reported != known:
            self.reported[at : at + known] = [number] if reported else []
        runs = trial.state == TrialState.RUNNING
        for numbers, belongs in ((self.running, runs and not reported), (self.paused, runs and reported)):
            (numbers.add if belongs else numbers.discard)(number)
        if trial.state == TrialState.COMPLETE and all(excess <= 0 for excess in trial.constraints.values()):
            insort(self.best, (self._sign * trial.values[0], number))

    def excerpt(self) -> Study:
        """Return the study with the best and the newest `HISTORY` trials in total, and all running ones."""
        if len(self.reported) <= HISTORY:
            whole = not self.paused and self.trials[-1].number < HISTORY
            return self.study if whole else _Excerpt(self.study, self.trials)
        best = {number for _, number in self.best[-(HISTORY // 2) :]}
        others = (number for number in reversed(self.reported) if number not in best)
        newest = islice(others, HISTORY - len(best))
        return _Excerpt(
            self.study, [self.trials[number] for number in sorted({*best, *newest, *self.running})]
        )


class BoundedTPESampler(TPESampler):
    """TPE that learns from at most `HISTORY` trials, so that a suggestion takes equally long in every study.

    Paused trials count as pruned here, not as pending. So TPE learns from them, and does not avoid their
    region as it avoids that of running trials.

    Optuna's own sampler reads all trials several times for each group of params. With 10,000 trials this
    takes half a second for each suggestion. With up to `HISTORY` finished trials and no paused ones, the
    suggestions are exactly Optuna's. With more trials, it sees `HISTORY // 2` of the best, the newest others,
    and all running ones. The best are enough, because Optuna uses at most 25 trials for its density of good
    points. The newest are the ones that Optuna's weights prefer among the others. With several objectives,
    trials have no such order, and the sampler sees all of them.
    """

    _history: _History | None = None
    _excerpt: tuple[int, Study] | None = None
    _cached: Mapping[int, _CachedTrial] = MappingProxyType({})
    _grouped: frozenset[frozenset[str]] = frozenset()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the dimensions that are sampled together; see Optuna's `BaseSampler`."""
        excerpt = self._excerpt_of(study, trial)
        if isinstance(excerpt, _Excerpt) and self._group:
            excerpt = self._not_grouped(excerpt)
        return super().infer_relative_search_space(excerpt, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose the values of the dimensions that are sampled together; see Optuna's `BaseSampler`."""
        return super().sample_relative(self._excerpt_of(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # Optuna's signature
        """Choose the value of a dimension that no visible trial has; see Optuna's `BaseSampler`."""
        excerpt = self._excerpt_of(study, trial)
        return super().sample_independent(excerpt, trial, param_name, param_distribution)

    def _not_grouped(self, excerpt: _Excerpt) -> _Excerpt:
        """Return the first trial of each set of params that Optuna's groups do not have yet.

        Optuna keeps its groups from one suggestion to the next, and only a new set of params can split a
        group.
        """
        first: dict[frozenset[str], FrozenTrial] = {}
        for trial in excerpt.visible:
            names = frozenset(trial.params)
            if trial.state in _FINISHED and names not in self._grouped:
                first.setdefault(names, trial)
        self._grouped |= first.keys()
        return _Excerpt(excerpt, list(first.values()))

    def _excerpt_of(self, study: Study, trial: FrozenTrial) -> Study:
        """Return the part of a study that is visible while the params of one trial are suggested."""
        if len(study.directions) > 1:
            return study
        if self._excerpt is None or self._excerpt[0] != trial.number:
            if self._history is None or self._history.study is not study:
                self._history = _History(study)
            self._history.renew()
            self._excerpt = (trial.number, self._with_cached(self._history.excerpt()))
        return self._excerpt[1]

    def _with_cached(self, excerpt: Study) -> Study:
        """Return an excerpt with cached trials. Most of them were cached for the last suggestion."""
        if not isinstance(excerpt, _Excerpt):
            return excerpt
        visible = [self._cached_of(trial) if _is_reported(trial) else trial for trial in excerpt.visible]
        self._cached = {trial.number: trial for trial in visible if isinstance(trial, _CachedTrial)}
        return _Excerpt(excerpt, visible)

    def _cached_of(self, trial: FrozenTrial) -> _CachedTrial:
        cached = self._cached.get(trial.number)
        return cached if cached is not None and cached.of is trial else _CachedTrial(trial)


def _is_reported(trial: FrozenTrial) -> bool:
    """Whether the sampler can learn from a trial: it is complete, stopped or paused."""
    return trial.state in _FINISHED or (
        trial.state == TrialState.RUNNING and bool(trial.user_attrs.get(PAUSE_KEY))
    )


#: Samplers by name: the class, and the options that this project sets.
NAMED: dict[str, tuple[type[BaseSampler], Mapping[str, Any]]] = {
    "tpe": (BoundedTPESampler, {"multivariate": True, "group": True, "constant_liar": True}),
    "model": (ModelSampler, {}),
    "random": (RandomSampler, {}),
    "gp": (GPSampler, {}),
    "cmaes": (CmaEsSampler, {}),
    "nsga2": (NSGAIISampler, {}),
    "nsga3": (NSGAIIISampler, {}),
    "brute_force": (_Exhaustive, {"avoid_premature_stop": True}),
}
#: Samplers that take some of their first points from the space's prior.
_WITH_PRIOR = ("tpe", "model", "gp")
#: Packages besides Optuna that a sampler imports when it is first used.
_NEEDS = {"cmaes": "cmaes"}


def make_sampler(wanted: Sampler, seed: int, space: Space | None = None) -> BaseSampler:
    """Return a sampler.

    Parameters
    ----------
    wanted
        The study's section `search.sampler`.
    seed
        Seed, unless the section's options have one.
    space
        Space of the points. Only the sampler `model` needs it. If it has a prior, some of the first points
        come from that.

    Raises
    ------
    StudyError
        If there is no such sampler, or it does not accept the options.
    """
    cls, preset = _find(wanted.use)
    problems = list(option_problems(cls, wanted.options))
    if problems:
        raise StudyError("study", problems)
    if wanted.options.get("multivariate") is False and "group" in preset:
        preset = {**preset, "group": False}  # there are only groups of params that are sampled together
    seeded: dict[str, Any] = {"seed": seed} if "seed" in inspect.signature(cls).parameters else {}
    if cls is ModelSampler:
        seeded["space"] = space
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            made = cls(**{**seeded, **preset, **wanted.options})
    except (Exception, SystemExit) as error:  # a user's sampler may raise anything
        raise _wrong(f"{cls.__name__} cannot be made: {type(error).__name__}: {error}") from error
    if space is None or space.prior is None or not wanted.prior or wanted.use not in _WITH_PRIOR:
        return made
    return PriorStart(made, space, space.prior, seed)


def check_finite(sampler: BaseSampler, space: Space) -> None:
    """Refuse a sampler that tries every point for a space that has no end of them, or whose end is too far.

    Raises
    ------
    StudyError
        Naming each param that has a range of real numbers, or too many values to list.
    """
    if not isinstance(sampler, BruteForceSampler):
        return
    problems = []
    for parameter in space.parameters:
        domain = parameter.domain
        why = _why_endless(domain) if isinstance(domain, (Float, Int)) else None
        if why is not None:
            rule = f"must have finitely many values for the sampler brute_force, but is {why}"
            hint = "give it a `step`, write it as a choice among values, or take another `search.sampler`"
            problems.append(Problem(f"space.set.{parameter.name}", rule, hint))
    if problems:
        raise StudyError("study", problems)


def _why_endless(domain: Float | Int) -> str | None:
    """Return why a param has too many values to try them all; None if it does not."""
    if isinstance(domain, Float) and domain.step is None:
        return None if domain.low == domain.high else _range(domain, "real numbers")
    if isinstance(domain.high, str) or domain.step is None:
        return None
    few = (domain.high - domain.low) / domain.step <= _MOST_TRIED
    return None if few else _range(domain, f"more than {_MOST_TRIED:,} numbers")


def _range(domain: Float | Int, of: str) -> str:
    return f"a range of {of}, {domain.low:g} to {float(domain.high):g}"


def exhaustive_sampler(seed: int) -> BaseSampler:
    """Return a sampler that chooses only points that no trial has had, as long as there are any."""
    return make_sampler(Sampler(use="brute_force"), seed)


def sampler_class(name: str) -> type[BaseSampler]:
    """Return the class of a sampler by its name or import path; see `make_sampler`."""
    return _find(name)[0]


def _find(name: str) -> tuple[type[BaseSampler], Mapping[str, Any]]:
    if name in NAMED:
        package = _NEEDS.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            rule = f"must be a sampler that is installed, but {name!r} needs the package {package!r}"
            raise _wrong(rule, f"pip install {package}")
        return NAMED[name]
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a user's module may raise anything when it is imported
        raise StudyError("study", [import_problem("search.sampler", name, error)]) from error
    if not (isinstance(cls, type) and issubclass(cls, BaseSampler)):
        rule = f"must be a subclass of Optuna's BaseSampler, but {name!r} is not"
        raise _wrong(rule, "let the class inherit from optuna.samplers.BaseSampler")
    return cls, {}


def _wrong(rule: str, hint: str = "") -> StudyError:
    return StudyError("study", [Problem("search.sampler", rule, hint)])
