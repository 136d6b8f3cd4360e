"""Figures of the objective by a single param: by each option of a choice, and along each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from tuner.reporting.html.dimensions import MISSING, Dimension, by_option, dimensions
from tuner.reporting.html.report_data import ReportData
from tuner.reporting.html.scales import Scale, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, clipped, ticks_of
from tuner.trials.objective import sort_key
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["numbers", "slices"]

_ROW, _TITLE, _GAP = 26, 26, 22
#: Largest number of panels for numbers.
MOST = 9


def slices(report: ReportData) -> Figure | None:
    """Draw the objective of complete trials by option, one panel for each choice."""
    chosen = [one for one in dimensions(report) if one.options]
    records = _complete(report)
    if not chosen or len(records) < 2:  # noqa: PLR2004  # a comparison needs two trials
        return None
    return Figure(
        "slices",
        "Each choice, option by option",
        "A dot is a complete trial, and the bar is the median. The numbers on the right are complete trials "
        "and, after +, stopped or failed ones. Trials of different options may also differ in other params.",
        lambda width: _draw(report, chosen, records, width),
    )


def numbers(report: ReportData) -> Figure | None:
    """Draw the objective of complete trials along each number."""
    chosen = [one for one in dimensions(report) if not one.options][:MOST]
    records = _complete(report)
    if not chosen or len(records) < 2:  # noqa: PLR2004  # a comparison needs two trials
        return None
    return Figure(
        "numbers",
        "Each number, along its range",
        "A dot is a complete trial to which the param applies.",
        lambda width: _draw_numbers(report, chosen, records, width),
    )


def _complete(report: ReportData) -> Sequence[TrialRecord]:
    return [row.record for row in report.done if row.record.name is None]


def _value(record: TrialRecord, report: ReportData) -> float:
    assert record.summary is not None, "only complete trials are drawn"
    return record.summary.metrics[report.objective]


def _draw(report: ReportData, chosen: Sequence[Dimension], records: Sequence[TrialRecord], width: int) -> str:
    columns = 1 if width < 700 else 2  # noqa: PLR2004  # two panels side by side need this width
    each = (width - 28 * (columns - 1)) / columns
    ends = span([_value(record, report) for record in records])
    others = [
        r for r in report.records if r.name is None and r.status in {TrialStatus.STOPPED, TrialStatus.FAILED}
    ]
    groups = [(one, by_option(one, records), by_option(one, others)) for one in chosen]
    heights = [0.0] * columns
    places = []
    for _, trials, ended in groups:
        column = heights.index(min(heights))
        places.append((column * (each + 28), heights[column]))
        heights[column] += _TITLE + _ROW * len({**trials, **ended}) + 22 + _GAP
    canvas = Canvas(width, max(heights) + 16, f"{report.objective} by each option of each choice")
    for (left, top), (one, trials, ended) in zip(places, groups, strict=True):
        _panel(canvas, report, one, (trials, ended), ends=ends, box=(left, top, each))
    return canvas.render()


def _panel(
    canvas: Canvas,
    report: ReportData,
    one: Dimension,
    groups: tuple[Mapping[str, list[TrialRecord]], Mapping[str, list[TrialRecord]]],
    *,
    ends: tuple[float, float],
    box: tuple[float, float, float],
) -> None:
    trials, ended = groups
    left, top, width = box
    middle = {option: median(_value(r, report) for r in found) for option, found in trials.items()}
    options = [option for option in one.options if option in middle or option in ended]
    if one.module:
        options.sort(key=lambda o: (o not in middle, sort_key(middle.get(o, 0), report.direction)))
    options += [MISSING] if MISSING in middle or MISSING in ended else []
    frame = Frame(left + min(150, width * 0.36), top + _TITLE, left + width - 56, 0)
    bottom = frame.top + _ROW * len(options)
    x = Scale(*ends, frame.left + 6, frame.right - 6)
    canvas.text((left, top + 14), clipped(one.label, width), colour="ink", bold=True, size=13)
    for at, label in ticks_of(x, 4):
        canvas.line((at, frame.top), (at, bottom))
        canvas.text((at, bottom + 16), label, anchor="middle", size=11)
    for index, option in enumerate(options):
        y = frame.top + _ROW * (index + 0.5)
        space = frame.left - left - 10
        faint = option == MISSING
        canvas.text(
            (frame.left - 10, y + 4),
            clipped(option, space),
            anchor="end",
            colour="muted" if faint else "ink",
        )
        found = trials.get(option, [])
        for record in found:
            lift = ((record.number * 0.618) % 1 - 0.5) * 12
            canvas.mark(
                "dot",
                (x(_value(record, report)), y + lift),
                colour="c7" if faint else "c0",
                size=3.2,
                trial=record.number,
                opacity=0.6,
            )
        if found:
            canvas.mark("bar", (x(middle[option]), y), colour="best", size=5)
        gone = len(ended.get(option, ()))
        counts = f"{len(found)}" + (f" +{gone}" if gone else "")
        canvas.text((left + width, y + 4), counts, anchor="end", size=11)


def _draw_numbers(
    report: ReportData, chosen: Sequence[Dimension], records: Sequence[TrialRecord], width: int
) -> str:
    columns = 1 if width < 520 else min(3, len(chosen))  # noqa: PLR2004  # width of a phone
    each, height = width / columns, 210
    lines = -(-len(chosen) // columns)
    canvas = Canvas(width, lines * height, f"{report.objective} along each number")
    ends = span([_value(record, report) for record in records])
    best = records[0].number
    for index, one in enumerate(chosen):
        left, top = each * (index % columns), height * (index // columns)
        frame = Frame(left + 52, top + 28, left + each - 14, top + height - 34)
        x = Scale(*span([one.low, one.high], log=one.log), frame.left, frame.right, log=one.log)
        y = Scale(*ends, frame.bottom, frame.top)
        canvas.axes(frame, ticks_of(x, 4), ticks_of(y, 4))
        label = one.label + (" (log)" if one.log else "")
        canvas.text((left, top + 14), clipped(label, each), colour="ink", bold=True, size=13)
        for record in reversed(records):
            value = one.number_of(record)
            if value is not None:
                place = (x(value), y(_value(record, report)))
                first = record.number == best
                canvas.mark(
                    "dot",
                    place,
                    colour="best" if first else "c0",
                    size=4.5 if first else 3.2,
                    trial=record.number,
                    opacity=None if first else 0.6,
                )
    return canvas.render()
