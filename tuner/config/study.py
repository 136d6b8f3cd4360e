"""The sections of a study, as frozen pydantic models. Names, defaults and rules; no file handling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    InstanceOf,
    PlainSerializer,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tuner.config.metric import Metric
from tuner.errors import did_you_mean
from tuner.space import Space
from tuner.trials.constraints import QUANTITIES, Constraint

__all__ = [
    "SAMPLERS",
    "Baseline",
    "Data",
    "FinalJudgement",
    "Folds",
    "Halving",
    "Metrics",
    "Plateau",
    "Race",
    "Resources",
    "Sampler",
    "Search",
    "SpaceSection",
    "Stopping",
    "Study",
    "Training",
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Columns(_Section):
    """Names of the columns in the user's file; the defaults are RecTools' own.

    Attributes
    ----------
    user, item
        Identifiers, of any type.
    datetime
        When it happened; see `Data`.
    weight
        How much an interaction counts; without one, each weighs 1.
    """

    user: str = "user_id"
    item: str = "item_id"
    datetime: str = "datetime"
    weight: str | None = None


class Data(_Section):
    """Where interactions come from, and what is done to them before they are split.

    Attributes
    ----------
    interactions
        Path or fsspec URL of a .csv, .csv.gz or .parquet file.
    columns
        Its column names. Without `weight`, every interaction weighs 1.
    datetime
        ``iso`` (dates, or text that starts with one), ``unix_s`` or ``unix_ms``.
    item_features
        Path or URL of a table with columns id, feature, value (RecTools' flat format).
    numeric_features
        Features whose value is used as a number; all others are categories.
    min_user_interactions, min_item_interactions
        Users and items with fewer are dropped, once each, users first. Counted without the holdout.
    duplicates
        What to do with repeated rows: ``keep`` them; ``drop_exact``: keep one of each (user, item,
        datetime); ``keep_first`` / ``keep_last``: keep the oldest / newest of each (user, item), on each side
        of the holdout by itself.
    """

    interactions: str
    columns: Columns = Columns()
    datetime: Literal["iso", "unix_s", "unix_ms"] = "iso"
    item_features: str | None = None
    numeric_features: tuple[str, ...] = Field(default=(), strict=False)
    min_user_interactions: int = Field(default=1, ge=1)
    min_item_interactions: int = Field(default=1, ge=1)
    duplicates: Literal["keep", "drop_exact", "keep_first", "keep_last"] = "keep"


class Folds(_Section):
    """How data is split into folds, oldest first.

    Attributes
    ----------
    split
        ``time_range``: test windows of `size` (as 14D or 12H) at the end of the data;
        ``last_n``: the last `size` interactions of each user;
        ``random``: a share `size` of all interactions.
    n_folds
        Folds that the search sees.
    size
        Of one fold's test data, as `split` counts it.
    holdout
        Further folds, the newest, that it never sees.
    filter_viewed
        Recommend only items new to the user, and drop pairs seen in train from test.
    filter_cold_users, filter_cold_items
        Drop users and items without train interactions from test.
    seed
        Of the random split.
    """

    split: Literal["time_range", "last_n", "random"]
    n_folds: int = Field(default=1, ge=1)
    holdout: int = Field(default=1, ge=0)
    size: str | int | float
    filter_viewed: bool = True
    filter_cold_users: bool = True
    filter_cold_items: bool = True
    seed: int = 60

    @field_validator("size", mode="plain")
    @classmethod
    def _check_size(cls, size: object, info: ValidationInfo) -> object:
        split = info.data.get("split")
        number = isinstance(size, (int, float)) and not isinstance(size, bool)
        if split is None and not number and not isinstance(size, str):
            msg = f"must be text or a number, but got {size!r}"
            raise ValueError(msg)
        if split == "time_range" and not (isinstance(size, str) and re.fullmatch(r"[1-9]\d*[DH]", size)):
            msg = f"must be days or hours for a time_range split, as 14D or 12H, but got {size!r}"
            raise ValueError(msg)
        if split == "last_n" and not (number and isinstance(size, int) and size >= 1):
            msg = f"must be an integer of at least 1 for a last_n split, but got {size!r}"
            raise ValueError(msg)
        if split == "random":
            total = info.data.get("n_folds", 1) + info.data.get("holdout", 0)
            if not (number and 0 < float(size) * total < 1):  # type: ignore[arg-type]  # a number, as just checked
                msg = (
                    f"must be a share for a random split, with 0 < size x {total} folds < 1, but got {size!r}"
                )
                raise ValueError(msg)
        return size


MetricField = Annotated[InstanceOf[Metric], BeforeValidator(Metric.parse)]


class Metrics(_Section):
    """What is measured on each fold; the objective decides.

    Attributes
    ----------
    objective
        The metric to optimise, as ``NDCG@10``; its mean over folds is a trial's value.
    direction
        ``maximize`` or ``minimize``; never guessed from the name.
    report
        Further metrics for the leaderboard.
    further_objectives
        Metrics of the report, or of `tuner.trials.constraints.QUANTITIES`, each with its direction, as
        ``parameters: minimize``. The sampler then looks for the Pareto front of all objectives. The epoch of
        a trial, patience, early stopping, target and plateau look at `objective` alone.
    reference
        Name of the baseline whose recommendations Intersection compares with.
    """

    objective: MetricField
    direction: Literal["maximize", "minimize"]
    report: tuple[MetricField, ...] = Field(default=(), strict=False)
    further_objectives: dict[str, Literal["maximize", "minimize"]] = Field(default_factory=dict)
    reference: str | None = Field(default=None, validate_default=True)

    @property
    def all(self) -> tuple[Metric, ...]:
        """Objective and report, each label once."""
        return tuple({metric.label: metric for metric in (*self.report, self.objective)}.values())

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
                msg = f"must measure a metric one way, but {metric.label} stands there with different options"
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

    @field_validator("reference")
    @classmethod
    def _check_reference(cls, reference: str | None, info: ValidationInfo) -> str | None:
        measured = (info.data.get("objective"), *info.data.get("report", ()))
        needy = [metric.label for metric in measured if metric is not None and metric.needs_reference]
        if needy and reference is None:
            msg = f"must name a baseline when {', '.join(needy)} is measured, but is missing"
            raise ValueError(msg)
        return reference


class SpaceSection(_Section):
    """The space: one to start from, and what this study changes in it.

    Attributes
    ----------
    use
        Import path of a space, as ``search_spaces.guide``.
    set
        Params to fix, narrow or add; see `tuner.space`.
    """

    use: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_path(cls, plain: object) -> object:
        return {"use": plain} if isinstance(plain, str) else plain

    @model_validator(mode="after")
    def _check_not_empty(self) -> SpaceSection:
        if self.use is None and not self.set:
            msg = "must name a space with `use`, or list params under `set`, but has neither"
            raise ValueError(msg)
        return self


class Baseline(_Section):
    """A configuration to run first and compare with.

    Attributes
    ----------
    name
        Its name on the leaderboard.
    use
        A named baseline of the space or a built-in one to start from; by default the one called `name`,
        unless `params` gives a model of its own.
    params
        Flat params that are added or changed.
    """

    name: str
    use: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, plain: object) -> object:
        return {"name": plain} if isinstance(plain, str) else plain


def _seconds(plain: object) -> object:
    """Read a duration: seconds, or text as 45s, 30m, 2h, 1d, 1h30m."""
    if plain is None:
        return None
    if isinstance(plain, (int, float)) and not isinstance(plain, bool):
        if plain > 0:
            return float(plain)
        msg = f"must be above 0, but got {plain!r}"
        raise ValueError(msg)
    parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(plain).strip().lower())
    if parts is None or not any(parts.groups()):
        msg = f"must be a duration, as 45s, 30m, 2h or 1h30m, but got {plain!r}"
        raise ValueError(msg)
    return float(
        sum(int(n or 0) * unit for n, unit in zip(parts.groups(), (86400, 3600, 60, 1), strict=True))
    )


def _several(plain: object) -> object:
    """Read one path as a list of one."""
    return [str(plain)] if isinstance(plain, (str, Path)) else plain


#: Samplers that have a name.
SAMPLERS = ("tpe", "random", "gp", "cmaes", "nsga2", "nsga3", "brute_force")


class Sampler(_Section):
    """What chooses the next configuration.

    Attributes
    ----------
    use
        ``tpe`` (multivariate, grouped, with a constant liar), ``random``, ``gp``, ``cmaes``, ``nsga2``,
        ``nsga3``, ``brute_force`` for every point of a finite space, or the import path of an Optuna sampler.
    options
        Its keyword arguments.
    """

    use: str = "tpe"
    options: dict[str, Any] = Field(default_factory=dict)

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


class Plateau(_Section):
    """End a search that no longer finds better trials.

    Attributes
    ----------
    trials
        Trials of the sampler's in a row, complete or stopped early, without a better best one among them.
    min_improvement
        In units of the objective; a smaller improvement is none.
    """

    trials: int = Field(ge=1)
    min_improvement: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _read_trials(cls, plain: object) -> object:
        return {"trials": plain} if isinstance(plain, int) else plain


ConstraintField = Annotated[InstanceOf[Constraint], BeforeValidator(Constraint.parse), PlainSerializer(str)]


class Search(_Section):
    """How long and how to search. Whichever budget comes first ends a search; a later run may have more.

    Attributes
    ----------
    trials
        Trials that the sampler chooses; baselines come on top.
    time_budget
        Of one run. No trial starts after it; running ones stop at their next evaluation and go on when the
        study is run again.
    cpu_hours, gpu_hours
        Over all runs: wall time of trials by the share of CPUs and GPUs that each holds. When they are up,
        it is as with `time_budget`.
    target
        End when a complete trial's objective is as good; running trials are finished.
    plateau
        End after so many trials without a better one, as 30 or ``{trials: 30, min_improvement: 0.001}``;
        running trials are finished.
    terminator
        End when Optuna's terminator says so, which is asked from so many complete trials on: when by its
        model of the objective no trial can gain more than the noise of the folds; see
        `tuner.sampling.terminator`. Running trials are finished.
    grace
        How long running trials have to come to their next evaluation when time or hours are up. Then they
        are ended; what they did since their last checkpoint is done again.
    constraints
        What a trial must keep to, as ``parameters <= 5e6`` or ``CoveredUsers@10 >= 0.99``: a metric of the
        study, or one of `tuner.trials.constraints.QUANTITIES`. A trial that does not is complete, ranked
        below those that do, and never the best. Must stay as they were when the study began.
    sampler
        A name, or ``{use: ..., options: {...}}``; see `Sampler`.
    seed
        Of the sampler, and the root of every trial's seeds.
    warm_start
        Folders of earlier studies, or one: what is known of this study's space from them, the search begins
        with. See `tuner.preparation.warm_start`.
    """

    trials: int = Field(default=20, ge=0)
    time_budget: Annotated[float | None, BeforeValidator(_seconds)] = None
    cpu_hours: float | None = Field(default=None, gt=0)
    gpu_hours: float | None = Field(default=None, gt=0)
    target: float | None = None
    plateau: Plateau | None = None
    terminator: int | None = Field(default=None, ge=2)
    grace: Annotated[float, BeforeValidator(_seconds)] = 600.0
    constraints: tuple[ConstraintField, ...] = Field(default=(), strict=False)
    sampler: Sampler = Sampler()
    seed: int = Field(default=60, ge=0, lt=2**32)
    warm_start: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(default=(), strict=False)


#: Arithmetic of a fit.
Precision = Literal["float32", "tf32", "bf16"]
#: Which fast paths a fit takes.
Fast = bool | Literal["unpadded"]


class Training(_Section):
    """How a transformer model is trained in a trial.

    Attributes
    ----------
    epochs
        Epochs per fold, at most.
    evaluate_every
        Epochs between evaluations; the last epoch is always evaluated.
    patience
        Stop a fold's training after so many evaluations without a better objective; null: never.
    fast
        Train by the fast paths, whose results are RecTools' own up to rounding; false: by RecTools' code
        alone; ``unpadded``: also without padding, which changes the random numbers of a fit.
    precision
        ``float32``; or ``tf32``, which has no effect without a GPU; or ``bf16``, mixed as Lightning has it.
        The latter two are faster on a GPU and change the numbers.
    keep_checkpoints
        Keep the fitted models of all folds of so many trials, the best so far; see
        `tuner.store.fitted_models`.
    timeout
        The longest that a trial may take over all its folds; one that takes longer, as where a module hangs,
        is failed and its worker ended. null: no limit.
    """

    epochs: int = Field(default=10, ge=1)
    evaluate_every: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    fast: Fast = True
    precision: Precision = "float32"
    keep_checkpoints: int = Field(default=0, ge=0)
    timeout: Annotated[float | None, BeforeValidator(_seconds)] = None


class Halving(_Section):
    """Let the best trials at an epoch of the first fold go on; the others rest, and some stop for good.

    A trial that rests is taken up where it rests, with the same results, as soon as it is among the best at
    its rung. When all trials of the search have begun, those that rest are taken up, the best first, as far
    as `resume` says; the others are told as stopped. Settings may change from one run of a study to the next.

    Attributes
    ----------
    rungs
        Epochs at which trials are compared, ascending; null: 1, 4, 16, ... and the last. The last one, if
        it is among them, is the end of the fold, also where patience ends that earlier.
    keep
        Share of the trials at a rung that goes on at once.
    resume
        Share of the trials at a rung that goes on in the end; null: none rests, and those beyond `keep` are
        stopped at once.
    grace
        Trials that come to a rung before any is held up there.
    """

    rungs: tuple[int, ...] | None = Field(default=None, strict=False)
    keep: float = Field(default=0.25, gt=0, lt=1)
    resume: float | None = Field(default=0.5, gt=0, le=1)
    grace: int = Field(default=2, ge=2)

    @field_validator("rungs")
    @classmethod
    def _check_rungs(cls, rungs: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if rungs is not None and (not rungs or rungs[0] < 1 or list(rungs) != sorted(set(rungs))):
            msg = f"must be ascending epochs from 1 on, but got {list(rungs)}"
            raise ValueError(msg)
        return rungs


class Race(_Section):
    """Stop trials after a fold that trail the best one so far on the same users.

    Attributes
    ----------
    z
        Standard errors of the mean difference by which a trial may seem to trail and go on all the same.
    """

    z: float = Field(default=1.0, ge=0)


def _rule(plain: object) -> object:
    """Read ``false`` as off and ``true`` as the defaults."""
    if isinstance(plain, bool):
        return {} if plain else None
    return plain


class Stopping(_Section):
    """Which trials are stopped early; baselines never are.

    The rules look at the first objective alone. With several they are off unless the study asks for them:
    a trial that they stop may be one of the Pareto front.

    Attributes
    ----------
    halving, race
        The rules; false: off.
    """

    halving: Annotated[Halving | None, BeforeValidator(_rule)] = Halving()
    race: Annotated[Race | None, BeforeValidator(_rule)] = Race()

    @model_validator(mode="before")
    @classmethod
    def _read_switch(cls, plain: object) -> object:
        if isinstance(plain, bool):
            return {} if plain else {"halving": None, "race": None}
        return plain


class FinalJudgement(_Section):
    """Which trials are judged on the holdout at the end of a run, and how often each is fitted.

    Attributes
    ----------
    top
        The best trials by validation; baselines come on top.
    seeds
        Fits of each, with different seeds.
    """

    top: int = Field(default=5, ge=1)
    seeds: int = Field(default=3, ge=1)


class Resources(_Section):
    """What one trial takes, and how many run at once.

    Attributes
    ----------
    cpus_per_trial, gpus_per_trial
        Shares for Ray; a fraction of a GPU packs several trials on one. ``gpus_per_trial: auto`` measures
        the largest configuration on this machine's GPU and takes the smallest share that has room for it.
    custom
        Further resources of Ray's that a trial on an accelerator takes, by name.
    accelerator_type
        The kind that it has to be, as Ray names it: ``A10G``, ``T4``, ``H100``.
    concurrency
        Trials at once; null: as many as fit, also where a cluster grows and shrinks.

    Classic models, such as EASE and iALS, take CPUs alone: GPUs, accelerators and `custom` are for models
    that train by steps.
    """

    cpus_per_trial: float = Field(default=1, gt=0)
    gpus_per_trial: Annotated[
        Annotated[Literal["auto"], Tag("auto")] | Annotated[float, Field(ge=0), Tag("share")],
        Discriminator(lambda share: "auto" if share == "auto" else "share"),
    ] = 0.0
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    accelerator_type: str | None = None
    concurrency: int | None = Field(default=None, ge=1)

    @property
    def gpu_share(self) -> float:
        """The share of a GPU as a number; ``auto`` must have been measured and replaced by then."""
        assert self.gpus_per_trial != "auto", "the share is measured before it is used"
        return self.gpus_per_trial

    @field_validator("cpus_per_trial", "gpus_per_trial")
    @classmethod
    def _check_share(cls, share: float | str) -> float | str:
        if isinstance(share, float) and share > 1 and share != int(share):
            msg = f"must be a fraction up to 1 or a whole number, but got {share:g}"
            raise ValueError(msg)
        return share


class Study(_Section):
    """One study: everything that decides a search.

    Attributes
    ----------
    study
        Its name; the results stand in a folder of that name.
    storage
        URL of a database for the trials: ``sqlite:///trials.db`` (a relative path is taken from the study's
        folder) or ``postgresql+psycopg://user@host/db``; null: a journal file in the study's folder. The
        password stands in an environment variable, as ``user:${PGPASSWORD}@host``, or in ``~/.pgpass``.
    artifacts
        Where what trials leave beside the store is kept: logs, checkpoints, per-user values and TensorBoard's
        files, in a folder of the study's name. An absolute path that all hosts share, or a URL such as
        ``s3://bucket/prefix``; null: the study's folder, which is enough on one host. Credentials come from
        the environment of each machine, or from its role.
    share
        Whether several drivers may run the study at once and share its budgets; only in a database.
    final
        Judge the best trials on the holdout when a run ends; null or false: `tuner final` does it when it is
        asked to.
    """

    study: str
    storage: str | None = None
    artifacts: str | None = None
    share: bool = False
    data: Data
    folds: Folds
    metrics: Metrics
    space: Annotated[
        Annotated[InstanceOf[Space], Tag("object")] | Annotated[SpaceSection, Tag("section")],
        Discriminator(lambda space: "object" if isinstance(space, Space) else "section"),
    ]
    baselines: tuple[Baseline, ...] = Field(default=(), strict=False)
    search: Search = Search()
    training: Training = Training()
    stopping: Stopping = Field(default=None, validate_default=True)
    resources: Resources = Field(default=Resources(), validate_default=True)
    final: Annotated[FinalJudgement | None, BeforeValidator(_rule)] = None

    @field_validator("search")
    @classmethod
    def _check_search(cls, search: Search, info: ValidationInfo) -> Search:
        metrics = info.data.get("metrics")
        if metrics is not None and metrics.further_objectives and search.sampler.use == "cmaes":
            msg = "sampler must be one for several objectives, as tpe, gp, nsga2 or nsga3, but got 'cmaes'"
            raise ValueError(msg)
        valid = [*(metric.label for metric in metrics.all), *QUANTITIES] if metrics is not None else []
        for constraint in search.constraints if valid else ():
            if constraint.name not in valid:
                msg = (
                    f"constraints must bound a metric of the study, or {', '.join(QUANTITIES)}, but got "
                    f"'{constraint}'; {did_you_mean(constraint.name, valid)}"
                )
                raise ValueError(msg)
        folds = info.data.get("folds")
        if search.terminator is not None and folds is not None and folds.n_folds == 1:
            msg = f"terminator needs at least 2 folds, to know their noise, but n_folds is {folds.n_folds}"
            raise ValueError(msg)
        if search.terminator is not None and metrics is not None and metrics.further_objectives:
            msg = "terminator needs a single objective, but the study has further_objectives; take plateau"
            raise ValueError(msg)
        return search

    @field_validator("stopping", mode="before")
    @classmethod
    def _read_default(cls, plain: object, info: ValidationInfo) -> object:
        metrics = info.data.get("metrics")
        return (metrics is None or not metrics.further_objectives) if plain is None else plain

    @field_validator("resources")
    @classmethod
    def _check_hours(cls, resources: Resources, info: ValidationInfo) -> Resources:
        search = info.data.get("search")
        if search is not None and search.gpu_hours is not None and resources.gpus_per_trial == 0:
            msg = "must give trials a GPU where search.gpu_hours is a budget, but gpus_per_trial is 0"
            raise ValueError(msg)
        return resources

    @field_validator("final")
    @classmethod
    def _check_final(cls, final: FinalJudgement | None, info: ValidationInfo) -> FinalJudgement | None:
        folds = info.data.get("folds")
        if final is not None and folds is not None and folds.holdout == 0:
            msg = "needs a holdout to judge on, but folds.holdout is 0"
            raise ValueError(msg)
        return final

    @field_validator("study")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
            msg = f"must be letters, digits, '.', '_' or '-', at most 80, but got {name!r}"
            raise ValueError(msg)
        return name

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, url: str | None) -> str | None:
        # No message repeats the URL: it may hold a password.
        if url is None:
            return None
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.partition("+")[0] not in {"sqlite", "postgresql"}:
            msg = "must be a URL that begins with sqlite:/// or postgresql+psycopg://, but does not"
            raise ValueError(msg)
        user, _, query = rest.rpartition("@")[0], *rest.partition("?")[1:]
        passwords = [user.partition(":")[2], *re.findall(r"password=([^&]*)", query)]
        if any(password and not re.fullmatch(r"\$\{\w+\}", password) for password in passwords):
            msg = "must hold no password, which results would keep; write ${PGPASSWORD} in its place"
            raise ValueError(msg)
        return url

    @field_validator("artifacts")
    @classmethod
    def _check_artifacts(cls, place: str | None) -> str | None:
        # No message repeats a URL that may hold a secret.
        if place is None:
            return None
        scheme, separator, rest = place.partition("://")
        if not separator and not place.startswith("/"):
            msg = f"must be an absolute path that all hosts share, or a URL, but got {place!r}"
            raise ValueError(msg)
        secret = "@" in rest.partition("/")[0] or re.search(
            r"(secret|access)_?key|token|password", place, re.I
        )
        if separator and (secret or not scheme):
            msg = "must hold no credentials, which results would keep; leave them to the environment"
            raise ValueError(msg)
        return place

    @field_validator("share")
    @classmethod
    def _check_share(cls, share: bool, info: ValidationInfo) -> bool:
        if share and info.data.get("storage", "unusable") is None:
            msg = (
                "must stand beside a database, since a journal is written by one driver alone: add "
                "storage: sqlite:///trials.db for drivers on this host, or one in PostgreSQL"
            )
            raise ValueError(msg)
        return share

    @field_validator("baselines")
    @classmethod
    def _check_baselines(cls, baselines: tuple[Baseline, ...]) -> tuple[Baseline, ...]:
        names = [baseline.name for baseline in baselines]
        for name in names:
            if names.count(name) > 1:
                msg = f"names must differ, but {name!r} stands there {names.count(name)} times"
                raise ValueError(msg)
        return baselines

    @classmethod
    def load(
        cls, path: str | Path, overrides: tuple[str, ...] | list[str] = (), profile: str | None = None
    ) -> Study:
        """Read a study file.

        Parameters
        ----------
        path
            The YAML file. Relative data paths in it are taken from the working folder, then from the
            file's own.
        overrides
            Changes as ``search.trials=100``; the value is YAML.
        profile
            Which of the file's `profiles` to lay over the study, before the overrides.

        Raises
        ------
        StudyError
            With every problem found.
        """
        from tuner.config.load import load_study  # noqa: PLC0415  # the reader builds on these models

        return load_study(Path(path), overrides, profile)
