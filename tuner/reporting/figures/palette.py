"""The colours of the figures and of the report by name, for a light and for a dark background.

People with any colour vision can distinguish the categories. Their hues are from Okabe and Ito (2008, "Color
Universal Design"), made darker or lighter to have a contrast of 3:1 with the background. States also differ
in shape.

Charts have the colours of the light background. The page of the report writes them as variables of CSS, so
that they change with the reader's theme.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CATEGORIES", "RAMP", "css_variables", "paint", "themed"]

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
_NAMES = {light: name for name, (light, _) in _COLOURS.items()}
#: Keys of a specification whose values are names and texts, not colours.
_TEXTS = frozenset({"domain", "oneOf", "sort", "subtitle", "text", "title"})


def paint(name: str) -> str:
    """Return a colour on a light background."""
    return _COLOURS[name][0]


def css_variables(*, dark: bool) -> str:
    """Return the declarations of all colours as CSS custom properties."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in _COLOURS.items())


def themed(spec: Any) -> Any:  # noqa: ANN401  # JSON
    """Return a chart's specification, which holds no rows, with variables of CSS for its colours."""
    if isinstance(spec, dict):
        return {key: _themed_at(key, value) for key, value in spec.items()}
    if isinstance(spec, list):
        return [themed(value) for value in spec]
    return f"var(--{_NAMES[spec]})" if isinstance(spec, str) and spec in _NAMES else spec


def _themed_at(key: str, value: Any) -> Any:  # noqa: ANN401  # JSON
    return value if key in _TEXTS and not isinstance(value, dict) else themed(value)
