"""Figure of learning curves: the objective by epoch in each fold, and where trials were stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuner.reporting.html.palette import CATEGORIES
from tuner.reporting.html.report_data import ReportData, label_of
from tuner.reporting.html.scales import Scale, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, ticks_of
from tuner.trials.stored import TrialRecord

__all__ = ["curves"]

#: Number of trials drawn in a colour of their own.
TOP = 5
_HEIGHT = 280

Curves = Mapping[int, Sequence[tuple[int, float]]]


def curves(report: ReportData) -> Figure | None:
    """Draw the learning curves of all trials that have epochs."""
    found = {record.number: _curves(record, report.objective) for record in report.records}
    trained = {
        number: by_fold for number, by_fold in found.items() if any(len(c) > 1 for c in by_fold.values())
    }
    if not trained:
        return None
    top = [row.record for row in report.done if row.record.number in trained][:TOP]
    n_folds = 1 + max(fold for by_fold in trained.values() for fold in by_fold)
    legend = tuple(
        ("line", CATEGORIES[place % len(CATEGORIES)], label_of(record)) for place, record in enumerate(top)
    )
    stopped = any(record.stop for record in report.records)
    return Figure(
        "curves",
        f"{report.objective} by epoch",
        "The best rows are in colour, all others in grey. A ring marks the trial's best epoch, which is the "
        "same in all folds.",
        lambda width: _draw(report, trained, top, n_folds, width),
        legend=(*legend, *((("cross", "ink", "stopped here"),) if stopped else ())),
    )


def _curves(record: TrialRecord, objective: str) -> dict[int, list[tuple[int, float]]]:
    found: dict[int, list[tuple[int, float]]] = {}
    for evaluation in record.evaluations:
        if evaluation.epoch > 0 and objective in evaluation.metrics:
            found.setdefault(evaluation.fold, []).append((evaluation.epoch, evaluation.metrics[objective]))
    return found


def _draw(
    report: ReportData, trained: Mapping[int, Curves], top: Sequence[TrialRecord], n_folds: int, width: int
) -> str:
    columns = 1 if width < 520 else min(n_folds, 3)  # noqa: PLR2004  # width of a phone
    lines = -(-n_folds // columns)
    canvas = Canvas(width, lines * _HEIGHT, f"{report.objective} by epoch in each fold")
    values = [value for by_fold in trained.values() for curve in by_fold.values() for _, value in curve]
    epochs = max(epoch for by_fold in trained.values() for curve in by_fold.values() for epoch, _ in curve)
    each = width / columns
    records = {record.number: record for record in report.records}
    for fold in range(n_folds):
        left, above = each * (fold % columns), _HEIGHT * (fold // columns)
        frame = Frame(left + 52, above + 30, left + each - 14, above + _HEIGHT - 44)
        x = Scale(1, max(epochs, 2), frame.left + 6, frame.right - 6)
        y = Scale(*span(values), frame.bottom, frame.top)
        whole = [(at, label) for at, label in ticks_of(x, min(epochs, 8)) if "." not in label]
        canvas.axes(frame, whole, ticks_of(y, 5), x_label="epoch")
        canvas.text(
            (frame.left, above + 18), f"Fold {fold + 1}" + (f" · {report.objective}" if not fold else "")
        )
        chosen = {record.number for record in top}
        for number, by_fold in trained.items():
            if number not in chosen:
                _curve(canvas, records[number], by_fold, (fold, x, y), "faint")
        for place, record in reversed(list(enumerate(top))):
            colour = CATEGORIES[place % len(CATEGORIES)]
            _curve(canvas, record, trained[record.number], (fold, x, y), colour)
    return canvas.render()


def _curve(
    canvas: Canvas, record: TrialRecord, by_fold: Curves, panel: tuple[int, Scale, Scale], colour: str
) -> None:
    fold, x, y = panel
    curve = by_fold.get(fold, ())
    if not curve:
        return
    top = colour != "faint"
    points = [(x(epoch), y(value)) for epoch, value in curve]
    if len(points) > 1:
        canvas.path(
            points,
            colour=colour,
            width=2.2 if top else 1.2,
            opacity=None if top else 0.65,
            trial=record.number,
        )
    else:
        canvas.mark("dot", points[0], colour=colour, size=2, trial=record.number)
    if record.stop is not None and record.stop.fold == fold:
        canvas.mark("cross", points[-1], colour="ink", size=3, trial=record.number, opacity=0.75)
    if top and record.summary is not None:
        at = [point for point, (epoch, _) in zip(points, curve, strict=True) if epoch == record.summary.epoch]
        for point in at:
            canvas.mark("ring", point, colour=colour, size=4.5, trial=record.number)
