"""What there is in a file of interactions, and on this machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from rectools import Columns

from tuner.config import Data
from tuner.data.reading import guessed
from tuner.data.source import Source, load_source, read_table
from tuner.errors import DataError, Problem
from tuner.workflows.init.columns import Guesses, describe_column, guess_columns
from tuner.workflows.init.folds import ProposedFolds, propose_folds

__all__ = ["Look", "look"]

#: Share of interactions that are repeats from which repeating is what users do, and below which it is not.
REPEATS, FEW_REPEATS = 0.05, 0.01


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes
    ----------
    path
        Of the file, as given.
    columns
        A line for each column.
    guesses
        Which of them is what.
    source
        The interactions.
    repeats
        Share of interactions with an item that the user had before.
    folds
        That suit them.
    history
        Interactions of a user: the median, and what nine of ten have at most.
    rare_items
        Items with fewer than 5 interactions.
    cpus, gpus
        Of this machine.
    """

    path: str
    columns: tuple[str, ...]
    guesses: Guesses
    source: Source
    repeats: float
    folds: ProposedFolds
    history: tuple[int, int]
    rare_items: int
    cpus: int
    gpus: int

    @property
    def n_items(self) -> int:
        """Items of the interactions."""
        return int(self.source.interactions[Columns.Item].nunique())

    @property
    def filter_viewed(self) -> bool:
        """Whether only new items are worth recommending."""
        return self.repeats < REPEATS

    @property
    def name(self) -> str:
        """A name for the study, from the file's or its folder's."""
        path = Path(self.path.partition("://")[2] or self.path)
        stem = path.name.partition(".")[0]
        stem = path.resolve().parent.name if stem in {"interactions", "data", "train", "events"} else stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80] or "study"


def look(path: str) -> Look:
    """Look at a file of interactions.

    Raises
    ------
    DataError
        If it cannot be read, or cannot be interactions, with what was found in it.
    """
    read = read_table(path, "DATA")
    table = pd.DataFrame(
        {name: guessed(column, written=read.written) for name, column in read.columns.items()}
    )
    guesses = guess_columns(table, path)
    columns = tuple(describe_column(table[name]) for name in table.columns)
    named = {role: getattr(guesses, role).column for role in ("user", "item", "datetime")}
    section = Data.model_validate({"interactions": path, "columns": named, "datetime": guesses.kind})
    try:
        source = load_source(section)
    except DataError as error:
        hint = "the columns: " + "; ".join(columns)
        raise DataError(path, [*error.problems, Problem("", "must be interactions", hint)]) from error
    frame = source.interactions
    repeats = float(frame.duplicated([Columns.User, Columns.Item]).mean())
    counts = frame[Columns.User].value_counts()
    return Look(
        path=path,
        columns=columns,
        guesses=guesses,
        source=source,
        repeats=repeats,
        folds=propose_folds(frame, filter_viewed=repeats < REPEATS),
        history=(int(counts.median()), int(counts.quantile(0.9))),
        rare_items=int((frame[Columns.Item].value_counts() < 5).sum()),  # noqa: PLR2004  # as Look says
        cpus=os.cpu_count() or 1,
        gpus=torch.cuda.device_count(),
    )
