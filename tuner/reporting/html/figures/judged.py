"""Figure of the final judgement: holdout values with their intervals, and the letters of rows."""

from __future__ import annotations

from tuner.formatting import number
from tuner.holdout import Final
from tuner.reporting.html.report_data import ReportData, label_of
from tuner.reporting.html.scales import Scale, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, clipped, text_width, ticks_of

__all__ = ["judged"]

_ROW = 32


def judged(report: ReportData) -> Figure | None:
    """Draw the holdout value of each judged row with its interval, and its validation value."""
    final = report.final
    if final is None or not final.rows:
        return None
    n_seeds = max(len(row.seeds) for row in final.rows)
    return Figure(
        "holdout",
        f"{final.objective} on the holdout",
        f"95 % intervals over {final.n_users:,} users and {n_seeds} seed{'s' if n_seeds != 1 else ''}. The "
        "holdout cannot distinguish rows that share a letter. The order is that of validation.",
        lambda width: _draw(report, final, width),
        legend=(
            ("dot", "c0", "holdout"),
            ("diamond", "base", "baseline, holdout"),
            ("ring", "c7", "validation"),
        ),
    )


def _draw(report: ReportData, final: Final, width: int) -> str:
    narrow = width < 520  # noqa: PLR2004  # width of a phone
    records = {record.number: record for record in report.records}
    names = [label_of(records[row.number]) if row.number in records else row.label for row in final.rows]
    room = 12 + max(text_width(row.letters) for row in final.rows)
    left = min(width * 0.42, max(map(text_width, names)) + 12 + room)
    frame = Frame(left, 8, width - (16 if narrow else 64), 8 + _ROW * len(final.rows))
    values = [row.validation for row in final.rows]
    for row in final.rows:
        interval = row.intervals.get(final.objective)
        values += [row.metrics[final.objective], *((interval.low, interval.high) if interval else ())]
    x = Scale(*span(values), frame.left, frame.right)
    canvas = Canvas(width, frame.bottom + 44, f"{final.objective} on the holdout with intervals")
    canvas.value_axis(frame, ticks_of(x, 4 if narrow else 7), final.objective)
    for index, (row, name) in enumerate(zip(final.rows, names, strict=True)):
        is_winner = row.number == final.winner
        y = frame.top + _ROW * (index + 0.5)
        value, interval = row.metrics[final.objective], row.intervals.get(final.objective)
        colour = "c0" if row.name is None else "base"
        canvas.text((0, y + 4), row.letters, bold=True)
        canvas.text(
            (left - 12, y + 4),
            clipped(name, left - 12 - room),
            anchor="end",
            colour="ink" if is_winner else "muted",
            bold=is_winner,
        )
        if interval is not None:
            canvas.line((x(interval.low), y), (x(interval.high), y), colour=colour, width=2.5)
        canvas.mark("ring", (x(row.validation), y), colour="c7", size=4, trial=row.number)
        canvas.mark(
            "dot" if row.name is None else "diamond", (x(value), y), colour=colour, size=5, trial=row.number
        )
        if not narrow:
            canvas.text((width, y + 4), number(value), anchor="end", colour="ink", bold=is_winner)
    return canvas.render()
