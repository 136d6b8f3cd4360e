"""`tuner list`: all studies of a folder, each with its state, its best trial, and when it last changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuner.artifacts import layout
from tuner.errors import Problem, StoreError
from tuner.errors.caller import hint, path_given
from tuner.formatting import aligned, number
from tuner.reporting.leaderboard import Leaderboard, Row, rank
from tuner.store import read_records, store_exists, study_drivers
from tuner.trials.schema import pending_requests
from tuner.trials.stored import StoredStudy

__all__ = ["StudyLine", "list_studies", "studies_table"]


@dataclass(frozen=True)
class StudyLine:
    """One study of a folder.

    Attributes
    ----------
    folder
        Folder of the study.
    state
        ``running``, ``unfinished`` (no driver runs it, and some trials have not ended), ``ended``, or
        ``unreadable``.
    detail
        Who runs the study, how many requests wait, or why it cannot be read.
    ended, trials
        Number of trials that have ended, and of all trials.
    best
        The best trial, None if there is none.
    objective
        Name of the objective; empty if the study cannot be read.
    changed
        Last start or end of a trial, in local time; None if no trial has begun.
    """

    folder: Path
    state: str
    detail: str = ""
    ended: int = 0
    trials: int = 0
    best: Row | None = None
    objective: str = ""
    changed: datetime | None = None

    def __str__(self) -> str:
        summary = self.best.record.summary if self.best else None
        best = f", best {number(summary.mean)} {self.objective}" if summary else ""
        return f"{self.folder.name}: {self.state}, {self.ended} of {self.trials} trials have ended{best}"

    __repr__ = __str__


def list_studies(folder: Path | str = layout.DEFAULT_OUTPUT) -> list[StudyLine]:
    """Return the studies of a folder by name. A study may be running.

    Parameters
    ----------
    folder
        Folder that has the folders of studies, or the folder of one study.

    Raises
    ------
    StoreError
        If there is no such folder.
    """
    folder = path_given(folder, "list_studies", "folder")
    if not folder.is_dir():
        cure = hint(command="`tuner run` makes it", python="run(study) makes it")
        raise StoreError(str(folder), [Problem("", "must be a folder with studies, but there is none", cure)])
    found = [folder] if store_exists(folder) else sorted(folder.iterdir())
    return [_line(one) for one in found if one.is_dir() and _may_be_study(one)]


def _may_be_study(folder: Path) -> bool:
    try:
        return store_exists(folder)
    except (StoreError, OSError):  # its study.yaml or the folder cannot be read
        return True


def _line(folder: Path) -> StudyLine:
    try:
        drivers, stored = study_drivers(folder), read_records(folder, curves=False)
        board = rank(stored, running=bool(drivers), drivers=drivers)
    except StoreError as error:
        return StudyLine(folder, "unreadable", error.problems[0].rule)
    except OSError as error:  # such as another user's study
        return StudyLine(folder, "unreadable", error.strerror or str(error))
    except KeyError:  # the study was killed before its facts were written
        return StudyLine(folder, "unreadable", "it has no facts yet")
    ended = sum(row.status.has_ended for row in board.rows)
    has_ended = ended == len(board.rows) > 0  # a study without a trial was refused or killed before the first
    state = "running" if drivers else "ended" if has_ended else "unfinished"
    times = [time for one in stored.records for time in (one.started, one.ended) if time is not None]
    return StudyLine(
        folder,
        state,
        _detail(board, stored),
        ended,
        len(board.rows),
        board.best,
        board.objective,
        max(times, default=None),
    )


def _detail(board: Leaderboard, stored: StoredStudy) -> str:
    waiting = len(pending_requests(stored.attributes))
    requests = f"{waiting} request{'s' * (waiting > 1)} wait{'s' * (waiting == 1)}" if waiting else ""
    return "; ".join(text for text in (*(driver.words for driver in board.drivers), requests) if text)


def studies_table(lines: list[StudyLine]) -> str:
    """Return studies as a table for people."""
    header = ["study", "state", "ended", "best", "trial", "objective", "changed", ""]
    rows = [
        [
            line.folder.name,
            line.state,
            f"{line.ended}/{line.trials}",
            number(line.best.record.summary.mean) if line.best and line.best.record.summary else "",
            f"{line.best.record.number} {line.best.record.label}" if line.best else "",
            line.objective,
            f"{line.changed:%Y-%m-%d %H:%M}" if line.changed else "",
            line.detail,
        ]
        for line in lines
    ]
    return aligned(header, rows, text=("study", "state", "trial", "objective", "changed", ""))
