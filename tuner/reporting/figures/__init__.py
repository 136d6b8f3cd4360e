"""The figures of a study in the order of the report. Each is a function of the report's data.

figure      the record of a figure, and the style of charts
palette     colours, for light and dark backgrounds
ticks       ranges and round values of axes
"""

from __future__ import annotations

from collections.abc import Callable

from tuner.reporting.figures.cost import compute, timeline
from tuner.reporting.figures.curves import curves
from tuner.reporting.figures.figure import Figure
from tuner.reporting.figures.folds import folds
from tuner.reporting.figures.history import history_by_time, history_by_trial
from tuner.reporting.figures.importances import importances
from tuner.reporting.figures.judged import judged
from tuner.reporting.figures.parallel import parallel
from tuner.reporting.figures.slices import numbers, slices
from tuner.reporting.figures.tradeoff import front, tradeoff
from tuner.reporting.report_data import ReportData

__all__ = ["SECTIONS", "draw_all"]

Draw = Callable[[ReportData], "Figure | None"]

#: Sections of the page with figures: (anchor, title, figures).
SECTIONS: tuple[tuple[str, str, tuple[Draw, ...]], ...] = (
    ("holdout", "On the holdout", (judged,)),
    ("folds", "Across folds", (folds,)),
    ("search", "How the search went", (history_by_trial, history_by_time, curves)),
    ("params", "What mattered", (importances, slices, numbers, parallel)),
    ("tradeoffs", "Trade-offs", (tradeoff, front)),
    ("cost", "Where time went", (compute, timeline)),
)


def draw_all(report: ReportData) -> dict[str, list[Figure]]:
    """Return the figures by section, without the figures for which the study has no data."""
    return {
        anchor: [figure for draw in draws if (figure := draw(report)) is not None]
        for anchor, _, draws in SECTIONS
    }
