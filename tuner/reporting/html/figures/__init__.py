"""The figures of the report in the order of the page. Each figure is a pure function of the report's data."""

from __future__ import annotations

from collections.abc import Callable

from tuner.reporting.html.figures.cost import compute, timeline
from tuner.reporting.html.figures.curves import curves
from tuner.reporting.html.figures.folds import folds
from tuner.reporting.html.figures.history import history_by_time, history_by_trial
from tuner.reporting.html.figures.importances import importances
from tuner.reporting.html.figures.judged import judged
from tuner.reporting.html.figures.parallel import parallel
from tuner.reporting.html.figures.slices import numbers, slices
from tuner.reporting.html.figures.tradeoff import front, tradeoff
from tuner.reporting.html.report_data import ReportData
from tuner.reporting.html.svg import Figure

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
