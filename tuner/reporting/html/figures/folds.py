"""Figure of the best rows in each fold."""

from __future__ import annotations

from tuner.formatting import number
from tuner.reporting.html.palette import CATEGORIES
from tuner.reporting.html.report_data import ReportData, label_of
from tuner.reporting.html.scales import Scale, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, clipped, text_width, ticks_of
from tuner.reporting.leaderboard import Row

__all__ = ["folds"]

#: Number of rows shown, besides the best baseline.
TOP = 12
ROW = 30


def folds(report: ReportData) -> Figure | None:
    """Draw the value of each fold and the mean, for the first rows."""
    n_folds = max((len(row.record.summary.folds) for row in report.done if row.record.summary), default=0)
    rows = list(report.done[:TOP])
    baseline = report.best_baseline
    if baseline is not None and baseline not in rows:
        rows.append(baseline)
    if n_folds < 2 or not rows:  # noqa: PLR2004  # with one fold there is no spread
        return None
    names = tuple(("dot", CATEGORIES[fold % len(CATEGORIES)], f"fold {fold + 1}") for fold in range(n_folds))
    return Figure(
        "folds",
        f"{report.objective} in each fold, best rows first",
        "The mean decides the rank. If rows overlap, their order may differ on other data.",
        lambda width: _draw(report, rows, width),
        legend=(*names, ("bar", "ink", "mean over folds")),
    )


def _draw(report: ReportData, rows: list[Row], width: int) -> str:
    narrow = width < 520  # noqa: PLR2004  # width of a phone
    left = min(width * 0.4, max(text_width(label_of(row.record)) for row in rows) + 18)
    frame = Frame(left, 8, width - (16 if narrow else 64), 8 + ROW * len(rows))
    values = [fold[report.objective] for row in rows for fold in row.record.summary.folds]  # type: ignore[union-attr]  # ranked rows have one
    scale = Scale(*span(values), frame.left, frame.right)
    canvas = Canvas(width, frame.bottom + 44, f"{report.objective} of each fold for the best rows")
    canvas.value_axis(frame, ticks_of(scale, 4 if narrow else 7), report.objective)
    for index, row in enumerate(rows):
        y = frame.top + ROW * (index + 0.5)
        summary = row.record.summary
        assert summary is not None, "only complete trials are ranked"
        taken = [fold[report.objective] for fold in summary.folds]
        canvas.text(
            (left - 12, y + 4),
            clipped(label_of(row.record), left - 14),
            anchor="end",
            colour="ink" if index == 0 else "muted",
            bold=index == 0,
        )
        canvas.line((scale(min(taken)), y), (scale(max(taken)), y), colour="faint", width=2)
        for fold, value in enumerate(taken):
            colour = CATEGORIES[fold % len(CATEGORIES)]
            canvas.mark("dot", (scale(value), y), colour=colour, size=4.5, trial=row.record.number)
        canvas.mark("bar", (scale(summary.mean), y), colour="ink", size=4.5, trial=row.record.number)
        if not narrow:
            canvas.text((width, y + 4), number(summary.mean), anchor="end", colour="ink", bold=index == 0)
    return canvas.render()
