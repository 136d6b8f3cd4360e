"""What is wrong with a format of times, before a file is read by it."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["fault_of"]

#: What Python's `strptime` reads.
_KNOWN = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYzZ%")
#: Directives of other programs, and what they are here.
_OTHERS = {
    "%s": "datetime: unix_s",
    "%Q": "datetime: unix_ms",
    "%+": "datetime: iso",
    "%e": '"%d", which reads days of one digit too',
    "%k": '"%H"',
    "%l": '"%I"',
    "%h": '"%b"',
    "%P": '"%p"',
    "%L": '"%f"',
    "%N": '"%f"',
    "%F": '"%Y-%m-%d"',
    "%T": '"%H:%M:%S"',
    "%R": '"%H:%M"',
    "%D": '"%m/%d/%y"',
    "%r": '"%I:%M:%S %p"',
    "%C": '"%Y" for the whole year',
    "%g": '"%G" for the whole year',
}
_WEEKDAY = frozenset("aAwu")
_DIRECTIVE = re.compile(r"%[-_0^#:]?.|%$", re.DOTALL)


def fault_of(kind: str) -> str | None:
    """Return why no time can be read by a format, and the cure; None if times can be read by it."""
    directives = [one for one in _DIRECTIVE.findall(kind) if one != "%%"]
    for one in directives:
        if one[1:] not in _KNOWN:
            return _unknown(one)
    letters = [one[1:] for one in directives]
    again = next((one for one in letters if letters.count(one) > 1), None)
    if again is not None:
        cure = ', "%M" is the minute and "%m" the month' if again in {"m", "M"} else ""
        return f'must name each part once, but has "%{again}" {letters.count(again)} times{cure}'
    return _no_date(set(letters)) or _clash(set(letters))


def _unknown(directive: str) -> str:
    if directive == "%":
        return 'must end with a whole directive, but ends with "%": write "%%" for a percent sign'
    plain = "%" + directive[-1]
    if directive in _OTHERS:
        cure = f": write {_OTHERS[directive]}"
    elif directive != plain and plain[1] in _KNOWN:
        more = "" if plain == "%z" else ", which reads numbers without a leading zero too"
        cure = f': write "{plain}"{more}'
    else:
        cure = ': see the format codes of Python\'s `strptime`, such as "%d.%m.%Y %H:%M"'
    return f'must have directives that Python\'s `strptime` reads, but has "{directive}"{cure}'


def _no_date(found: set[str]) -> str | None:
    """Tell of a format that names no date, or a part of one."""
    if found & {"c", "x"}:
        return None
    if not found & {"y", "Y", "G"}:
        rest = found & {"d", "m", "b", "B", "j"}
        what = "names no year" if rest else "names no date"
        cure = "make one column of date and time" if not rest else "add the year to the column"
        return f'must name a date, but {what}: {cure}, read as "%Y-%m-%d %H:%M" for example'
    if "d" in found and not found & {"m", "b", "B"}:
        return 'must name a date, but names a day without its month: add "%m", or "%b" for its name'
    return None


def _clash(found: set[str]) -> str | None:
    """Tell of directives that cannot be read together, or of which one is ignored."""
    if {"p", "H"} <= found and "I" not in found:
        return 'must have "%I" for hours with AM and PM, but has "%H", with which PM is ignored: write "%I"'
    if {"H", "I"} <= found:
        return 'must name the hour once, but has "%H" and "%I": write "%I" with "%p", else "%H"'
    if "I" in found and "p" not in found:
        return (
            'must say which half of the day an hour is in, but has "%I" without "%p": write "%H" for 0 to 23'
        )
    if {"z", "Z"} <= found:
        return 'must name the time zone once, but has "%z" and "%Z": write "%z" for an offset such as +0100'
    for week in ("W", "U"):
        if week in found and not ("Y" in found and found & {"a", "A", "w"}):
            return (
                f'must name a day, but "%{week}" is only a week: add "%Y" and the day of the week, "%w" for '
                "0 to 6 from Sunday"
            )
    return (_iso_week(found) if found & {"G", "V"} else None) or _twofold(found)


def _iso_week(found: set[str]) -> str | None:
    if {"G", "V"} <= found and found & _WEEKDAY and not found & {"Y", "y", "j"}:
        return None
    return (
        'must name a day, but "%G" and "%V" are the year and the week of ISO 8601: write both with "%u" for '
        'the day, or "%Y-%m-%d" for dates'
    )


def _twofold(found: set[str]) -> str | None:
    """Tell of parts that "%c", "%x" and "%X" bring, and that are named besides."""
    date: Sequence[str] = ("m", "d", "y")
    parts = {"c": ("a", "b", "d", "H", "M", "S", "Y", "x", "X"), "x": date, "X": ("H", "M", "S")}
    for whole, within in parts.items():
        twice = sorted(found & set(within)) if whole in found else []
        if twice:
            return f'must name each part once, but "%{whole}" holds "%{twice[0]}" too: leave one of them out'
    return None
