"""The study file: what it may say, and how it is read."""

from tuner.spec.load import load_study, study_from_mapping
from tuner.spec.metrics import Metric
from tuner.spec.models import (
    Baseline,
    Data,
    FinalJudgement,
    Folds,
    Halving,
    Metrics,
    Plateau,
    Precision,
    Race,
    Resources,
    Sampler,
    Search,
    SpaceSection,
    Stopping,
    Study,
    Training,
)

__all__ = [
    "Baseline",
    "Data",
    "FinalJudgement",
    "Folds",
    "Halving",
    "Metric",
    "Metrics",
    "Plateau",
    "Precision",
    "Race",
    "Resources",
    "Sampler",
    "Search",
    "SpaceSection",
    "Stopping",
    "Study",
    "Training",
    "load_study",
    "study_from_mapping",
]
