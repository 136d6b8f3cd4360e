"""What a report is made from, read once; and the questions that several of its parts ask."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial

from tuner.artifacts import layout
from tuner.formatting import short
from tuner.holdout import Final
from tuner.holdout.read import final_of
from tuner.reporting.html.clock import Clock, Stay, clock_of, stays
from tuner.reporting.leaderboard import Leaderboard, Row, rank, varying_params
from tuner.space.class_names import short_name
from tuner.store import read_points, read_records, study_holder
from tuner.trials.objective import Direction, best_value, is_better
from tuner.trials.stored import StoredStudy, TrialRecord

__all__ = ["Material", "gather", "label_of", "name_of", "so_far"]


@dataclass(frozen=True, eq=False)
class Material:
    """A study, as its report needs it.

    Attributes
    ----------
    folder
        Of the study.
    stored, board
        Its trials, and how they rank.
    study
        The study file as it was first run; empty where it is gone.
    points
        Optuna's params and distributions of each trial, by number.
    final
        The judgement on the holdout; None as long as there is none.
    running
        Whether somebody runs the study at the moment.
    made
        When it was read, local time.
    """

    folder: Path
    stored: StoredStudy
    board: Leaderboard
    study: Mapping[str, Any] = field(default_factory=dict)
    points: Mapping[int, FrozenTrial] = field(default_factory=dict)
    final: Final | None = None
    running: bool = False
    made: datetime = field(default_factory=datetime.now)

    @property
    def folder_shown(self) -> str:
        """The folder as a person would type it: the last two parts of its path say enough."""
        return shlex.quote("/".join(self.folder.resolve().parts[-2:]))

    @property
    def objective(self) -> str:
        """Label of what ranks."""
        return self.board.objective

    @property
    def direction(self) -> Direction:
        """Which values of the objective are better."""
        return self.board.direction

    @cached_property
    def records(self) -> Sequence[TrialRecord]:
        """All trials and baselines, by number, without points that are none."""
        return [record for record in self.stored.records if record.status.is_trained]

    @cached_property
    def done(self) -> Sequence[Row]:
        """The ranked rows, best first."""
        return [row for row in self.board.rows if row.rank is not None]

    @property
    def best(self) -> Row | None:
        """The best row that keeps to all constraints, be it a trial or a baseline."""
        return self.board.best

    @property
    def best_searched(self) -> Row | None:
        """The best such row that the search found."""
        return next((row for row in self.done if row.record.name is None and not row.breaks), None)

    @property
    def best_baseline(self) -> Row | None:
        """The best baseline."""
        return next((row for row in self.done if row.record.name is not None), None)

    @cached_property
    def stays(self) -> Sequence[Stay]:
        """When and where each trial ran."""
        return stays(self.records, self.made)

    @cached_property
    def clock(self) -> Clock:
        """The search's time."""
        return clock_of(self.stays)

    @cached_property
    def varying(self) -> Sequence[str]:
        """The params that differ between searched trials; the model first, if it does."""
        searched = [record for record in self.records if record.name is None and record.params]
        models = {record.params.get("cls") for record in searched}
        return [*(["cls"] if len(models) > 1 else []), *varying_params(self.records)]

    def value(self, row: Row) -> float:
        """Return the mean objective of a ranked row."""
        return row.metrics[self.objective]

    def better(self, one: float, other: float) -> bool:
        """Whether a value is strictly better than another."""
        return is_better(one, other, self.direction)


def gather(folder: Path) -> Material:
    """Read a study's folder, also while it runs.

    Raises
    ------
    StoreError
        If it holds no study.
    """
    stored = read_records(folder)
    running = study_holder(folder) is not None
    return Material(
        folder=folder,
        stored=stored,
        board=rank(stored, running=running),
        study=_study_file(folder),
        points=read_points(folder),
        final=final_of(stored),
        running=running,
    )


def label_of(record: TrialRecord) -> str:
    """Return a trial as a figure names it: a baseline's name, or model, layers and number."""
    return record.name or f"{name_of(record)} #{record.number}"


def name_of(record: TrialRecord) -> str:
    """Return the model of a trial and its layers in short."""
    model = short_name(record.params.get("cls", "?")).removesuffix("Model")
    layers = [
        short(value).removesuffix("TransformerLayers").removesuffix("Layers")
        for key, value in record.params.items()
        if key in {"transformer_layers_type"}
    ]
    words = [model, *(word for word in layers if word and word != model)]
    return " ".join(words)


def so_far(record: TrialRecord, objective: str, direction: Direction) -> float | None:
    """Return what a trial without a result had reached: its best value in the first fold."""
    values = [e.metrics[objective] for e in record.evaluations if e.fold == 0 and objective in e.metrics]
    return best_value(values, direction) if values else None


def _study_file(folder: Path) -> Mapping[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        plain = yaml.load((folder / layout.STUDY_FILE).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both loaders are safe
    except (OSError, ValueError, yaml.YAMLError):  # the store is the truth; the file is for reproducing
        return {}
    return plain if isinstance(plain, dict) else {}
