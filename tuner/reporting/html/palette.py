"""The colours of the report by the name that figures use, for a light and for a dark background.

People with any colour vision can distinguish the categories. Their hues are from Okabe and Ito (2008, "Color
Universal Design"), made darker or lighter to have a contrast of 3:1 with the background. States also differ
in shape.
"""

from __future__ import annotations

import re

__all__ = ["CATEGORIES", "RAMP", "css_variables", "resolved"]

#: Name -> colour on a light background, colour on a dark background.
_COLOURS = {
    "page": ("#f6f7f9", "#0f1318"),
    "card": ("#ffffff", "#171c23"),
    "ink": ("#1a212b", "#e8ecf1"),
    "muted": ("#566271", "#a0acba"),
    "line": ("#e1e5ea", "#2a323d"),
    "faint": ("#b3bcc7", "#4d5968"),
    "accent": ("#0a5fa8", "#6db3f2"),
    "best": ("#c24a00", "#ff9a57"),
    "base": ("#2f3b48", "#d3dae2"),
    "bad": ("#b3261e", "#ff8a80"),
    "c0": ("#0a6ebd", "#5db0f0"),
    "c1": ("#c75000", "#f39250"),
    "c2": ("#00805f", "#35c49b"),
    "c3": ("#a34b8b", "#e08fc6"),
    "c4": ("#8a6d00", "#d8b840"),
    "c5": ("#5a55c4", "#a7a3ff"),
    "c6": ("#2b8fa3", "#6fd0e0"),
    "c7": ("#6b7480", "#aab4c0"),
    "q0": ("#d5dbe2", "#313b47"),
    "q1": ("#b9cde0", "#2f4a66"),
    "q2": ("#94bbdd", "#2f5f8b"),
    "q3": ("#66a3d6", "#3477b3"),
    "q4": ("#3387c7", "#4a95d8"),
    "q5": ("#0a6ab0", "#7fbaf0"),
    "q6": ("#08467a", "#c6e2fb"),
}
#: Colours for categories without an order, and colours from worst to best.
CATEGORIES = tuple(f"c{index}" for index in range(8))
RAMP = tuple(f"q{index}" for index in range(7))


def css_variables(*, dark: bool) -> str:
    """Return the declarations of all colours as CSS custom properties."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in _COLOURS.items())


def resolved(svg: str, *, dark: bool = False) -> str:
    """Return a drawing with its colours written out, for programs that do not support CSS variables."""
    return re.sub(r"var\(--(\w+)\)", lambda match: _COLOURS[match[1]][dark], svg)
