"""The sections of a study as frozen pydantic models: names, defaults and rules. This module reads no file."""

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
    """Names of the columns in your file. The defaults are RecTools' own names.

    Attributes
    ----------
    user
        Column of user ids, of any type.
    item
        Column of item ids, of any type.
    datetime
        Column of the time of an interaction. `data.datetime` names its format.
    weight
        Column that says how much an interaction counts. Without it, each interaction weighs 1.
    """

    user: str = "user_id"
    item: str = "item_id"
    datetime: str = "datetime"
    weight: str | None = None


class Data(_Section):
    """Where the interactions are, and how they are filtered before the split into folds.

    Attributes
    ----------
    interactions
        Path or fsspec URL of a .csv, .csv.gz or .parquet file.
    columns
        Names of the columns in that file.
    datetime
        Format of the time: ``iso`` (dates, or text that starts with a date), ``unix_s`` or ``unix_ms``.
    item_features
        Path or URL of a table with the columns id, feature and value (RecTools' flat format).
    numeric_features
        Features whose value is used as a number. All other features are categories.
    min_user_interactions
        Drop users with fewer interactions. This filter runs once, before the filter of items. Interactions
        of the holdout are not counted.
    min_item_interactions
        Drop items with fewer interactions. This filter runs once, after the filter of users. Interactions
        of the holdout are not counted.
    duplicates
        What to do with repeated rows. ``keep`` keeps them all. ``drop_exact`` keeps one row for each (user,
        item, datetime). ``keep_first`` and ``keep_last`` keep the oldest or the newest row for each (user,
        item). They treat the rows before the holdout and the rows of the holdout separately.
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
    """How the interactions are split into folds. The oldest fold is the first.

    Attributes
    ----------
    split
        What the test part of a fold is. ``time_range``: a window of length `size` (such as 14D or 12H); the
        windows are at the end of the data. ``last_n``: the last `size` interactions of each user.
        ``random``: a share `size` of all interactions.
    n_folds
        Number of folds that the search uses.
    size
        Size of one fold's test part, in the unit of `split`.
    holdout
        Number of further folds, the newest. The search never sees them.
    filter_viewed
        Recommend only items that are new to the user. Drop pairs from test that are also in train.
    filter_cold_users
        Drop users from test that have no interactions in train.
    filter_cold_items
        Drop items from test that have no interactions in train.
    seed
        Seed of the ``random`` split.
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
    """Which metrics are measured on each fold. The objective ranks the trials.

    Attributes
    ----------
    objective
        The metric to optimize, such as ``NDCG@10``. Its mean over the folds is the value of a trial.
    direction
        ``maximize`` or ``minimize``. It is never guessed from the name of the metric.
    report
        Further metrics for the leaderboard.
    further_objectives
        More objectives, each with its direction, such as ``parameters: minimize``. Each is a metric of
        `report` or one of `tuner.trials.constraints.QUANTITIES`. The sampler then searches for the Pareto
        front of all objectives. Only `objective` decides the best epoch of a trial, patience, early
        stopping, target and plateau.
    reference
        Name of a baseline. The metric Intersection compares recommendations with those of this baseline.
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
        return {"use": plain} if isinstance(plain, str) else plain

    @model_validator(mode="after")
    def _check_not_empty(self) -> SpaceSection:
        if self.use is None and not self.set:
            msg = "must name a space with `use`, or list params under `set`, but has neither"
            raise ValueError(msg)
        return self


class Baseline(_Section):
    """A configuration that runs first. The other trials are compared with it.

    Attributes
    ----------
    name
        Name of the baseline on the leaderboard.
    use
        A baseline of the space or a built-in baseline to start from. By default it is the one called `name`,
        unless `params` names a model (``cls``).
    params
        Flat params to add or change.
    """

    name: str
    use: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, plain: object) -> object:
        return {"name": plain} if isinstance(plain, str) else plain


def _seconds(plain: object) -> object:
    """Read a duration: a number of seconds, or text such as 45s, 30m, 2h, 1d or 1h30m."""
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
    """Read a single path as a list with one path."""
    return [str(plain)] if isinstance(plain, (str, Path)) else plain


#: Samplers that a study can name without an import path.
SAMPLERS = ("tpe", "random", "gp", "cmaes", "nsga2", "nsga3", "brute_force")


class Sampler(_Section):
    """The sampler, which chooses the next configuration.

    Attributes
    ----------
    use
        ``tpe`` (multivariate, grouped, with a constant liar), ``random``, ``gp``, ``cmaes``, ``nsga2``,
        ``nsga3``, ``brute_force`` (tries every point of a finite space), or the import path of an Optuna
        sampler.
    options
        Keyword arguments of the sampler.
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


class Search(_Section):
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
        ``{trials: 30, min_improvement: 0.001}``. Running trials are finished.
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
    seed
        Seed of the sampler. The seeds of all trials are derived from it.
    warm_start
        Folder of an earlier study, or a list of folders. The search begins with what those studies know
        about this study's space. See `tuner.preparation.warm_start`.
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


#: Number formats in which a model can be trained.
Precision = Literal["float32", "tf32", "bf16"]


class Training(_Section):
    """How a trial trains a transformer model.

    Attributes
    ----------
    epochs
        The most epochs that a fold is trained for.
    evaluate_every
        Number of epochs between evaluations. The last epoch is always evaluated.
    patience
        End a fold's training after so many evaluations without a better objective. null: no limit.
    fast
        true: train by the fast paths, whose results equal those of RecTools up to rounding. false: train by
        RecTools' code alone.
    precision
        ``float32``, ``tf32`` or ``bf16`` (Lightning's mixed precision). ``tf32`` has no effect without a GPU.
        On a GPU, ``tf32`` and ``bf16`` are faster and change the results.
    keep_checkpoints
        Retain the fitted models of so many trials, the best so far, with a model for each fold; see
        `tuner.store.fitted_models`.
    timeout
        The longest that a trial may take over all its folds. A trial that takes longer, for example because
        a module hangs, fails, and its worker process is ended. null: no limit.
    """

    epochs: int = Field(default=10, ge=1)
    evaluate_every: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    fast: bool = True
    precision: Precision = "float32"
    keep_checkpoints: int = Field(default=0, ge=0)
    timeout: Annotated[float | None, BeforeValidator(_seconds)] = None


class Halving(_Section):
    """Compare trials at some epochs of the first fold (rungs). The best continue, and the others pause.

    A paused trial is promoted as soon as it is among the best at its rung. It then continues from its
    checkpoint, with the same results as without the pause. When all trials of the search have begun, paused
    trials are resumed, the best first, as far as `resume` allows. The others are stopped. These settings may
    differ between two runs of a study.

    Attributes
    ----------
    rungs
        Epochs at which trials are compared, ascending. null: 1, 4, 16, ... and the last epoch. A rung at the
        last epoch is the end of the fold, also for a trial whose patience ends the fold earlier.
    keep
        Share of the trials at a rung that continues at once.
    resume
        Share of the trials at a rung that may continue in the end. null: no trial pauses, and a trial that
        is not within `keep` is stopped at once.
    grace
        Number of trials that must have reached a rung before a trial can be paused there.
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
    """After each fold, stop a trial that is clearly worse than the best trial so far on the same users.

    Attributes
    ----------
    z
        A trial is stopped if its mean difference is worse than zero by more than `z` standard errors.
    """

    z: float = Field(default=1.0, ge=0)


def _rule(plain: object) -> object:
    """Read ``false`` as off, and ``true`` as the default settings."""
    if isinstance(plain, bool):
        return {} if plain else None
    return plain


class Stopping(_Section):
    """Which trials are stopped early. Baselines never are.

    Both rules use the first objective only. In a study with several objectives they are off unless the study
    switches them on, because a trial that they stop may belong to the Pareto front.

    Attributes
    ----------
    halving
        Compare trials at some epochs of the first fold. false: off.
    race
        Compare a trial with the best one, user by user, after each fold. false: off.
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
        Number of trials to judge, the best by validation. Baselines are judged as well and are not counted.
    seeds
        How often each trial is fitted, each time with another seed.
    """

    top: int = Field(default=5, ge=1)
    seeds: int = Field(default=3, ge=1)


class Resources(_Section):
    """The resources of one trial, and how many trials run at once.

    Classic models, such as EASE and iALS, use CPUs only. GPUs, accelerators and `custom` are for models that
    are trained by steps.

    Attributes
    ----------
    cpus_per_trial
        CPUs that Ray reserves for a trial.
    gpus_per_trial
        GPUs that Ray reserves for a trial. With a fraction, several trials share a GPU. ``auto`` measures the
        largest configuration on this machine's GPU and uses the smallest share in which it fits.
    custom
        Further Ray resources that a trial on an accelerator needs, by name.
    accelerator_type
        The kind of accelerator that a trial needs, by Ray's name: ``A10G``, ``T4``, ``H100``.
    concurrency
        Number of trials at once. null: as many as fit, also while a cluster grows and shrinks.
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
        """The share of a GPU as a number. ``auto`` must have been replaced by a measured share before."""
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
        Name of the study. The results are in a folder of that name.
    storage
        URL of a database for the trials: ``sqlite:///trials.db`` (a relative path is taken from the study's
        folder) or ``postgresql+psycopg://user@host/db``. null: a journal file in the study's folder. Put the
        password into an environment variable, as ``user:${PGPASSWORD}@host``, or into ``~/.pgpass``.
    artifacts
        Where to keep files of trials that are not in the store: logs, checkpoints, per-user values and
        TensorBoard's files. They go into a folder of the study's name there. Give an absolute path that all
        hosts share, or a URL such as ``s3://bucket/prefix``. null: the study's folder, which is enough on one
        host. Credentials come from the environment of each machine, or from its role.
    share
        Whether several drivers may run the study at once and share its budgets. Needs a database.
    final
        Judge the best trials on the holdout when a run ends. null or false: only `tuner final` judges them.
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
            The YAML file. A relative data path in it is looked up in the working folder first, then in the
            folder of the file.
        overrides
            Changes, such as ``search.trials=100``. The value is YAML.
        profile
            One of the file's `profiles`. It is merged into the study before the overrides.

        Raises
        ------
        StudyError
            Lists every problem that was found.
        """
        from tuner.config.load import load_study  # noqa: PLC0415  # the reader builds on these models

        return load_study(Path(path), overrides, profile)
