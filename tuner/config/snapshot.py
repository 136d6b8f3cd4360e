"""The snapshot of a study: its file as text, with overrides applied, which is kept with the results."""

from __future__ import annotations

import yaml

from tuner.config.metrics import Metrics
from tuner.config.search import SpaceSection
from tuner.config.study import Study
from tuner.space import space_to_plain

__all__ = ["snapshot"]


def snapshot(study: Study) -> str:
    """Return a study as YAML that `load_study` reads back."""
    plain = study.model_dump(mode="json", exclude={"space", "metrics"})
    plain["metrics"] = _metrics(study.metrics)
    space = study.space
    section = space if isinstance(space, SpaceSection) else SpaceSection(set=space_to_plain(space))
    plain["space"] = section.model_dump(mode="json")
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _metrics(metrics: Metrics) -> dict[str, object]:
    """Return the section in which each metric has the spelling of a study file."""
    return {
        "objective": metrics.objective.plain(),
        "direction": metrics.direction,
        "report": [metric.plain() for metric in metrics.report],
        "further_objectives": metrics.further_objectives,
        "prefer": list(metrics.prefer),
        "reference": metrics.reference,
    }
