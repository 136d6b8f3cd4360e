"""Writes the report as one HTML file that loads nothing from other places."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tuner.reporting.html.answer import answer
from tuner.reporting.html.explorer import explorer
from tuner.reporting.html.facts import data_facts, failures, fold_facts, reproduction, settings
from tuner.reporting.html.figures import SECTIONS, draw_all
from tuner.reporting.html.palette import css_variables
from tuner.reporting.html.report_data import ReportData
from tuner.reporting.html.svg import Canvas, Figure
from tuner.reporting.html.table import table

__all__ = ["page"]

#: Widths in pixels at which each figure is drawn. The page shows the drawing that fits the screen.
WIDE, HALF, NARROW = 1040, 500, 332


def page(report: ReportData) -> str:
    """Return the report as HTML."""
    script = _asset("report.js")
    found = draw_all(report)
    best = report.best
    context: dict[str, Any] = {
        "report": report,
        "answer": answer(report),
        "sections": [(anchor, title, found[anchor]) for anchor, title, _ in SECTIONS if found[anchor]],
        "table": table(report),
        "data_facts": data_facts(report),
        "fold_facts": fold_facts(report),
        "settings": settings(report),
        "failures": failures(report),
        "commands": reproduction(report),
        "best_params": json.dumps(dict(best.record.params), indent=2) if best is not None else "",
        "explorer": explorer(report),
        "style": Markup(_style()),  # noqa: S704  # a file of this package
        "script": Markup(script),  # noqa: S704  # as above
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "drawn": _drawn,
        "swatch": _swatch,
    }
    return _environment().get_template("report.html.jinja").render(context)


def _drawn(figure: Figure) -> Markup:
    """Return a figure drawn at two widths: for a page and for a phone."""
    wide, narrow = figure.draw(HALF if figure.half else WIDE), figure.draw(NARROW)
    if not wide:
        return Markup()
    # `Canvas` has escaped all names that users chose.
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704  # see above


def _swatch(shape: str, colour: str) -> Markup:
    """Return a mark of a legend."""
    canvas = Canvas(16, 12, "")
    if shape == "line":
        canvas.line((0, 6), (16, 6), colour=colour, width=2.5)
    else:
        canvas.mark(shape, (8, 6), colour=colour, size=3 if shape == "bar" else 4)
    return Markup(canvas.render().replace('role="img" aria-label=""', 'aria-hidden="true"'))  # noqa: S704  # it contains no text


def _style() -> str:
    dark = css_variables(dark=True)
    return (
        f":root{{color-scheme:light dark;{css_variables(dark=False)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_asset('report.css')}"
    )


@cache
def _asset(name: str) -> str:
    return (files("tuner.reporting.html") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tuner.reporting.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    return environment


def _coded(text: str) -> Markup:
    """Return a text as HTML in which the parts between backticks are code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  # escaped before
