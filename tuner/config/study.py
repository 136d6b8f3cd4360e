"""A study: all its sections, and the rules between them. This module reads no file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    InstanceOf,
    PrivateAttr,
    Tag,
    ValidationInfo,
    field_validator,
)

from tuner.config.data import Data
from tuner.config.folds import Folds
from tuner.config.metrics import Metrics
from tuner.config.origin import Origin
from tuner.config.search import ONE_OBJECTIVE, Baseline, Search, SpaceSection
from tuner.config.section import Section, read_off, read_switch
from tuner.config.stopping import FinalJudgement, Stopping
from tuner.config.tracking import Tracking
from tuner.config.training import Resources, Training
from tuner.config.urls import refuse_credentials, refuse_password
from tuner.errors import Problem, StudyError, did_you_mean
from tuner.space import Space
from tuner.trials.constraints import QUANTITIES

__all__ = ["Study"]


class Study(Section):
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
    tracking
        A tracker that gets the trials while they run, besides TensorBoard's files. null or false: none.
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
    final: Annotated[FinalJudgement | None, BeforeValidator(read_switch)] = None
    tracking: Annotated[Tracking | None, BeforeValidator(read_off)] = None
    _origin: Origin = PrivateAttr(default_factory=Origin)

    @field_validator("search")
    @classmethod
    def _check_search(cls, search: Search, info: ValidationInfo) -> Search:
        metrics = info.data.get("metrics")
        single = search.sampler.use in ONE_OBJECTIVE
        if metrics is not None and metrics.further_objectives and single:
            known = "tpe, gp, nsga2 or nsga3"
            msg = f"sampler must be one for several objectives, as {known}, but got {search.sampler.use!r}"
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
        named = scheme.partition("+")[0]
        # After two slashes stands the name of a host, which a file does not have.
        hosted = named == "sqlite" and separator and not rest.startswith("/")
        if not separator or named not in {"sqlite", "postgresql"} or hosted:
            msg = "must be a URL that begins with sqlite:/// or postgresql+psycopg://, but does not"
            raise ValueError(msg)
        return refuse_password(url)

    @field_validator("artifacts")
    @classmethod
    def _check_artifacts(cls, place: str | None) -> str | None:
        # No message repeats a URL that may hold a secret.
        if place is None:
            return None
        scheme, separator, _ = place.partition("://")
        if (separator and not scheme) or not (separator or place.startswith("/")):
            msg = "must be an absolute path that all hosts share, or a URL"
            raise ValueError(msg if separator else f"{msg}, but got {place!r}")
        return refuse_credentials(place)

    @field_validator("share")
    @classmethod
    def _check_share(cls, share: bool, info: ValidationInfo) -> bool:
        if share and info.data.get("storage", "unusable") is None:
            msg = (
                "must be used with a database, because only one driver can write a journal: add "
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
                msg = f"names must differ, but {name!r} is there {names.count(name)} times"
                raise ValueError(msg)
        return baselines

    def from_origin(self, origin: Origin) -> Study:
        """Return this study, which is written there."""
        found = self.model_copy()
        found._origin = origin  # noqa: SLF001  # a copy of this class
        return found

    def refusal(self, problems: Iterable[Problem]) -> StudyError:
        """Return an error with problems of this study, each once, with the lines of its file."""
        located = map(self._origin.located, dict.fromkeys(problems))
        return StudyError(self._origin.name or self.study, list(located))

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
