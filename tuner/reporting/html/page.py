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

from tuner.reporting.figures import SECTIONS, draw_all
from tuner.reporting.figures.figure import SHAPES
from tuner.reporting.figures.palette import css_variables
from tuner.reporting.html.answer import answer
from tuner.reporting.html.charts import charts
from tuner.reporting.html.explorer import explorer
from tuner.reporting.html.facts import data_facts, failures, fold_facts, reproduction, settings
from tuner.reporting.html.table import table
from tuner.reporting.html.vega import vega_script
from tuner.reporting.report_data import ReportData

__all__ = ["page"]


def page(report: ReportData) -> str:
    """Return the report as HTML."""
    scripts = [vega_script(), _asset("report.js")]
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
        "charts": charts([figure for figures in found.values() for figure in figures]),
        "shapes": SHAPES,
        "style": Markup(_style()),  # noqa: S704  # a file of this package
        "scripts": [Markup(script) for script in scripts],  # noqa: S704  # of this package and of Vega
        "script_hashes": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
    }
    return _environment().get_template("report.html.jinja").render(context)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


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
