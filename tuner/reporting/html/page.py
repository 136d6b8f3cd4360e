"""The report as one HTML file, without anything from elsewhere."""

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
from tuner.reporting.html.material import Material
from tuner.reporting.html.palette import css_variables
from tuner.reporting.html.svg import Canvas, Figure
from tuner.reporting.html.table import table

__all__ = ["page"]

#: Widths in pixels for which each figure is drawn: the page shows the one that fits the screen.
WIDE, HALF, NARROW = 1040, 500, 332


def page(material: Material) -> str:
    """Return the report as HTML."""
    script = _asset("report.js")
    found = draw_all(material)
    best = material.best
    context: dict[str, Any] = {
        "material": material,
        "answer": answer(material),
        "sections": [(anchor, title, found[anchor]) for anchor, title, _ in SECTIONS if found[anchor]],
        "table": table(material),
        "data_facts": data_facts(material),
        "fold_facts": fold_facts(material),
        "settings": settings(material),
        "failures": failures(material),
        "commands": reproduction(material),
        "best_params": json.dumps(dict(best.record.params), indent=2) if best is not None else "",
        "explorer": explorer(material),
        "style": Markup(_style()),  # noqa: S704  # our own file
        "script": Markup(script),  # noqa: S704  # as above
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "drawn": _drawn,
        "swatch": _swatch,
    }
    return _environment().get_template("report.html.jinja").render(context)


def _drawn(figure: Figure) -> Markup:
    """Return a figure at the widths of a page and of a phone."""
    wide, narrow = figure.draw(HALF if figure.half else WIDE), figure.draw(NARROW)
    if not wide:
        return Markup()
    # `Canvas` has escaped all that a user named.
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704  # as said


def _swatch(shape: str, colour: str) -> Markup:
    """Return a mark of a legend."""
    canvas = Canvas(16, 12, "")
    if shape == "line":
        canvas.line((0, 6), (16, 6), colour=colour, width=2.5)
    else:
        canvas.mark(shape, (8, 6), colour=colour, size=3 if shape == "bar" else 4)
    return Markup(canvas.render().replace('role="img" aria-label=""', 'aria-hidden="true"'))  # noqa: S704  # no words in it


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


def _coded(words: str) -> Markup:
    """Return words with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(words))))  # noqa: S704  # escaped before
