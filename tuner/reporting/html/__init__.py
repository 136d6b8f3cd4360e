"""The report of a study: a function of its store, written as one HTML file and as Markdown.

    answer                      which model is best, against which baseline, how certain
    table                       the leaderboard
    facts                       data, folds, versions, failures
    explorer                    data of the page's script
    charts                      the figures in the colours of the page
    vega                        the JavaScript that draws the figures
    page, markdown, files       the formats
    templates/                  HTML, style and script of the page

The figures are those of `tuner.reporting.figures`. The page loads nothing from a network, and its content
security policy forbids it to. Names that users chose are text: Jinja2 and `markdown` escape them, charts get
them as data, and JSON within the page has no character that HTML would read.
"""

from __future__ import annotations

from tuner.reporting.html.files import write_figures
from tuner.reporting.html.markdown import markdown
from tuner.reporting.html.page import page
from tuner.reporting.report_data import ReportData, gather

__all__ = ["ReportData", "gather", "markdown", "page", "write_figures"]
