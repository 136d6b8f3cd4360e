"""The data of a report: reads the study once, and computes values that several parts of the report need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tuner.formatting import in_shell, short
from tuner.holdout import Final
from tuner.holdout.read import final_of
from tuner.reporting.clock import Clock, Stay, clock_of, stays
from tuner.reporting.distinguish import varying_params
from tuner.reporting.leaderboard import Leaderboard, Row, rank
from tuner.reporting.study_differences import study_file
from tuner.space.class_names import short_name
from tuner.store import read_points, read_records, study_holder
from tuner.trials.objective import Direction, best_value, is_better
from tuner.trials.stored import StoredStudy, TrialRecord

__all__ = ["ReportData", "gather", "label_of", "name_of", "so_far"]


@dataclass(frozen=True, eq=False)
class ReportData:
    """All data of a study that its report shows.

    Attributes
    ----------
    folder
        Folder of the study.
    stored, board
        Records and leaderboard of the study.
    study
        Content of the study file as it was first run; empty if the file cannot be read.
    points
        Optuna's params and distributions of each trial, by number.
    final
        The final judgement, None if there is none.
    running
        Whether a driver runs the study at the time of reading.
    made
        Local time at which the study was read.
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
        """The last two parts of the folder's path, quoted for a shell."""
        return in_shell("/".join(self.folder.resolve().parts[-2:]))

    @property
    def objective(self) -> str:
        """Label of the objective."""
        return self.board.objective

    @property
    def direction(self) -> Direction:
        """Which values of the objective are better."""
        return self.board.direction

    @cached_property
    def records(self) -> Sequence[TrialRecord]:
        """All trials and baselines by number, without infeasible, duplicate and imported ones."""
        records = self.stored.records
        return [record for record in records if record.status.is_trained and record.excluded is None]

    @cached_property
    def done(self) -> Sequence[Row]:
        """The ranked rows, best first."""
        return [row for row in self.board.rows if row.rank is not None]

    @property
    def yet(self) -> str:
        """The word `` yet`` while a driver runs the study; else nothing, because nothing will change."""
        return " yet" if self.running else ""

    @property
    def best(self) -> Row | None:
        """The best row that satisfies all constraints, either a trial or a baseline."""
        return self.board.best

    @property
    def best_searched(self) -> Row | None:
        """The best row of the search (no baseline) that satisfies all constraints."""
        return self.board.best_searched

    @property
    def best_baseline(self) -> Row | None:
        """The best baseline."""
        return self.board.best_baseline

    @cached_property
    def _rows(self) -> Mapping[int, Row]:
        return {row.record.number: row for row in self.board.rows}

    def row(self, number: int) -> Row:
        """Return the leaderboard's row of a trial."""
        return self._rows[number]

    @cached_property
    def stays(self) -> Sequence[Stay]:
        """When and where each trial ran."""
        return stays(self.records, self.made, running=self.running)

    @cached_property
    def clock(self) -> Clock:
        """Clock of the search."""
        return clock_of(self.stays)

    @cached_property
    def varying(self) -> Sequence[str]:
        """The params that differ between searched trials. If the model differs, it is the first."""
        searched = [record for record in self.records if record.name is None and record.params]
        models = {record.params.get("cls") for record in searched}
        return [*(["cls"] if len(models) > 1 else []), *varying_params(self.records)]

    def value(self, row: Row) -> float:
        """Return the mean objective of a ranked row."""
        return row.metrics[self.objective]

    def better(self, one: float, other: float) -> bool:
        """Whether a value is strictly better than another."""
        return is_better(one, other, self.direction)


def gather(folder: Path) -> ReportData:
    """Read a study's folder. A driver may run the study at the same time.

    Raises
    ------
    StoreError
        If the folder holds no study.
    """
    stored = read_records(folder)
    running = study_holder(folder) is not None
    return ReportData(
        folder=folder,
        stored=stored,
        board=rank(stored, running=running),
        study=study_file(folder),
        points=read_points(folder),
        final=final_of(stored),
        running=running,
    )


def label_of(record: TrialRecord) -> str:
    """Return the name of a trial in figures: a baseline's name, or model, layers and number."""
    return record.name or f"{name_of(record)} #{record.number}"


def name_of(record: TrialRecord) -> str:
    """Return the short names of a trial's model and layers."""
    model = short_name(record.params.get("cls", "?")).removesuffix("Model")
    layers = [
        short(value).removesuffix("TransformerLayers").removesuffix("Layers")
        for key, value in record.params.items()
        if key in {"transformer_layers_type"}
    ]
    return " ".join([model, *(name for name in layers if name and name != model)])


def so_far(record: TrialRecord, objective: str, direction: Direction) -> float | None:
    """Return the best value of a trial in the first fold, None if it has none.

    For trials without a result.
    """
    values = [e.metrics[objective] for e in record.evaluations if e.fold == 0 and objective in e.metrics]
    return best_value(values, direction) if values else None
