"""The study file: what it may say, and how it is read."""

from tuner.config.load import load_study, study_from_mapping
from tuner.config.metric import Metric
from tuner.config.study import (
    Baseline,
    Data,
    Fast,
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
    "Fast",
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
