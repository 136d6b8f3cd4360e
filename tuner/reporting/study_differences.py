"""What differs between studies: facts of their stores, settings of their files, and their baselines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tuner.artifacts import layout
from tuner.store.space_migration import SPACE_FACT
from tuner.trials.stored import StoredStudy

__all__ = ["MEASURE", "differences", "plain_text", "study_file"]

#: Facts that must be equal, because otherwise values of two studies are not comparable.
MEASURE = ("data", "data settings", "folds", "objective", "objective options", "direction")

#: Sections of the study file that the facts of the store cover, or that change no result.
_COVERED = ("study", "data", "folds", "space", "baselines", "storage", "artifacts", "share", "metrics")
#: Settings of the study file that are facts as well.
_FACTS = ("training.epochs", "training.precision", "search.seed", "search.constraints")


def study_file(folder: Path) -> Mapping[str, Any]:
    """Return the content of a study's file as it was last run; empty if the file cannot be read."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        plain = yaml.load((folder / layout.STUDY_FILE).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both loaders are safe
    except (OSError, ValueError, yaml.YAMLError):  # the store is enough; the file adds details
        return {}
    return plain if isinstance(plain, dict) else {}


def differences(studies: Sequence[tuple[Path, StoredStudy]]) -> Iterator[str]:
    """Yield a line for everything that differs between studies: facts, settings, baselines, params.

    Parameters
    ----------
    studies
        Folder and records of each study. Their facts in `MEASURE` are equal.
    """
    facts = [stored.facts for _, stored in studies]
    differing = [key for key in _different(facts) if key not in MEASURE]
    for key in differing:
        if not key.startswith(SPACE_FACT):
            yield _line(key, [one.get(key) for one in facts])
    settings = [_settings(folder) for folder, _ in studies]
    if all(settings):
        for key in _different(settings):
            yield _line(key, [one.get(key) for one in settings])
    baselines = [sorted({r.name for r in stored.records if r.name is not None}) for _, stored in studies]
    if len({tuple(names) for names in baselines}) > 1:
        yield "baselines: " + " | ".join(" ".join(names) or "none" for names in baselines)
    names = [key.removeprefix(SPACE_FACT) for key in differing if key.startswith(SPACE_FACT)]
    if names:
        yield "space: " + ", ".join(names)


def _different(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ."""
    keys = dict.fromkeys(key for one in mappings for key in one)
    return [key for key in keys if len({plain_text(one.get(key)) for one in mappings}) > 1]


def _settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a study's file, flat, as far as the facts do not cover them."""
    sections = {key: value for key, value in study_file(folder).items() if key not in _COVERED}
    flat = dict(_flat(sections, ""))
    return {key: value for key, value in flat.items() if key not in _FACTS}


def _flat(plain: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _line(key: str, values: Sequence[object]) -> str:
    return f"{key}: " + ", ".join("none" if value is None else plain_text(value) for value in values)


def plain_text(value: object) -> str:
    """Return JSON types as text; equal values have equal texts."""
    return json.dumps(value, sort_keys=True)
