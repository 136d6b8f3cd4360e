"""What chooses the next point: Optuna's samplers by name, or any importable one."""

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

from optuna.distributions import BaseDistribution, FloatDistribution
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
from tuner.errors import Problem, StudyError, did_you_mean
from tuner.space import Space
from tuner.trials.schema import PAUSE_KEY

__all__ = ["HISTORY", "NAMED", "BoundedTPESampler", "check_finite", "exhaustive_sampler", "make_sampler"]

#: Finished trials that TPE learns from.
HISTORY = 500
_TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


class _Exhaustive(BruteForceSampler):
    """Goes through every point of a finite space, each once.

    Optuna's own ends its `optimize` loop after the last point, which a study that is asked and told has not.
    """

    def after_trial(self, *_: object) -> None:
        """Leave the end to the search."""

    @staticmethod
    def _populate_tree(tree: Any, trials: list[FrozenTrial], params: dict[str, Any]) -> None:  # noqa: ANN401  # a private class of Optuna's
        """Pass over baselines outside the space: a trial without params would stand for all of it."""
        inside = [trial for trial in trials if trial.params]
        BruteForceSampler._populate_tree(tree, inside, params)  # noqa: SLF001  # our base class


class _Excerpt(Study):
    """A study of which a sampler sees some trials only."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self.seen = trials

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002  # Optuna's signature; samplers never change a trial
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002  # as above
    ) -> list[FrozenTrial]:
        return [trial for trial in self.seen if states is None or trial.state in states]


class _Seen(FrozenTrial):
    """A trial whose attributes are looked up once, since TPE reads them for each group of params.

    One that rests is seen as stopped there.
    """

    if not TYPE_CHECKING:  # plain attributes in the place of properties, of the same types
        number = value = params = constraints = None

    def __init__(self, trial: FrozenTrial) -> None:
        plain = {name: getattr(trial, name) for name in ("number", "value", "params", "constraints")}
        self.__dict__.update(trial.__dict__ | plain)
        if trial.state not in _TOLD:
            self.state = TrialState.PRUNED
        self.of = trial


class _History:
    """A study's trials in the orders in which they are chosen from, brought up to date at each suggestion.

    There may be ten thousand, of which one or two have changed since the last.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        self.trials: list[FrozenTrial] = []
        self.told: list[int] = []  # by number
        self.best: list[tuple[float, int]] = []  # complete trials within their bounds, the best last
        self.running: set[int] = set()
        self.paused: set[int] = set()

    def renew(self) -> None:
        """Take in what has changed; a storage gives another object for a trial that has."""
        trials = self.study.get_trials(deepcopy=False)
        known = map(is_, self.trials, trials)
        changed = [number for number, same in enumerate(known) if not same]
        changed.extend(range(len(self.trials), len(trials)))
        before, self.trials = self.trials, trials
        for number in changed:
            if number >= len(before) or before[number].state not in _TOLD:
                self._take(trials[number])

    def _take(self, trial: FrozenTrial) -> None:
        number, told = trial.number, _is_told(trial)
        at = bisect_left(self.told, number)
        known = self.told[at : at + 1] == [number]
        if told != known:
            self.told[at : at + known] = [number] if told else []
        runs = trial.state == TrialState.RUNNING
        for numbers, belongs in ((self.running, runs and not told), (self.paused, runs and told)):
            (numbers.add if belongs else numbers.discard)(number)
        if trial.state == TrialState.COMPLETE and all(excess <= 0 for excess in trial.constraints.values()):
            insort(self.best, (self._sign * trial.values[0], number))

    def excerpt(self) -> Study:
        """Return the study with the best and the newest trials, together `HISTORY`, and those that run."""
        if len(self.told) <= HISTORY:
            whole = not self.paused and self.trials[-1].number < HISTORY
            return self.study if whole else _Excerpt(self.study, self.trials)
        best = {number for _, number in self.best[-(HISTORY // 2) :]}
        newest = islice((number for number in reversed(self.told) if number not in best), HISTORY - len(best))
        return _Excerpt(
            self.study, [self.trials[number] for number in sorted({*best, *newest, *self.running})]
        )


class BoundedTPESampler(TPESampler):
    """TPE over a bounded history, so that a suggestion takes no longer however long the study is.

    A trial that rests is no unknown: it is learned from as one that was stopped where it rests, and not kept
    away from as one that runs.

    Optuna's own goes through all trials several times for each group of params: half a second a suggestion
    at 10,000 trials. Up to `HISTORY` finished trials, and where none rests, the suggestions are exactly
    Optuna's. Beyond, it sees the best, of which at most 25 make its density of good points in any case, and
    the newest, which its weights favour among the others; and always those that run, which its constant liar
    keeps away from. With several objectives there is no such order of the best, and no bound.
    """

    _history: _History | None = None
    _excerpt: tuple[int, Study] | None = None
    _seen: Mapping[int, _Seen] = MappingProxyType({})
    _grouped: frozenset[frozenset[str]] = frozenset()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the dimensions that are sampled together."""
        excerpt = self._excerpt_of(study, trial)
        if isinstance(excerpt, _Excerpt) and self._group:
            excerpt = self._not_grouped(excerpt)
        return super().infer_relative_search_space(excerpt, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose them."""
        return super().sample_relative(self._excerpt_of(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # Optuna's signature
        """Choose a dimension that no trial seen has had."""
        excerpt = self._excerpt_of(study, trial)
        return super().sample_independent(excerpt, trial, param_name, param_distribution)

    def _not_grouped(self, excerpt: _Excerpt) -> _Excerpt:
        """Return the first trials with names of params that have not been together: no others split groups.

        Optuna keeps the groups from one suggestion to the next.
        """
        first: dict[frozenset[str], FrozenTrial] = {}
        for trial in excerpt.seen:
            names = frozenset(trial.params)
            if trial.state in _TOLD and names not in self._grouped:
                first.setdefault(names, trial)
        self._grouped |= first.keys()
        return _Excerpt(excerpt, list(first.values()))

    def _excerpt_of(self, study: Study, trial: FrozenTrial) -> Study:
        """Return what is seen of a study while one trial is suggested."""
        if len(study.directions) > 1:
            return study
        if self._excerpt is None or self._excerpt[0] != trial.number:
            if self._history is None or self._history.study is not study:
                self._history = _History(study)
            self._history.renew()
            self._excerpt = (trial.number, self._looked_up(self._history.excerpt()))
        return self._excerpt[1]

    def _looked_up(self, excerpt: Study) -> Study:
        """Return an excerpt whose trials are quick to read; most are those of the last one."""
        if not isinstance(excerpt, _Excerpt):
            return excerpt
        seen = [self._known(trial) if _is_told(trial) else trial for trial in excerpt.seen]
        self._seen = {trial.number: trial for trial in seen if isinstance(trial, _Seen)}
        return _Excerpt(excerpt, seen)

    def _known(self, trial: FrozenTrial) -> _Seen:
        known = self._seen.get(trial.number)
        return known if known is not None and known.of is trial else _Seen(trial)


def _is_told(trial: FrozenTrial) -> bool:
    """Whether something is known of a trial's worth: it has ended, or rests."""
    return trial.state in _TOLD or (
        trial.state == TrialState.RUNNING and bool(trial.user_attrs.get(PAUSE_KEY))
    )


#: Name -> class, and the options that this project sets.
NAMED: dict[str, tuple[type[BaseSampler], Mapping[str, Any]]] = {
    "tpe": (BoundedTPESampler, {"multivariate": True, "group": True, "constant_liar": True}),
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


def check_finite(sampler: BaseSampler, space: Space) -> None:
    """Refuse a sampler that tries every point for a space that has no end of them.

    Raises
    ------
    StudyError
        Naming each param that has a range of real numbers.
    """
    if not isinstance(sampler, BruteForceSampler) or space.is_finite:
        return
    problems = []
    for parameter in space.parameters:
        found = parameter.domain.distribution()
        if isinstance(found, FloatDistribution) and found.step is None and not found.single():
            rule = (
                "must have finitely many values for the sampler brute_force, but is a range of real numbers, "
                f"{found.low:g} to {found.high:g}"
            )
            hint = "give it a `step`, write it as a choice among values, or take another `search.sampler`"
            problems.append(Problem(f"space.set.{parameter.name}", rule, hint))
    raise StudyError("study", problems)


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
