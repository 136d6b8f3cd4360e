"""What the study is: its data and folds, versions, how to run it again, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.artifacts import layout
from tuner.reporting.html.material import Material

__all__ = ["Failures", "FoldFacts", "data_facts", "failures", "fold_facts", "reproduction", "settings"]


#: Settings of folds whose names alone would say too little.
_FOLDS = {
    "size": "size of a fold",
    "n_folds": "folds",
    "holdout": "newest folds held out",
    "seed": "seed of the split",
}


@dataclass(frozen=True)
class Failures:
    """Trials that failed in one way: why, and which."""

    cause: str
    numbers: Sequence[int]
    log: str


@dataclass(frozen=True)
class FoldFacts:
    """Sizes of the folds: headers, and a row for each."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def data_facts(material: Material) -> list[tuple[str, str]]:
    """Return what the data are; of a study that does not say, its fingerprint alone."""
    data: Mapping[str, Any] = material.stored.description.get("data", {})
    found = [(name, f"{data[name]:,}") for name in ("interactions", "users", "items") if name in data]
    if "start" in data:
        found.append(("dates", f"{data['start']} to {data['end']}"))
    if data.get("duplicates"):
        found.append(("repeated rows", f"{data['duplicates']:,}, {data['dropped']:,} dropped"))
    file = material.study.get("data", {})
    if isinstance(file, Mapping) and file.get("interactions"):
        found.insert(0, ("file", str(file["interactions"])))
    if "data" in material.stored.facts:
        found.append(("fingerprint", str(material.stored.facts["data"])))
    for key, value in material.stored.facts.get("data settings", {}).items():
        if value not in (None, [], 1):
            found.append((key.replace("_", " "), _text(value)))
    return found


def fold_facts(material: Material) -> FoldFacts:
    """Return the sizes and borders of the folds; no rows in a study that does not say."""
    described: Sequence[Mapping[str, Any]] = material.stored.description.get("folds", ())
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


def settings(material: Material) -> list[tuple[str, str]]:
    """Return how folds were made and what was measured."""
    facts = material.stored.facts
    found = [("objective", f"{material.objective}, {material.board.direction}")]
    found += [(name, f"{name}, {way}") for name, way in material.board.further.items()]
    folds = {key: value for key, value in facts.get("folds", {}).items() if value is not None}
    if folds.get("split") != "random":
        folds.pop("seed", None)  # of a random split alone
    found += [(_FOLDS.get(key, key.replace("_", " ")), _text(value)) for key, value in folds.items()]
    holdout = material.stored.description.get("holdout")
    found += [("holdout is", str(holdout))] if holdout else []
    found += [(key, _text(facts[key])) for key in ("epochs", "precision") if key in facts]
    found += [("seed of the search", _text(facts["seed"]))] if "seed" in facts else []
    found += [("constraint", str(text)) for text in facts.get("constraints", ())]
    return found


def reproduction(material: Material) -> list[str]:
    """Return the commands that make this again."""
    pins = " ".join(
        f"{name}=={version.partition('+')[0]}"
        for name, version in material.stored.versions.items()
        if name not in {"python", "processor"}
    )
    commands = [f"pip install {pins}"] if pins else []
    commands += [
        f"tuner run {material.folder_shown}/{layout.STUDY_FILE}",
        f"tuner show {material.folder_shown} best",
        f"tuner report {material.folder_shown}",
    ]
    return commands


def failures(material: Material) -> list[Failures]:
    """Return the trials that failed, those of one cause together, the most frequent first."""
    by_cause: dict[str, list[int]] = {}
    logs: dict[str, str] = {}
    for record in material.records:
        if record.failure is not None:
            by_cause.setdefault(record.failure.cause, []).append(record.number)
            logs.setdefault(record.failure.cause, record.log or "")
    found = [Failures(cause, numbers, logs[cause]) for cause, numbers in by_cause.items()]
    return sorted(found, key=lambda one: -len(one.numbers))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
