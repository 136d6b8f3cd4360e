"""Figure of parallel coordinates over a conditional space: a line for each trial through its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuner.reporting.html.dimensions import MISSING, Dimension, dimensions
from tuner.reporting.html.figures.importances import weigh
from tuner.reporting.html.palette import RAMP
from tuner.reporting.html.report_data import ReportData
from tuner.reporting.html.scales import Scale, span, tick_labels
from tuner.reporting.html.svg import Canvas, Figure, clipped, text_width
from tuner.reporting.leaderboard import Row
from tuner.trials.objective import more_is_better
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["parallel"]

_TOP, _MAIN, _BELOW = 34, 250, 36
_AXIS_WIDTH = 112
_SHOWN = frozenset({TrialStatus.COMPLETE, TrialStatus.STOPPED})


def parallel(report: ReportData) -> Figure | None:
    """Draw each trial as a line through its varying params, the most important first, to its objective."""
    found = _by_importance(report)
    records = [r for r in report.records if r.name is None and r.status in _SHOWN]
    done = [row for row in report.done if row.record.name is None]
    if len(found) < 2 or len(done) < 2:  # noqa: PLR2004  # a line needs two ends
        return None
    lower = any(one.partial for one in found)
    stopped = (("line", "faint", "stopped early"),) if len(records) > len(done) else ()
    return Figure(
        "parallel",
        "Parallel coordinates",
        "A line for each trial; better trials have stronger lines."
        + (
            f" On the lower rail, n/a: the param {MISSING}, because it needs another option." if lower else ""
        ),
        lambda width: _draw(report, found, records, done, width),
        legend=(("line", "best", "best"), ("line", "q5", "good"), ("line", "q1", "poor"), *stopped),
    )


def _by_importance(report: ReportData) -> list[Dimension]:
    found = dimensions(report)
    shares: dict[str, float] = {}
    for name, share in weigh(report).shares.items():
        key = name.partition("@")[0]
        shares[key] = shares.get(key, 0.0) + share
    return sorted(found, key=lambda one: -shares.get(one.key, 0.0))


Place = Callable[[TrialRecord], float]


def _draw(
    report: ReportData,
    found: Sequence[Dimension],
    records: Sequence[TrialRecord],
    done: Sequence[Row],
    width: int,
) -> str:
    narrow = width < 520  # noqa: PLR2004  # width of a phone
    shown = list(found[: max(2, int(width / (86 if narrow else _AXIS_WIDTH)) - 1)])
    shown.sort(key=lambda one: not one.module)
    canvas = Canvas(width, _TOP + _MAIN + _BELOW + 8, "Parallel coordinates of all trials")
    left, right = 34.0, width - 40.0
    at = [left + (right - left) * index / len(shown) for index in range(len(shown) + 1)]
    step = at[1] - at[0]
    places: list[Place] = []
    drawn: list[Callable[[], None]] = []  # axes are drawn over the lines
    for x, one in zip(at, shown, strict=False):
        place, axis = _axis(canvas, one, x, step)
        places.append(place)
        drawn.append(axis)
    place, axis = _objective(canvas, report, done, at[-1])
    places.append(place)
    drawn.append(axis)
    _lines(canvas, records, done, at, places)
    for axis in drawn:
        axis()
    return canvas.render()


def _lines(
    canvas: Canvas,
    records: Sequence[TrialRecord],
    done: Sequence[Row],
    at: Sequence[float],
    places: Sequence[Place],
) -> None:
    ranks = {row.record.number: index for index, row in enumerate(done)}
    worst_first = sorted(records, key=lambda record: -ranks.get(record.number, len(done)))
    for record in worst_first:
        place = ranks.get(record.number)
        if place is None:
            colour, width, opacity = "faint", 1.0, 0.4
        elif place == 0:
            colour, width, opacity = "best", 2.6, 1.0
        else:
            better = 1 - place / max(1, len(done) - 1)
            colour, width, opacity = RAMP[min(len(RAMP) - 1, int(better * len(RAMP)))], 1.5, 0.8
        points = [(x, one(record)) for x, one in zip(at, places, strict=True)]
        canvas.path(points, colour=colour, width=width, opacity=opacity, trial=record.number, smooth=True)


def _axis(canvas: Canvas, one: Dimension, x: float, step: float) -> tuple[Place, Callable[[], None]]:
    """Return the function that places trials on the axis of a param, and the function that draws the axis."""
    ticks: list[tuple[float, str]]
    if one.options:
        each = _MAIN / len(one.options)
        centre = {option: _TOP + each * (index + 0.5) for index, option in enumerate(one.options)}
        ticks = [(y, option) for option, y in centre.items()]
        spread = min(each * 0.5, 22)

        def place(record: TrialRecord) -> float:
            middle = centre.get(one.text_of(record), _lower())
            return middle + ((record.number * 0.618) % 1 - 0.5) * (spread if middle != _lower() else 6)

    else:
        ends = (one.low, one.high)
        scale = Scale(*ends, _TOP + _MAIN - 4, _TOP + 4, log=one.log)
        values = scale.ticks(4)
        ticks = [(scale(value), label) for value, label in zip(values, tick_labels(values), strict=True)]

        def place(record: TrialRecord) -> float:
            value = one.number_of(record)
            return _lower() + ((record.number * 0.618) % 1 - 0.5) * 6 if value is None else scale(value)

    def draw() -> None:
        _rail(canvas, x, one.label, step, lower=one.partial)
        for y, label in ticks:
            _tag(canvas, x, y, label, step)

    return place, draw


def _objective(
    canvas: Canvas, report: ReportData, done: Sequence[Row], x: float
) -> tuple[Place, Callable[[], None]]:
    values = {row.record.number: report.value(row) for row in done}
    ends = span(list(values.values()), room=0.02)
    worst, best = _TOP + _MAIN - 4, _TOP + 4
    low, high = (worst, best) if more_is_better(report.direction) else (best, worst)
    scale = Scale(*ends, low, high)
    stopped = any(r.name is None and r.status == TrialStatus.STOPPED for r in report.records)

    def place(record: TrialRecord) -> float:
        return scale(values[record.number]) if record.number in values else _lower()

    def draw() -> None:
        canvas.line((x, _TOP), (x, _TOP + _MAIN), colour="ink", width=1.5)
        canvas.text((x + 40, 16), report.objective, anchor="end", colour="ink", bold=True)
        ticks = scale.ticks(5)
        for tick, label in zip(ticks, tick_labels(ticks), strict=True):
            canvas.text((x + 6, scale(tick) + 4), label, size=11)
        if stopped:
            canvas.text((x + 6, _lower() + 4), "none", size=11)

    return place, draw


def _lower() -> float:
    """Return the y coordinate of the rail for trials to which a param does not apply."""
    return _TOP + _MAIN + _BELOW / 2 + 4.0


def _rail(canvas: Canvas, x: float, label: str, step: float, *, lower: bool) -> None:
    canvas.line((x, _TOP), (x, _TOP + _MAIN), colour="ink", width=1.2)
    if lower:
        canvas.line((x, _lower() - 7), (x, _lower() + 7), colour="ink", width=1.2)
        _tag(canvas, x, _lower(), "n/a", step)
    canvas.text((x - 30, 16), clipped(label, (step - 8) * 0.92), colour="ink", bold=True)


def _tag(canvas: Canvas, x: float, y: float, label: str, step: float) -> None:
    """Write a value beside its axis, on a background that hides the lines behind it."""
    text = clipped(label, step - 16, 11)
    wide = text_width(text, 11) + 4
    canvas.rect((x + 4, y - 8), (wide, 15), colour="card", opacity=0.78)
    canvas.text((x + 6, y + 4), text, size=11, colour="ink")
