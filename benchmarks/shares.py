"""Draws the share of the searches that have reached the best, over the compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["draw"]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 50, 40, 12, 12
COLOURS = ("#1f6feb", "#57606a", "#bc4c00", "#bf3989", "#1a7f37", "#8250df", "#9a6700", "#0a3069")
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw(reached: Mapping[str, Sequence[float]]) -> str:
    """Return an SVG with a step line for each contender.

    Parameters
    ----------
    reached
        Compute until the best was reached, by contender, as a share of the whole table's; inf if it never
        was.
    """
    colours = dict(zip(reached, COLOURS, strict=False))
    lines = [line for name, colour in colours.items() for line in _steps(reached[name], colour)]
    names = [
        f'<text x="{WIDTH - RIGHT - 8}" y="{HEIGHT - BOTTOM - 12 - 16 * at}" fill="{colour}" '
        f'text-anchor="end">{name}</text>'
        for at, (name, colour) in enumerate(reversed(colours.items()))
    ]
    ticks = [
        f'<text x="{_x(at):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{at:g}</text>'
        f'<text x="{LEFT - 8}" y="{_y(at) + 4:.1f}" text-anchor="end">{at:.0%}</text>'
        f'<line x1="{LEFT}" y1="{_y(at):.1f}" x2="{WIDTH - RIGHT}" y2="{_y(at):.1f}" stroke="#d0d7de"/>'
        for at in _TICKS
    ]
    title = (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        "compute, as a share of running every configuration to its end</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#1f2328">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join([*ticks, title, *lines, *names])
        + "\n</svg>\n"
    )


def _steps(values: Sequence[float], colour: str) -> list[str]:
    points = [(0.0, 0.0)]
    found = sorted(value for value in values if value < math.inf)
    for at, value in enumerate(found, 1):
        points += [(value, points[-1][1]), (value, at / len(values))]
    points.append((1.0, points[-1][1]))
    line = " ".join(f"{_x(share):.1f},{_y(part):.1f}" for share, part in points)
    return [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>']


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(part: float) -> float:
    return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)
