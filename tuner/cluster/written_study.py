"""Gives a study that was made in Python a file, so that it can be sent to a cluster like any other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tuner.artifacts import layout
from tuner.config import Study
from tuner.config.data import Data, InMemory
from tuner.config.snapshot import snapshot
from tuner.data.reading.memory import read_object
from tuner.errors import Problem

__all__ = ["written_study"]


@contextmanager
def written_study(study: Study | Path | str) -> Iterator[Path]:
    """Yield the path of a study's file. A study that has none gets one in a temporary folder.

    Raises
    ------
    StudyError
        If the study has a RecTools Dataset, or features in memory.
    """
    if not isinstance(study, Study):
        yield Path(study)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        data = study.data
        if isinstance(data.interactions, InMemory):
            place = folder / "interactions.parquet"
            pq.write_table(_table(study, data), place)
            study = study.model_copy(update={"data": data.model_copy(update={"interactions": str(place)})})
        path = folder / layout.STUDY_FILE
        path.write_text(snapshot(study), encoding="utf-8")
        yield path


def _table(study: Study, data: Data) -> pa.Table:
    """Return the interactions in memory with the columns that the study names."""
    given = data.interactions
    assert isinstance(given, InMemory), "the caller has asked"
    features = [key for key in ("item_features", "user_features") if isinstance(getattr(data, key), InMemory)]
    if features or hasattr(given.table, "get_raw_interactions"):
        where = features[0] if features else "interactions"
        rule = "must be a table or a file to be sent to a cluster, but is an object in memory"
        raise study.refusal([Problem(f"data.{where}", rule, "write it to a file, and name the file")])
    columns = [name for name in data.columns.model_dump().values() if name is not None]
    return pa.table(dict(read_object(given.table, [*columns, *data.extra_columns]).columns))
