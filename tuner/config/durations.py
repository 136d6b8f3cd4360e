"""Finds the duration that a text means which is none as a study takes it, to suggest its right form."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["nearest_duration", "nearest_window"]

#: Seconds of each unit, the largest first; weeks are read, but written in days.
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_WEEK = 7
_NAMES = {
    **dict.fromkeys(("w", "week", "weeks"), "w"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
}
#: Unit of a number behind another one: the 30 of 1h30 are minutes.
_NEXT = {"d": "h", "h": "m", "m": "s"}
_PART = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*([a-z]*)[\s,]*")


def nearest_duration(text: str) -> str | None:
    """Return ``1h30m`` for a text such as ``1.5h`` or ``1h30``, ``90m`` for ``90 min``; None for others."""
    parts = _parts(text)
    if len(parts) == 1 and parts[0][0].denominator == 1:
        ((amount, unit),) = parts
        return f"{amount * _WEEK}d" if unit == "w" else f"{amount}{unit}"
    left, written = _seconds(parts), ""
    for unit, seconds in _UNITS.items():
        n, left = divmod(left, seconds)
        written += f"{n}{unit}" if n else ""
    return None if left else written or None


def nearest_window(text: str) -> str | None:
    """Return ``7D`` for a text such as ``7d`` or ``1W``, ``36H`` for ``1.5D``; None if it means none."""
    seconds = _seconds(_parts(text))
    for unit in ("d", "h"):
        n, left = divmod(seconds, _UNITS[unit])
        if n and not left:
            return f"{n}{unit.upper()}"
    return None


def _seconds(parts: list[tuple[Fraction, str]]) -> Fraction:
    return sum((n * (_UNITS["d"] * _WEEK if unit == "w" else _UNITS[unit]) for n, unit in parts), Fraction())


def _parts(text: str) -> list[tuple[Fraction, str]]:
    """Return numbers with their units; nothing if any of them is not known."""
    plain = text.strip().lower()
    found = list(_PART.finditer(plain))
    if "".join(one[0] for one in found) != plain:
        return []
    parts: list[tuple[Fraction, str]] = []
    for one in found:
        unit = _NAMES.get(one[2]) if one[2] else _NEXT.get(parts[-1][1]) if parts else None
        if unit is None:
            return []
        parts.append((Fraction(one[1]), unit))
    return parts
