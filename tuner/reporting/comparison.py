"""`tuner compare`: compares studies that measured in the same way, from their stores and per-user values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.errors import Problem, StoreError
from tuner.formatting import aligned, duration, number, visible
from tuner.reporting.leaderboard import Leaderboard, Row, rank
from tuner.reporting.paired import compare_on_users
from tuner.reporting.study_differences import MEASURE, differences, plain_text
from tuner.store import read_records
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Usage
from tuner.trials.paired import Paired
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, TrialRecord

__all__ = ["Compared", "Comparison", "Shared", "compare"]


@dataclass(frozen=True)
class Compared:
    """One of the studies to compare.

    Attributes
    ----------
    name
        Folder of the study, as the user gave it.
    folder
        The same folder as a path.
    stored, board
        Records and leaderboard of the study.
    """

    name: str
    folder: Path
    stored: StoredStudy
    board: Leaderboard

    @property
    def usage(self) -> Usage:
        """Resource usage of all trials."""
        return sum((record.usage for record in self.stored.records), Usage())


@dataclass(frozen=True)
class Shared:
    """Complete trials of the same params in all studies.

    Attributes
    ----------
    label
        Label of the first study's trial.
    records
        One trial of each study.
    """

    label: str
    records: tuple[TrialRecord, ...]

    @property
    def means(self) -> list[float]:
        """The objective in each study."""
        return [record.summary.mean for record in self.records if record.summary is not None]


@dataclass(frozen=True)
class Comparison:
    """Studies that can be compared. As text it is what `tuner compare` prints.

    Attributes
    ----------
    studies
        The studies, each with its records and its leaderboard.
    """

    studies: tuple[Compared, ...]

    def __str__(self) -> str:
        return draw_comparison(self.studies)

    __repr__ = __str__


def compare(folders: Sequence[Path]) -> list[Compared]:
    """Read the studies to compare.

    Raises
    ------
    StoreError
        If a study cannot be read, or measured in another way than the first. The message has all differences.
    """
    read = [(str(folder), folder, read_records(folder, curves=False)) for folder in folders]
    studies = [Compared(name, folder, stored, rank(stored, running=False)) for name, folder, stored in read]
    first = studies[0]
    problems = [
        Problem(
            f"{study.name}, {key}",
            f"must be as in {first.name}, {first.stored.facts.get(key)!r}, "
            f"but is {study.stored.facts.get(key)!r}",
        )
        for study in studies[1:]
        for key in MEASURE
        if study.stored.facts.get(key) != first.stored.facts.get(key)
    ]
    if problems:
        raise StoreError("studies that measured in different ways cannot be compared", problems)
    return studies


def shared_trials(studies: Sequence[Compared]) -> list[Shared]:
    """Return complete trials whose params occur in all studies, in the order of the first leaderboard."""
    by_params = [
        {plain_text(dict(row.record.params)): row.record for row in reversed(study.board.rows) if row.metrics}
        for study in studies
    ]
    keys = [plain_text(dict(row.record.params)) for row in studies[0].board.rows if row.metrics]
    return [
        Shared(by_params[0][key].label, tuple(one[key] for one in by_params))
        for key in dict.fromkeys(keys)
        if all(key in one for one in by_params)
    ]


def draw_comparison(studies: Sequence[Compared]) -> str:
    """Return the comparison of studies as text."""
    board = studies[0].board
    differs = list(differences([(study.folder, study.stored) for study in studies]))
    parts = [
        f"{len(studies)} studies on the same data and folds, by {board.objective} ({board.direction})",
        _spent(studies),
        *(["they differ in\n" + "\n".join(f"  {line}" for line in differs)] if differs else []),
        *_bests(studies),
        *_side_by_side(studies),
    ]
    return visible("\n\n".join(parts))


#: Statuses with a column of their own.
_SHOWN = (TrialStatus.COMPLETE, TrialStatus.STOPPED, TrialStatus.FAILED)


def _spent(studies: Sequence[Compared]) -> str:
    header = ["study", "trials", "complete", "stopped", "failed", "CPU", "GPU"]
    rows = []
    for study in studies:
        states = Counter(r.status for r in study.stored.records if r.status.is_trained)
        usage = study.usage
        counts = [states.total(), *(states[one] for one in _SHOWN)]
        gpu = duration(usage.gpu_seconds) if usage.gpu_seconds else ""
        rows.append([study.name, *map(str, counts), duration(usage.cpu_seconds), gpu])
    return aligned(header, rows, text=("study",))


def _bests(studies: Sequence[Compared]) -> Iterator[str]:
    """Yield tables of the best trials: of all, and of the search if a baseline is best in some study."""
    yield _best("best of", studies, [study.board.best for study in studies])
    searched = [study.board.best_searched for study in studies]
    if any(row is not study.board.best for row, study in zip(searched, studies, strict=True)):
        yield _best("best of the search of", studies, searched)


def _best(title: str, studies: Sequence[Compared], best: Sequence[Row | None]) -> str:
    header = [title, "trial", "model", "mean", "std", "minus the first, by user"]
    rows: list[list[str]] = []
    first = best[0]
    for study, row in zip(studies, best, strict=True):
        if row is None or row.record.summary is None:
            rows.append([study.name, "", "no complete trial", "", "", ""])
            continue
        summary = row.record.summary
        difference = ""
        if row is not first and first is not None:
            paired = compare_on_users(study.folder, row.record, first.record, studies[0].folder)
            difference = _difference_text(paired, study.board.direction)
        shown = [str(row.record.number), row.record.label, number(summary.mean), number(summary.deviation)]
        rows.append([study.name, *shown, difference])
    return aligned(header, rows, text=(title, "model"))


def _difference_text(paired: Paired | None, direction: Direction) -> str:
    if paired is None:
        return "no per-user values"
    verdict = {True: "better", False: "worse", None: "cannot be distinguished"}[paired.better(direction)]
    low, high = paired.bounds()
    return f"{paired.difference:+.4f} ({low:+.4f} to {high:+.4f}, {paired.n_users:,} pairs), {verdict}"


def _side_by_side(studies: Sequence[Compared]) -> Iterator[str]:
    """Yield tables of the baselines, and of other trials whose params occur in all studies."""
    names = [study.name for study in studies]
    baselines = [_baselines(study) for study in studies]
    labels = list(dict.fromkeys(label for one in baselines for label in one))
    if labels:
        rows = [[label, *(number(one.get(label)) for one in baselines)] for label in labels]
        yield aligned(["baseline", *names], rows, text=("baseline",))
    shared = shared_trials(studies)
    equal = sum(len(set(one.means)) == 1 for one in shared)
    yield f"{len(shared)} complete trials have the same params in all studies (with equal values: {equal})"
    others = [one for one in shared if all(record.name is None for record in one.records)]
    if others:
        rows = [[_numbers(one), one.label, *(number(mean) for mean in one.means)] for one in others]
        yield aligned(["trials", "model", *names], rows, text=("trials", "model"))


def _baselines(study: Compared) -> dict[str, Any]:
    return {
        row.record.label: row.record.summary.mean
        for row in study.board.rows
        if row.record.name is not None and row.record.summary is not None
    }


def _numbers(shared: Shared) -> str:
    return ", ".join(str(record.number) for record in shared.records)
