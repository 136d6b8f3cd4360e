"""Facts about a study for its report: data and folds, settings, commands to run it again, and failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.artifacts import layout
from tuner.formatting import in_shell
from tuner.reporting.report_data import ReportData

__all__ = ["Failures", "FoldFacts", "data_facts", "failures", "fold_facts", "reproduction", "settings"]


#: Clearer names for some settings of folds.
_FOLDS = {
    "size": "size of a fold",
    "n_folds": "folds",
    "holdout": "newest folds held out",
    "seed": "seed of the split",
}


@dataclass(frozen=True)
class Failures:
    """Trials that failed with the same cause: the cause, their numbers, and the log of the first one."""

    cause: str
    numbers: Sequence[int]
    log: str


@dataclass(frozen=True)
class FoldFacts:
    """Table of the folds: headers, and a row for each fold."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def data_facts(report: ReportData) -> list[tuple[str, str]]:
    """Return facts about the data; only the fingerprint if the study recorded no others."""
    data: Mapping[str, Any] = report.stored.description.get("data", {})
    found = [(name, f"{data[name]:,}") for name in ("interactions", "users", "items") if name in data]
    if "start" in data:
        found.append(("dates", f"{data['start']} to {data['end']}"))
    if data.get("duplicates"):
        found.append(("repeated rows", f"{data['duplicates']:,}, {data['dropped']:,} dropped"))
    found += [("note", str(line)) for line in data.get("notes", ())]
    file = report.study.get("data", {})
    if isinstance(file, Mapping) and file.get("interactions"):
        found.insert(0, ("file", str(file["interactions"])))
    if "data" in report.stored.facts:
        found.append(("fingerprint", str(report.stored.facts["data"])))
    for key, value in report.stored.facts.get("data settings", {}).items():
        if value not in (None, [], 1):
            found.append((key.replace("_", " "), _text(value)))
    return found


def fold_facts(report: ReportData) -> FoldFacts:
    """Return the sizes and time borders of the folds; no rows if the study did not record them."""
    described: Sequence[Mapping[str, Any]] = report.stored.description.get("folds", ())
    names = {
        "train": "train interactions",
        "train_users": "train users",
        "train_items": "train items",
        "test": "test interactions",
        "test_users": "test users",
        "test_items": "test items",
    }
    used = [key for key in names if any(key in fold for fold in described)]
    dated = any("start" in fold for fold in described)
    header = ["fold", *(["test days"] if dated else []), *(names[key] for key in used)]
    rows = [
        [
            str(index),
            *([f"{str(fold.get('start'))[:10]} to {str(fold.get('end'))[:10]}"] if dated else []),
            *(f"{fold[key]:,}" if key in fold else "" for key in used),
        ]
        for index, fold in enumerate(described, 1)
    ]
    return FoldFacts(header, rows)


def settings(report: ReportData) -> list[tuple[str, str]]:
    """Return the settings of the folds and of the measurement."""
    facts = report.stored.facts
    found = [("objective", f"{report.objective}, {report.board.direction}")]
    found += [(name, f"{name}, {way}") for name, way in report.board.further.items()]
    folds = {key: value for key, value in facts.get("folds", {}).items() if value is not None}
    if folds.get("split") != "random":
        folds.pop("seed", None)  # only a random split has a seed
    found += [(_FOLDS.get(key, key.replace("_", " ")), _text(value)) for key, value in folds.items()]
    holdout = report.stored.description.get("holdout")
    found += [("holdout is", str(holdout))] if holdout else []
    found += [
        (key, _text(facts[key]))
        for key in ("epochs", "precision", "evaluate users", "devices")
        if key in facts
    ]
    found += [("seed of the search", _text(facts["seed"]))] if "seed" in facts else []
    found += [("constraint", str(text)) for text in facts.get("constraints", ())]
    return found


def reproduction(report: ReportData) -> list[str]:
    """Return the commands that make the study and its report again."""
    pins = " ".join(
        f"{name}=={version.partition('+')[0]}"
        for name, version in report.stored.versions.items()
        if name not in {"python", "processor"}
    )
    again = f"again/{report.folder.resolve().name}"
    return [
        f"pip install path/to/rectools-tuner {pins}".rstrip(),
        f"tuner run {report.folder_shown}/{layout.STUDY_FILE} --output again",
        f"tuner show {in_shell(again)} best",
        f"tuner report {in_shell(again)}",
    ]


def failures(report: ReportData) -> list[Failures]:
    """Return the failed trials, grouped by cause, the most frequent cause first."""
    by_cause: dict[str, list[int]] = {}
    logs: dict[str, str] = {}
    for record in report.records:
        if record.failure is not None:
            by_cause.setdefault(record.failure.cause, []).append(record.number)
            logs.setdefault(record.failure.cause, record.log or "")
    found = [Failures(cause, numbers, logs[cause]) for cause, numbers in by_cause.items()]
    return sorted(found, key=lambda one: -len(one.numbers))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
