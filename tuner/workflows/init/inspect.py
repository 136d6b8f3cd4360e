"""Inspects a file of interactions and this machine, for the proposal of a study."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from rectools import Columns

from tuner.config import Data
from tuner.data.plausible import refuse_one_item
from tuner.data.reading import guessed
from tuner.data.source import Source, load_source, read_table
from tuner.workflows.init.columns import Guesses, describe_column, guess_columns, time_of_day
from tuner.workflows.init.dialect import GuessedDialect, guess_dialect
from tuner.workflows.init.folds import ProposedFolds, propose_folds

__all__ = ["Inspection", "inspect_file"]

#: Share of repeated interactions above which users are taken to repeat, and below which there is no doubt
#: that they do not.
REPEATS, FEW_REPEATS = 0.05, 0.01


@dataclass(frozen=True)
class Inspection:
    """Properties of a file of interactions and of this machine.

    Attributes
    ----------
    path
        Path of the file, as given.
    columns
        Description of each column.
    guesses
        Roles of the columns.
    written
        How the text of the file is written.
    source
        The interactions.
    repeats
        Share of interactions whose user had an earlier interaction with the same item.
    same_time
        Share of interactions whose user had another one at the same time.
    clock
        Column with the time of day, where the time is a date alone; None for none.
    folds
        Proposed folds.
    history
        Number of interactions of a user: the median, and the 90 % quantile.
    rare_items
        Number of items with fewer than 5 interactions.
    cpus, gpus
        Number of CPUs and GPUs of this machine.
    """

    path: str
    columns: tuple[str, ...]
    guesses: Guesses
    written: GuessedDialect
    source: Source
    repeats: float
    same_time: float
    clock: str | None
    folds: ProposedFolds
    history: tuple[int, int]
    rare_items: int
    cpus: int
    gpus: int

    @property
    def n_items(self) -> int:
        """Number of items in the interactions."""
        return int(self.source.interactions[Columns.Item].nunique())

    @property
    def filter_viewed(self) -> bool:
        """Whether to recommend only items that are new to the user."""
        return self.repeats < REPEATS

    @property
    def name(self) -> str:
        """Name for the study, made from the name of the file or of its folder."""
        path = Path(self.path.partition("://")[2] or self.path)
        stem = path.name.partition(".")[0]
        stem = path.resolve().parent.name if stem in {"interactions", "data", "train", "events"} else stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80] or "study"


def inspect_file(path: str) -> Inspection:
    """Inspect a file of interactions.

    Raises
    ------
    DataError
        If the file cannot be read, or its columns cannot be interactions. The message describes the columns.
    """
    written = guess_dialect(path)
    read = read_table(path, "DATA", written.dialect)
    table = pd.DataFrame(
        {name: guessed(column, written=read.written) for name, column in read.columns.items()}
    )
    guesses = guess_columns(table, path)
    columns = tuple(describe_column(table[name]) for name in table.columns)
    named = {role: getattr(guesses, role).column for role in ("user", "item", "datetime")}
    section = Data.model_validate(
        {"interactions": path, "format": written.settings, "columns": named, "datetime": guesses.kind}
    )
    source = load_source(section)
    refuse_one_item(source.coded, section)
    frame = source.interactions
    repeats = float(frame.duplicated([Columns.User, Columns.Item]).mean())
    counts = frame[Columns.User].value_counts()
    return Inspection(
        path=path,
        columns=columns,
        guesses=guesses,
        written=written,
        source=source,
        repeats=repeats,
        same_time=float(frame.duplicated([Columns.User, Columns.Datetime], keep=False).mean()),
        clock=time_of_day(table) if _are_days(frame) else None,
        folds=propose_folds(frame, filter_viewed=repeats < REPEATS),
        history=(int(counts.median()), int(counts.quantile(0.9))),
        rare_items=int((frame[Columns.Item].value_counts() < 5).sum()),  # noqa: PLR2004  # see `Inspection`
        cpus=os.cpu_count() or 1,
        gpus=torch.cuda.device_count(),
    )


def _are_days(frame: pd.DataFrame) -> bool:
    times = frame[Columns.Datetime]
    return bool((times == times.dt.normalize()).all())
