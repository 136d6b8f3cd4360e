"""The report of a study: a function of its store, written as one HTML file, as Markdown, and as figures.

    report_data                 the data of a report, read once
    answer                      which model is best, against which baseline, how certain
    table                       the leaderboard
    figures/                    a module for each figure: report data -> SVG
    svg, scales, palette        marks, axes and colours of the figures
    facts                       data, folds, versions, failures
    explorer                    data for the page's script
    page, markdown, export      the formats
    templates/                  HTML, style and script of the page

The page loads nothing from a network, and its content security policy forbids it to. Names that users chose
are escaped where they are written: by Jinja2 in the page, by `svg.Canvas` in figures, by `markdown` in
Markdown.
"""

from __future__ import annotations

from tuner.reporting.html.files import write_figures
from tuner.reporting.html.markdown import markdown
from tuner.reporting.html.page import page
from tuner.reporting.report_data import ReportData, gather

__all__ = ["ReportData", "gather", "markdown", "page", "write_figures"]
