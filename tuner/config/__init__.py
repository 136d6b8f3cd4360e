"""The study file: what it may say, and how it is read."""

from tuner.config.data import Data, Format
from tuner.config.folds import Folds
from tuner.config.load import load_study, study_from_mapping
from tuner.config.metrics import Metric, Metrics
from tuner.config.search import Baseline, Plateau, Sampler, Search, SpaceSection
from tuner.config.stopping import FinalJudgement, Halving, Race, Stopping
from tuner.config.study import Study
from tuner.config.training import Fast, Precision, Resources, Training

__all__ = [
    "Baseline",
    "Data",
    "Fast",
    "FinalJudgement",
    "Folds",
    "Format",
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
