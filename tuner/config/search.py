"""The sections `space`, `baselines` and `search`: what is searched, how, and for how long."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    field_validator,
    model_validator,
)

from tuner.config.section import Section, read_duration, read_off, read_paths, with_paths
from tuner.errors import did_you_mean
from tuner.trials.constraints import Constraint

__all__ = ["ONE_OBJECTIVE", "Baseline", "Plateau", "Sampler", "Search", "SpaceSection"]

#: Samplers that a study can name without an import path.
SAMPLERS = ("tpe", "model", "random", "gp", "cmaes", "nsga2", "nsga3", "brute_force")

#: Reads false as null, for keys that both switch off.
_OFF = BeforeValidator(read_off)

#: Samplers that cannot search for several objectives.
ONE_OBJECTIVE = ("cmaes", "model")


class SpaceSection(Section):
    """The search space: a space to start from, and the changes that this study makes to it.

    Attributes
    ----------
    use
        Import path of a space, such as ``search_spaces.guide``.
    set
        Params to fix, narrow or add; see `tuner.space`.
    """

    use: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_path(cls, plain: object) -> object:
        return {"use": plain} if isinstance(plain, str) else with_paths(plain)

    @model_validator(mode="after")
    def _check_not_empty(self) -> SpaceSection:
        if self.use is None and not self.set:
            msg = "must name a space with `use`, or list params under `set`, but has neither"
            raise ValueError(msg)
        return self


class Baseline(Section):
    """A configuration that runs first. The other trials are compared with it.

    Attributes
    ----------
    name
        Name of the baseline on the leaderboard.
    use
        A baseline of the space or a built-in baseline to start from. By default it is the one called `name`,
        unless `params` names a model (``cls``): then it starts from RecTools' defaults. A baseline to start
        from gets the values that the space fixes, if its model is one of the space's models.
    params
        Params to add or change, as RecTools takes them, flat or nested. Names of classes are those that the
        space takes.
    """

    name: str
    use: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, plain: object) -> object:
        return {"name": plain} if isinstance(plain, str) else with_paths(plain)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        # Commands take a trial by its number, its name, or `best`; files have the name in theirs.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name) or name.isdigit() or name == "best":
            msg = (
                "must be letters, digits, '.', '_' or '-', at most 80, and neither a number nor 'best', "
                f"but got {name!r}"
            )
            raise ValueError(msg)
        return name


class Sampler(Section):
    """The sampler, which chooses the next configuration.

    Attributes
    ----------
    use
        ``tpe`` (multivariate, grouped, with a constant liar), ``model`` (a Gaussian process over forecasts of
        all trials, also of paused and stopped ones), ``random``, ``gp``, ``cmaes``, ``nsga2``,
        ``nsga3``, ``brute_force`` (tries every point of a finite space), or the import path of an Optuna
        sampler.
    options
        Keyword arguments of the sampler.
    prior
        Whether half of the first 20 points come from what other data sets say of the space
        (`search_spaces.priors`), if the space has such a prior and the sampler is ``tpe``, ``model`` or
        ``gp``.
    """

    use: str = "tpe"
    options: dict[str, Any] = Field(default_factory=dict)
    prior: bool = True

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, plain: object) -> object:
        return {"use": plain} if isinstance(plain, str) else plain

    @field_validator("use")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name not in SAMPLERS and "." not in name:
            hint = did_you_mean(name, SAMPLERS)
            msg = f"must be an import path or one of {', '.join(SAMPLERS)}, but got {name!r}; {hint}"
            raise ValueError(msg)
        return name


class Plateau(Section):
    """End a search that no longer finds better trials.

    Attributes
    ----------
    trials
        The search ends after so many trials in a row without a new best trial. Complete trials and trials
        that were stopped early count; baselines do not.
    min_improvement
        The least improvement that counts, in units of the objective.
    """

    trials: int = Field(ge=1)
    min_improvement: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _read_trials(cls, plain: object) -> object:
        return {"trials": plain} if isinstance(plain, int) else plain


ConstraintField = Annotated[InstanceOf[Constraint], BeforeValidator(Constraint.parse), PlainSerializer(str)]


class Search(Section):
    """How long to search, and how. The first budget that is used up ends the search.

    A later run of the study may raise each budget.

    Attributes
    ----------
    trials
        Number of trials that the sampler chooses. Baselines are not counted.
    time_budget
        Time limit of one run. After it no trial starts. Each running trial is interrupted at its next
        evaluation, and the next run of the study continues it.
    cpu_hours, gpu_hours
        Limit over all runs of the study. A trial uses its wall time multiplied by its share of CPUs or GPUs.
        At the limit the search ends as with `time_budget`.
    target
        End the search once a complete trial has an objective at least as good as this. Running trials are
        finished.
    plateau
        End the search after so many trials without a new best trial. Written as 30, or as
        ``{trials: 30, min_improvement: 0.001}``. Running trials are finished. null or false: off.
    terminator
        Ask Optuna's terminator after each complete trial, from this number of complete trials on. It ends the
        search when, by its model of the objective, no further trial can gain more than the noise of the
        folds; see `tuner.sampling.terminator`. Running trials are finished.
    grace
        How long a running trial may take to reach its next evaluation once the time or the hours are used
        up. After that it is interrupted at once, and the next run repeats its work since the last checkpoint.
    constraints
        Conditions that a trial has to satisfy, such as ``parameters <= 5e6`` or
        ``CoveredUsers@10 >= 0.99``. Each bounds a metric of the study or one of
        `tuner.trials.constraints.QUANTITIES`. A trial that violates one is complete, but ranks below all
        trials that satisfy them and is never the best. Constraints cannot change after the study has begun.
    sampler
        Name of a sampler, or ``{use: ..., options: {...}}``; see `Sampler`.
    folds
        ``at_once``: a trial that has passed its first fold begins its other folds on all workers that are
        free, before any new trial. ``in_turn``: one worker evaluates the folds of a trial one after the
        other. The results are the same.
    seed
        Seed of the sampler. The seeds of all trials are derived from it.
    warm_start
        Folder of an earlier study, or a list of folders. The search begins with what those studies know
        about this study's space. See `tuner.preparation.warm_start`.
    """

    trials: int = Field(default=20, ge=0)
    time_budget: Annotated[float | None, BeforeValidator(read_duration), _OFF] = None
    cpu_hours: Annotated[float | None, _OFF] = Field(default=None, gt=0)
    gpu_hours: Annotated[float | None, _OFF] = Field(default=None, gt=0)
    target: Annotated[float | None, _OFF] = None
    plateau: Annotated[Plateau | None, _OFF] = None
    terminator: Annotated[int | None, _OFF] = Field(default=None, ge=2)
    grace: Annotated[float, BeforeValidator(read_duration)] = 600.0
    constraints: tuple[ConstraintField, ...] = Field(default=(), strict=False)
    sampler: Sampler = Sampler()
    folds: Literal["at_once", "in_turn"] = "at_once"
    seed: int = Field(default=60, ge=0, lt=2**32)
    warm_start: Annotated[tuple[str, ...], BeforeValidator(read_paths)] = Field(default=(), strict=False)
