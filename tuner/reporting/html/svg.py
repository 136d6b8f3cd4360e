"""Draws marks and axes on a canvas, as SVG text.

Colours are names of `tuner.reporting.html.palette`. All text and attributes are escaped here, so they may
contain names that users chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from tuner.reporting.html.scales import Scale, tick_labels

__all__ = ["Canvas", "Figure", "Frame", "clipped", "text_width", "ticks_of"]

#: Mean width of letters as a share of the font size, a little larger than in the fonts below.
_LETTER = 0.6
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,Arial,'Liberation Sans','DejaVu Sans',sans-serif"


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn at different widths.

    Attributes
    ----------
    name
        Name of its file.
    title, caption
        Title and explanation, for people.
    draw
        Function that takes a width in pixels and returns SVG.
    half
        Whether two such figures may be side by side.
    legend
        Legend: shape, colour and text of each kind of mark.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[int], str]
    half: bool = False
    legend: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Frame:
    """The part of a drawing that contains the data, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def text_width(text: str, size: float = 12) -> float:
    """Return the approximate width of a text in pixels."""
    return len(text) * size * _LETTER


def clipped(text: str, width: float, size: float = 12) -> str:
    """Return a text cut to a width in pixels. A trial's number at the end of the text is not cut."""
    fits = max(2, int(width / (size * _LETTER)))
    if len(text) <= fits:
        return text
    head, mark, trial = text.rpartition(" #")
    room = fits - len(trial) - 2
    return f"{head[:room]}…#{trial}" if mark and trial.isdigit() and room > 0 else text[: fits - 1] + "…"


@dataclass
class Canvas:
    """A drawing: its elements in the order in which they are drawn.

    Attributes
    ----------
    width, height
        Size in pixels.
    label
        Description of the drawing for screen readers.
    """

    width: float
    height: float
    label: str
    _parts: list[str] = field(default_factory=list)

    def add(self, tag: str, /, content: str = "", **attributes: object) -> None:
        """Draw an element with the text `content`. Attributes that are None are left out."""
        pairs = " ".join(
            f'{key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
            for key, value in attributes.items()
            if value is not None
        )
        self._parts.append(f"<{tag} {pairs}>{escape(content)}</{tag}>" if content else f"<{tag} {pairs}/>")

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        colour: str = "line",
        width: float = 1,
        dash: str | None = None,
    ) -> None:
        """Draw a straight line."""
        self.add(
            "line",
            x1=start[0],
            y1=start[1],
            x2=end[0],
            y2=end[1],
            stroke=_paint(colour),
            stroke_width=width,
            stroke_dasharray=dash,
        )

    def path(
        self,
        points: Sequence[tuple[float, float]],
        *,
        colour: str,
        width: float = 1.5,
        opacity: float | None = None,
        trial: int | None = None,
        dash: str | None = None,
        smooth: bool = False,
    ) -> None:
        """Draw a line through points. A smooth line is horizontal at each point."""
        way = _smooth(points) if smooth else "M" + "L".join(f"{_plain(x)} {_plain(y)}" for x, y in points)
        self.add(
            "path",
            d=way,
            fill="none",
            stroke=_paint(colour),
            stroke_width=width,
            stroke_opacity=opacity,
            stroke_dasharray=dash,
            stroke_linejoin="round",
            data_t=trial,
        )

    def mark(
        self,
        shape: str,
        at: tuple[float, float],
        *,
        colour: str,
        size: float = 4,
        trial: int | None = None,
        opacity: float | None = None,
    ) -> None:
        """Draw a mark: ``dot``, ``ring``, ``diamond``, ``cross``, ``bar`` or ``square``."""
        x, y = at
        fill, stroke = _paint(colour), None
        if shape in {"dot", "ring"}:
            hollow = shape == "ring"
            self.add(
                "circle",
                cx=x,
                cy=y,
                r=size - (0.5 if hollow else 0),
                fill=_paint("card") if hollow else fill,
                stroke=fill if hollow else stroke,
                stroke_width=1.5 if hollow else None,
                opacity=opacity,
                data_t=trial,
            )
            return
        if shape in {"diamond", "square"}:
            s = size * (1.3 if shape == "diamond" else 0.9)
            corners = (
                f"M{_plain(x)} {_plain(y - s)}l{_plain(s)} {_plain(s)}l{_plain(-s)} {_plain(s)}"
                f"l{_plain(-s)} {_plain(-s)}z"
                if shape == "diamond"
                else f"M{_plain(x - s)} {_plain(y - s)}h{_plain(2 * s)}v{_plain(2 * s)}h{_plain(-2 * s)}z"
            )
            self.add("path", d=corners, fill=fill, opacity=opacity, data_t=trial)
            return
        s = size * 0.9
        strokes = (
            f"M{_plain(x - s)} {_plain(y - s)}l{_plain(2 * s)} {_plain(2 * s)}"
            f"m0 {_plain(-2 * s)}l{_plain(-2 * s)} {_plain(2 * s)}"
            if shape == "cross"
            else f"M{_plain(x)} {_plain(y - 2 * s)}v{_plain(4 * s)}"
        )
        self.add("path", d=strokes, fill="none", stroke=fill, stroke_width=1.8, opacity=opacity, data_t=trial)

    def rect(
        self,
        at: tuple[float, float],
        size: tuple[float, float],
        *,
        colour: str,
        opacity: float | None = None,
        trial: int | None = None,
        radius: float = 2,
    ) -> None:
        """Draw a box that is at least half a pixel wide."""
        self.add(
            "rect",
            x=at[0],
            y=at[1],
            width=max(size[0], 0.5),
            height=size[1],
            rx=radius,
            fill=_paint(colour),
            fill_opacity=opacity,
            data_t=trial,
        )

    def text(
        self,
        at: tuple[float, float],
        content: str,
        *,
        anchor: str | None = None,
        colour: str = "muted",
        size: float = 12,
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """Write a text. `at` is the left end of its base line, unless `anchor` says otherwise."""
        self.add(
            "text",
            content or " ",
            x=at[0],
            y=at[1],
            fill=_paint(colour),
            font_size=None if size == 12 else size,  # noqa: PLR2004  # the font size of the whole drawing
            text_anchor=anchor,
            font_weight=600 if bold else None,
            stroke=_paint("card") if halo else None,
            stroke_width=3 if halo else None,
            paint_order="stroke" if halo else None,
        )

    def axes(
        self,
        frame: Frame,
        x: Sequence[tuple[float, str]],
        y: Sequence[tuple[float, str]],
        *,
        x_label: str = "",
        y_label: str = "",
    ) -> None:
        """Draw both axes: lines at the ticks (place, text), their texts and the names of the axes."""
        for at, label in y:
            self.line((frame.left, at), (frame.right, at))
            self.text((frame.left - 8, at + 4), label, anchor="end")
        last = -1e9
        for at, label in x:
            self.line((at, frame.bottom), (at, frame.bottom + 4), colour="faint")
            half = text_width(label) / 2
            if at - half > last:
                self.text((at, frame.bottom + 18), label, anchor="middle")
                last = at + half + 4
        self.line((frame.left, frame.bottom), (frame.right, frame.bottom), colour="faint")
        if x_label:
            self.text(((frame.left + frame.right) / 2, frame.bottom + 36), x_label, anchor="middle")
        if y_label:
            self.text((0, frame.top - 12), clipped(y_label, frame.right))

    def value_axis(self, frame: Frame, ticks: Sequence[tuple[float, str]], label: str) -> None:
        """Draw a horizontal axis for rows: vertical lines at the ticks (place, text), texts and the name."""
        for at, tick_text in ticks:
            self.line((at, frame.top), (at, frame.bottom))
            self.text((at, frame.bottom + 18), tick_text, anchor="middle")
        if label:
            self.text(((frame.left + frame.right) / 2, frame.bottom + 36), label, anchor="middle")

    def render(self) -> str:
        """Return the drawing as SVG text."""
        width, height = _plain(self.width), _plain(self.height)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" '
            f'aria-label="{escape(self.label)}" font-family="{FONT}" font-size="12">'
            f"{''.join(self._parts)}</svg>"
        )


def _smooth(points: Sequence[tuple[float, float]]) -> str:
    """Return the SVG path of cubic curves that are horizontal at each point."""
    way = f"M{_plain(points[0][0])} {_plain(points[0][1])}"
    for (x, y), (to_x, to_y) in pairwise(points):
        middle = _plain((x + to_x) / 2)
        way += f"C{middle} {_plain(y)} {middle} {_plain(to_y)} {_plain(to_x)} {_plain(to_y)}"
    return way


def ticks_of(scale: Scale, about: int = 5) -> list[tuple[float, str]]:
    """Return the ticks of a scale as `Canvas.axes` takes them."""
    ticks = scale.ticks(about)
    return [(scale(tick), label) for tick, label in zip(ticks, tick_labels(ticks), strict=True)]


def _paint(colour: str) -> str:
    """Return a colour of the palette as the value of an attribute."""
    return f"var(--{colour})"


def _plain(value: object) -> str:
    """Return the value of an attribute as text. Numbers are rounded to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
