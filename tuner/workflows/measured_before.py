"""Compares the metrics of a study with those that its trials were measured by so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tuner.artifacts import layout
from tuner.config import Metric, Metrics, Study
from tuner.config.yaml_text import YamlError, parse, read_text
from tuner.errors import Problem, StoreError, StudyError
from tuner.store.hints import start_anew

__all__ = ["changes_of_metrics"]


def changes_of_metrics(study: Study, folder: Path) -> list[str]:
    """Return lines about metrics that the study has gained or lost since its last run.

    Raises
    ------
    StoreError
        If values of one name would be measured in two ways: by another reference or with other options.
    """
    before, now = _stored(folder), study.metrics
    if before is None:
        return []
    old, new = _by_label(before), _by_label(now)
    problems = list(_differences(before, now, old, new))
    if problems:
        problems[-1] = Problem(problems[-1].where, problems[-1].rule, start_anew())
        raise StoreError(str(folder), problems)
    changes = (("gains", new.keys() - old.keys()), ("loses", old.keys() - new.keys()))
    text = ", ".join(f"{verb} {' and '.join(sorted(labels))}" for verb, labels in changes if labels)
    return [f"metrics.report: {text}; earlier trials keep their values"] if text else []


def _stored(folder: Path) -> Metrics | None:
    """Return the metrics of the last run; None if there was none, or it was by a version with other keys."""
    with suppress(YamlError, StudyError, OSError, KeyError, TypeError):
        return Metrics(**parse(read_text(folder / layout.STUDY_FILE)).plain["metrics"])
    return None


def _by_label(metrics: Metrics) -> dict[str, Metric]:
    return {one.label: one for one in (metrics.objective, *metrics.report)}


def _differences(
    before: Metrics, now: Metrics, old: dict[str, Metric], new: dict[str, Metric]
) -> Iterator[Problem]:
    both = [label for label in new if label in old]
    compared = [label for label in both if new[label].needs_reference]
    if compared and before.reference != now.reference:
        rule = (
            f"must stay as it was for {', '.join(compared)}: {before.reference!r}, but got {now.reference!r}"
        )
        yield Problem("metrics.reference", rule)
    for label in both:
        if old[label] != new[label] and label != now.objective.label:
            rule = f"must stay as it was: {old[label].plain()!r}, but got {new[label].plain()!r}"
            yield Problem("metrics.report", rule)
