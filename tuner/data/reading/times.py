"""Times as they are written: dates, numbers since 1970 in a unit, or a format; always to UTC."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .troubles import Mask, cure_of_objects, plain, type_name

__all__ = ["NUMBER", "WrongTimesError", "doubt_of", "fitting_formats", "likeliest_unit", "to_times"]

Times = NDArray[np.datetime64]

#: Units of numbers since 1970, with the nanoseconds that one is.
UNITS = {"unix_s": 10**9, "unix_ms": 10**6, "unix_us": 10**3, "unix_ns": 1}
#: Seconds since 1970 from 1973 to 2096: times of people's interactions.
_USUAL = (1e8, 4e9)
#: How dates are written that are not ISO 8601; proposed where all rows fit.
FORMATS = tuple(
    f"{day}{time}"
    for day in (
        "%d.%m.%Y",
        "%d.%m.%y",
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%d-%m-%Y",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%Y%m%d",
        "%Y-%m-%d",
        "%d %b %Y",
        "%b %d, %Y",
        "%d %B %Y",
        "%B %d, %Y",
        "%d-%b-%Y",
        "%d-%b-%y",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d-%m-%y",
    )
    for time in (
        "",
        " %H:%M",
        " %H:%M:%S",
        " %H:%M:%S.%f",
        " %H:%M:%S,%f",
        " %I:%M %p",
        " %I:%M:%S %p",
        ", %H:%M:%S",
        ", %I:%M:%S %p",
    )
)
#: How programs write times: logs, mail (RFC 5322), JavaScript, Oracle.
_OF_PROGRAMS = (
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y-%m-%dT%H:%M:%S,%f",
    "%a, %d %b %Y %H:%M:%S %Z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %Y %H:%M:%S GMT%z",
    "%a %b %d %Y %H:%M:%S GMT%z (UTC)",
    "%a %b %d %Y %H:%M:%S GMT%z (Coordinated Universal Time)",
    "%d-%b-%y %I.%M.%S.%f %p",
    "%d-%b-%Y %I.%M.%S.%f %p",
)
_ZONE = r"\d:\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$"
_UTC = r"(\d) ?(?:UTC|GMT)$"
#: A number as people write it.
NUMBER = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
_LOOKED_AT = 1000
#: Times before this are of numbers read in a wrong unit, or stand for no time.
OLDEST = "1973-03-03"
#: Numbers of other programs: the name, how many of them are a second, and their beginning in seconds to 1970.
_EPOCHS = (
    ("ticks of .NET", 1e7, -62_135_596_800),
    ("FILETIME of Windows", 1e7, -11_644_473_600),
    ("seconds since 2001, as Apple counts", 1, 978_307_200),
)
#: Seconds since 1970 in 1995, before which few interactions of people were stored.
_WEB = 788_918_400
#: Share of the numbers from which they are taken to be of a unit.
_NEARLY_ALL = 0.95
#: Share of the rows up to which they are taken to be faults, not times that are written in another way.
_FEW = 0.5


class WrongTimesError(ValueError):
    """A column cannot hold times as they are declared.

    The message has ``{name}`` for the column and ``{rows}`` for an example of the rows in `bad`; `cure`
    says what to do.
    """

    def __init__(self, rule: str, bad: Mask | None = None, cure: str | None = None) -> None:
        super().__init__(rule)
        self.bad = bad
        if cure is None and bad is not None and np.mean(bad) < _FEW:
            cure = "leave such rows out, or give them a time"
        self.cure = cure


def odd_times(times: Times) -> Mask:
    """Mark times in which nobody can have interacted: in the early seventies, or after tomorrow."""
    low = np.datetime64(OLDEST)
    high = np.datetime64("now") + np.timedelta64(1, "D")  # numpy's "now" is in UTC
    if times.min() >= low and times.max() <= high:
        return np.zeros(len(times), dtype=bool)
    return (times < low) | (times > high)


def to_times(column: pa.ChunkedArray, kind: str, decimal: str = ".") -> Times:
    """Return times in UTC as numpy has them, in nanoseconds.

    Parameters
    ----------
    column
        As the file has it.
    kind
        ``iso``, a key of `UNITS`, or a format as `datetime.strptime` reads it.
    decimal
        Between a number and its fraction.

    Raises
    ------
    WrongTimesError
        If rows cannot be read so.
    """
    column = _plain(column)
    if kind in UNITS:
        return _since_1970(column, kind, decimal)
    stored = column.type
    if pa.types.is_timestamp(stored) or pa.types.is_date(stored):
        return _stored(column, kind)
    if pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_decimal(stored):
        if "%" in kind and not pa.types.is_floating(stored):
            return _formatted(column.cast(pa.string()), kind)
        raise _numbers(column, str(plain(column[0])))
    if not pa.types.is_string(stored):
        cure = cure_of_objects(stored) if pa.types.is_struct(stored) else None
        raise WrongTimesError(f"must hold dates, but {{name}} holds {type_name(stored)}", None, cure)
    return _iso(column) if kind == "iso" else _formatted(column, kind)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without how its values are packed, and bytes as text."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(pa.chunked_array([chunk.storage for chunk in column.chunks]))
    if pa.types.is_run_end_encoded(kind):
        return _plain(pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks]))
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    text = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_large_string, pa.types.is_string_view)
    if any(one(kind) for one in text):
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid as error:
            raise WrongTimesError("must hold dates, but {name} holds bytes that are no text") from error
    return column


def _checked(times: pd.Series[Any] | Times, kind: str, cure: str | None = None) -> Times:
    bad = np.asarray(pd.isna(times))
    if bad.any():
        raise WrongTimesError(f"must be readable as {kind}, but {{name}} is not in {{rows}}", bad, cure)
    return np.asarray(times, dtype="datetime64[ns]")


def _stored(column: pa.ChunkedArray, kind: str) -> Times:
    """Take times that a file stores as such: those with a zone are in UTC already."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(column.type) else "ms"))
    unit = column.type.unit
    numbers = column.cast(pa.timestamp(unit)) if column.type.tz else column
    return _scaled(numbers.cast(pa.int64()), {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit], kind)


def _scaled(column: pa.ChunkedArray, factor: int, kind: str) -> Times:
    """Return whole numbers of a unit as times; those before 1677 or after 2262 cannot be held."""
    # The lowest number of nanoseconds means that there is no time.
    most = (2**63 - 1) // factor
    if column.null_count:
        raise WrongTimesError(
            "times must not be missing, but {name} is in {rows}", column.is_null().to_numpy()
        )
    numbers = column.to_numpy()
    if numbers.max() > most or numbers.min() < -most:
        bad = (numbers > most) | (numbers < -most)
        raise WrongTimesError(
            f"must be readable as {kind}, but {{name}} is not in {{rows}}", bad, _unit_cure(numbers, kind)
        )
    times: Times = (numbers if factor == 1 else numbers * factor).view("datetime64[ns]")
    return times


def _since_1970(column: pa.ChunkedArray, kind: str, decimal: str) -> Times:
    stored = column.type
    if pa.types.is_string(stored):
        text = pc.utf8_trim_whitespace(column)
        text = pc.replace_substring(text, decimal, ".") if decimal != "." else text
        fits = pc.match_substring_regex(text, NUMBER).fill_null(False)  # pyarrow's signature
        if not pc.all(fits).as_py():
            raise WrongTimesError(
                f"must be readable as {kind}, but {{name}} is not in {{rows}}",
                ~fits.to_numpy(),
                _no_number(column, fits),
            )
        try:
            column = text.cast(pa.int64())
        except pa.ArrowInvalid:
            column = text.cast(pa.float64())
    elif not (pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_decimal(stored)):
        cure = "leave `data.datetime` out: the file stores times" if pa.types.is_timestamp(stored) else None
        raise WrongTimesError(
            f"must be readable as {kind}, but {{name}} is not in {{rows}}", np.ones(len(column), bool), cure
        )
    if pa.types.is_integer(column.type):
        _check_unit(column, kind)
        try:
            return _scaled(column.cast(pa.int64()), UNITS[kind], kind)
        except pa.ArrowInvalid:
            column = column.cast(pa.float64(), safe=False)
    else:
        _check_unit(column, kind)
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    held = np.isfinite(numbers) & (np.abs(numbers) < 2**63 / UNITS[kind])
    numbers = np.where(held, numbers, np.nan)
    unit: Any = kind.removeprefix("unix_")
    times: pd.Series[Any] = pd.to_datetime(pd.Series(numbers), unit=unit, errors="coerce")
    return _checked(times, kind, _unit_cure(numbers, kind))


def _check_unit(column: pa.ChunkedArray, kind: str) -> None:
    """Refuse numbers that are times of another unit, all of them or some."""
    numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    low, high = (bound * 1e9 for bound in _USUAL)
    usual = (numbers * UNITS[kind] >= low) & (numbers * UNITS[kind] <= high)
    if usual.all():
        return
    for other, factor in UNITS.items():
        of_other = ~usual & (numbers * factor >= low) & (numbers * factor <= high)
        if other == kind or not of_other.any():
            continue
        if of_other.mean() >= _NEARLY_ALL:
            cure = f"the numbers look like `datetime: {other}`"
            raise WrongTimesError(
                f"must be readable as {kind}, but {{name}} is not in {{rows}}", of_other, cure
            )
        if usual.any():
            cure = f"these rows look like {other}: the column mixes units; bring all rows to one"
            raise WrongTimesError(
                f"must be readable as {kind}, but {{name}} is not in {{rows}}", of_other, cure
            )


def _no_number(column: pa.ChunkedArray, fits: pa.ChunkedArray) -> str | None:
    """Say what to do with a column that holds dates where numbers were declared."""
    if pc.any(fits).as_py():
        return None
    return _cure(fitting_formats(column))


def unit_of(numbers: NDArray[Any]) -> str | None:
    """Return the unit in which nearly all numbers are times from 1973 to 2096, None if there is none."""
    kind, share = likeliest_unit(numbers)
    return kind if share >= _NEARLY_ALL else None


def likeliest_unit(numbers: NDArray[Any]) -> tuple[str, float]:
    """Return the unit in which most numbers are times from 1973 to 2096, and the share of these numbers."""
    low, high = _USUAL
    shares = {}
    for kind, factor in UNITS.items():
        seconds = numbers * (factor / 1e9)
        shares[kind] = float(((seconds >= low) & (seconds <= high)).mean())
    return max(shares.items(), key=lambda found: found[1])


def doubt_of(times: Times, kind: str) -> str | None:
    """Say why numbers may not be times of a unit: in it, most are before 1995."""
    seconds = float(np.median(times.astype("datetime64[ns]").astype(np.int64))) / 1e9
    if kind not in UNITS or seconds >= _WEB:
        return None
    number = seconds * 1e9 / UNITS[kind]
    now = float(np.datetime64("now").astype(np.int64))
    for name, factor, begin in _EPOCHS:
        if _WEB <= number / factor + begin <= now:
            by = "" if factor == 1 else f" / {factor:.0f}"
            sign = "+" if begin > 0 else "-"
            return f"before 1995; the numbers look like {name}: number{by} {sign} {abs(begin)} is unix_s"
    return "before 1995: the numbers may count in another unit, or from another year"


def _unit_cure(numbers: NDArray[Any], kind: str) -> str | None:
    unit = unit_of(np.asarray(numbers, dtype=np.float64))
    return f"the numbers look like `datetime: {unit}`" if unit not in {None, kind} else None


def _numbers(column: pa.ChunkedArray, first: str) -> WrongTimesError:
    numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
    unit = unit_of(numbers[~np.isnan(numbers)][:_LOOKED_AT])
    cure = (
        f"the numbers look like `datetime: {unit}`"
        if unit
        else 'numbers are read with `datetime: unix_s` (_ms, _us, _ns), or a format such as "%Y%m%d"'
    )
    return WrongTimesError(f"must hold dates, but {{name}} holds numbers such as {first}", None, cure)


def _iso(column: pa.ChunkedArray) -> Times:
    """Read text that starts with a date, as ISO 8601 has it."""
    text = pc.utf8_trim_whitespace(column)
    if pc.all(pc.match_substring_regex(text, NUMBER)).as_py():
        raise _numbers(text, str(plain(text[0])))
    try:
        return _checked(text.cast(pa.timestamp("ns")).to_numpy(), "iso")
    except pa.ArrowInvalid:
        pass
    utc = pc.replace_substring_regex(text, _UTC, r"\1Z")
    series = pd.Series(utc.to_numpy(), dtype=object).fillna("")
    zoned = series.str.contains(_ZONE)
    if zoned.any() and not zoned.all():
        rule = "must name a time zone in all rows or in none, but {name} does in {rows}"
        raise WrongTimesError(
            rule, zoned.to_numpy(), "write all times with a zone, or all in UTC without one"
        )
    parsed = pd.to_datetime(series, errors="coerce", utc=True, format="ISO8601").dt.tz_localize(None)
    other = [kind for kind in fitting_formats(text) if kind != "iso"] if parsed.isna().any() else []
    return _checked(parsed, "iso", _cure(other))


def _formatted(column: pa.ChunkedArray, kind: str) -> Times:
    series = pd.Series(column.to_numpy(), dtype=object)
    parsed = pd.to_datetime(series, errors="coerce", utc="%z" in kind or "%Z" in kind, format=kind)
    times = parsed.dt.tz_localize(None) if parsed.dt.tz is not None else parsed
    return _checked(times, kind, _swapped(series, kind) if times.isna().any() else None)


def _swapped(series: pd.Series[Any], kind: str) -> str | None:
    """Return the cure if all rows fit once day and month change places."""
    fitting = re.sub("%[dm]", lambda found: "%m" if found[0] == "%d" else "%d", kind)
    if fitting == kind:
        return None
    parsed = pd.to_datetime(series, errors="coerce", utc="%z" in kind or "%Z" in kind, format=fitting)
    return f'all rows fit `datetime: "{fitting}"`' if parsed.notna().all() else None


def fitting_formats(column: pa.ChunkedArray) -> list[str]:
    """Return the formats of dates that fit the first rows of text, ``iso`` among them; empty for none."""
    values = [value for value in column.slice(0, _LOOKED_AT).to_pylist() if isinstance(value, str) and value]
    if not values:
        return []
    series = pd.Series(values)
    utc = series.str.replace(_UTC, r"\1Z", regex=True)
    if pd.to_datetime(utc, errors="coerce", utc=True, format="ISO8601").notna().mean() >= _NEARLY_ALL:
        return ["iso"]
    return [kind for kind in (*FORMATS, *_OF_PROGRAMS) if _fits(series, kind)]


def _fits(series: pd.Series[Any], kind: str) -> bool:
    """Tell whether a format reads all values; the first few decide most often."""
    few = pd.to_datetime(series.iloc[:5], errors="coerce", utc=True, format=kind)
    if not few.notna().any():
        return False
    return bool(pd.to_datetime(series, errors="coerce", utc=True, format=kind).notna().mean() >= _NEARLY_ALL)


def _cure(formats: list[str]) -> str | None:
    texts = [kind if kind == "iso" else f'"{kind}"' for kind in formats]
    return f"the column looks like `datetime: {' or '.join(texts)}`" if texts else None
