"""Writes figures as files: as SVG, and as PNG if the library that converts them is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tuner.errors import Problem, StoreError
from tuner.reporting.html.figures import draw_all
from tuner.reporting.html.palette import resolved
from tuner.reporting.html.report_data import ReportData
from tuner.reporting.html.svg import Canvas, Figure, text_width

__all__ = ["HAS_PNG", "write_figures"]

#: Whether `resvg_py`, from the extra `png`, is installed.
HAS_PNG = find_spec("resvg_py") is not None
_WIDTH, _HALF = 1040, 640
_MARGIN = 24


def write_figures(report: ReportData, folder: Path) -> list[Path]:
    """Write every figure on a light background, as SVG, and as PNG if `HAS_PNG`.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for figures in draw_all(report).values() for f in figures for path in _write(f, folder)]
    except OSError as error:
        rule = f"must be a folder that can be written, but got the error: {error.strerror}"
        raise StoreError(str(folder), [Problem("--figures", rule)]) from error


def _write(figure: Figure, folder: Path) -> Iterator[Path]:
    svg = standalone(figure)
    if not svg:
        return
    path = folder / f"{figure.name}.svg"
    path.write_text(svg, encoding="utf-8")
    yield path
    if HAS_PNG:
        from resvg_py import svg_to_bytes  # noqa: PLC0415  # installed only with the extra `png`

        path = path.with_suffix(".png")
        path.write_bytes(svg_to_bytes(svg_string=svg, zoom=2, font_family="Liberation Sans"))
        yield path


def standalone(figure: Figure) -> str:
    """Return a figure as an SVG file with its title and legend; empty if there is nothing to draw."""
    width = _HALF if figure.half else _WIDTH
    drawing = figure.draw(width)
    if not drawing:
        return ""
    head = Canvas(width, 0, figure.title)
    head.text((0, 16), figure.title, colour="ink", size=16, bold=True)
    bottom = _legend(head, figure, width)
    high = bottom + float(drawing.split('height="', 1)[1].split('"', 1)[0])
    whole = Canvas(width + 2 * _MARGIN, high + 2 * _MARGIN, figure.title)
    whole.rect((0, 0), (whole.width, whole.height), colour="card", radius=0)
    opening, rest = (
        whole.render().rsplit("</svg>", 1)[0],
        head.render().split(">", 1)[1].rsplit("</svg>", 1)[0],
    )
    placed = drawing.replace("<svg ", f'<svg x="0" y="{bottom:g}" overflow="visible" ', 1)
    return resolved(f'{opening}<g transform="translate({_MARGIN} {_MARGIN})">{rest}{placed}</g></svg>')


def _legend(canvas: Canvas, figure: Figure, width: int) -> float:
    """Draw the legend below the title; return the y coordinate at which the figure may begin."""
    x, y = 8.0, 42.0
    for shape, colour, label in figure.legend:
        wide = 18 + text_width(label) + 16
        if x + wide > width and x > 8:  # noqa: PLR2004  # the left end of a line
            x, y = 8.0, y + 20
        if shape == "line":
            canvas.line((x - 8, y - 4), (x + 8, y - 4), colour=colour, width=2.5)
        else:
            canvas.mark(shape, (x, y - 4), colour=colour, size=4)
        canvas.text((x + 14, y), label)
        x += wide
    return y + 14 if figure.legend else 32
