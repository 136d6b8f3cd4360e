"""How much the best rows differ from fold to fold."""

from __future__ import annotations

from tuner.formatting import number
from tuner.reporting.html.material import Material, label_of
from tuner.reporting.html.palette import CATEGORIES
from tuner.reporting.html.scales import Scale, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, clipped, text_width, ticks_of
from tuner.reporting.leaderboard import Row

__all__ = ["folds"]

#: Rows shown: the first so many, and the best baseline.
TOP = 12
ROW = 30


def folds(material: Material) -> Figure | None:
    """Draw each fold's value and the mean of the first rows."""
    n_folds = max((len(row.record.summary.folds) for row in material.done if row.record.summary), default=0)
    rows = list(material.done[:TOP])
    baseline = material.best_baseline
    if baseline is not None and baseline not in rows:
        rows.append(baseline)
    if n_folds < 2 or not rows:  # noqa: PLR2004  # one fold has no spread
        return None
    names = tuple(("dot", CATEGORIES[fold % len(CATEGORIES)], f"fold {fold + 1}") for fold in range(n_folds))
    return Figure(
        "folds",
        f"{material.objective} in each fold, best rows first",
        "The mean decides the rank. Where rows overlap, their order may be another on other data.",
        lambda width: _draw(material, rows, width),
        legend=(*names, ("bar", "ink", "mean over folds")),
    )


def _draw(material: Material, rows: list[Row], width: int) -> str:
    narrow = width < 520  # noqa: PLR2004  # a phone
    left = min(width * 0.4, max(text_width(label_of(row.record)) for row in rows) + 18)
    frame = Frame(left, 8, width - (16 if narrow else 64), 8 + ROW * len(rows))
    values = [fold[material.objective] for row in rows for fold in row.record.summary.folds]  # type: ignore[union-attr]  # ranked rows have one
    scale = Scale(*span(values), frame.left, frame.right)
    canvas = Canvas(width, frame.bottom + 44, f"{material.objective} of each fold for the best rows")
    canvas.value_axis(frame, ticks_of(scale, 4 if narrow else 7), material.objective)
    for index, row in enumerate(rows):
        y = frame.top + ROW * (index + 0.5)
        summary = row.record.summary
        assert summary is not None, "only complete trials are ranked"
        taken = [fold[material.objective] for fold in summary.folds]
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
