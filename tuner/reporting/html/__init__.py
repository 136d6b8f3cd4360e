"""The report of a study: a function of its store, as one HTML file, as Markdown, and as figures.

    material    what it is made from, read once
    answer      which model is best, against which baseline, how sure
    table       the leaderboard
    figures/    a module for each figure: material -> what is drawn -> SVG
    svg         the drawing room: marks, axes; scales, palette
    facts       data, folds, versions, failures
    explorer    what the page's script needs
    page, markdown, export      the forms
    templates/  the page: HTML, style and script

The page asks for nothing from a network, and its policy forbids it to. Whatever a user named is escaped
where it is written: by Jinja2 in the page, by `svg.Canvas` in figures, by `markdown` in Markdown.
"""

from __future__ import annotations

from tuner.reporting.html.export import HAS_PNG, write_figures
from tuner.reporting.html.markdown import markdown
from tuner.reporting.html.material import Material, gather
from tuner.reporting.html.page import page

__all__ = ["HAS_PNG", "Material", "gather", "markdown", "page", "write_figures"]
