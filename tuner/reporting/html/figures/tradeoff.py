"""Figures of trade-offs: accuracy against other metrics, and the Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.reporting.html.report_data import ReportData, label_of
from tuner.reporting.html.scales import Scale, span
from tuner.reporting.html.svg import Canvas, Figure, Frame, clipped, text_width, ticks_of
from tuner.reporting.leaderboard import Row
from tuner.trials.constraints import quantities

__all__ = ["beyond_accuracy", "front", "tradeoff"]

#: Accuracy metrics of RecTools. All other metrics are drawn against the objective.
_ACCURACY = (
    "NDCG",
    "MAP",
    "MRR",
    "HitRate",
    "Recall",
    "Precision",
    "F1Beta",
    "Accuracy",
    "MCC",
    "PAP",
    "PartialAUC",
)
#: Metrics to show first, because teams ask for them most often.
_FIRST = ("Serendipity", "AvgRecPopularity", "Intersection")
_HEIGHT = 270
_LINE = 13


@dataclass(frozen=True)
class _Panel:
    """One scatter plot: names of both axes, and points (x, y, row)."""

    x: str
    y: str
    points: Sequence[tuple[float, float, Row]]


def beyond_accuracy(report: ReportData) -> list[str]:
    """Return the metrics that do not measure accuracy, those of `_FIRST` before the others."""
    others = [
        label
        for label in report.board.metrics
        if label != report.objective and not label.startswith(_ACCURACY)
    ]

    def place(label: str) -> int:
        return next((index for index, name in enumerate(_FIRST) if label.startswith(name)), len(_FIRST))

    return sorted(others, key=place)


def tradeoff(report: ReportData) -> Figure | None:
    """Draw the objective against up to three metrics that do not measure accuracy."""
    names = beyond_accuracy(report)[:3]
    panels = [_Panel(name, report.objective, _taken(report, name)) for name in names]
    panels = [panel for panel in panels if len({point[0] for point in panel.points}) > 1]
    if not panels:
        return None
    return Figure(
        "tradeoffs",
        f"{report.objective} against other metrics",
        "Complete trials and baselines. The best row is marked; baselines are named.",
        lambda width: _draw(report, panels, width, fronts=False),
        legend=(("dot", "c0", "trial"), ("diamond", "base", "baseline"), ("dot", "best", "best")),
    )


def front(report: ReportData) -> Figure | None:
    """Draw the first objective against each further one, and mark the rows of the Pareto front."""
    panels = [_Panel(name, report.objective, _taken(report, name)) for name in report.board.further]
    panels = [panel for panel in panels if panel.points]
    if not panels:
        return None
    directions = ", ".join(f"{name} ({way})" for name, way in report.board.further.items())
    return Figure(
        "pareto",
        "Pareto front",
        f"No other row beats the orange rows in all objectives: {report.objective} and {directions}.",
        lambda width: _draw(report, panels, width, fronts=True),
        legend=(("dot", "best", "on the front"), ("dot", "c7", "beaten"), ("diamond", "c7", "baseline")),
    )


def _taken(report: ReportData, name: str) -> list[tuple[float, float, Row]]:
    found = []
    for row in report.done:
        assert row.record.summary is not None, "only complete trials are ranked"
        values = quantities(row.record.summary)
        if name in values and report.objective in values:
            found.append((values[name], values[report.objective], row))
    return found


def _draw(report: ReportData, panels: Sequence[_Panel], width: int, *, fronts: bool) -> str:
    columns = 1 if width < 520 else max(2, min(3, len(panels)))  # noqa: PLR2004  # width of a phone
    each = width / columns
    lines = -(-len(panels) // columns)
    canvas = Canvas(width, lines * _HEIGHT, "Metrics against each other")
    for index, panel in enumerate(panels):
        left, top = each * (index % columns), _HEIGHT * (index // columns)
        frame = Frame(left + 54, top + 30, left + each - 18, top + _HEIGHT - 46)
        _scatter(canvas, report, panel, frame, fronts=fronts)
    return canvas.render()


def _scatter(canvas: Canvas, report: ReportData, panel: _Panel, frame: Frame, *, fronts: bool) -> None:
    x = Scale(*span([point[0] for point in panel.points], room=0.08), frame.left, frame.right)
    y = Scale(*span([point[1] for point in panel.points], room=0.08), frame.bottom, frame.top)
    canvas.axes(frame, ticks_of(x, 4), ticks_of(y, 4), x_label=panel.x)
    canvas.text((frame.left - 54, frame.top - 14), panel.y)
    if fronts:
        _front_line(canvas, report, panel, (x, y))
    best = report.best
    taken: list[tuple[float, float, float]] = []
    for at_x, at_y, row in reversed(panel.points):
        place = (x(at_x), y(at_y))
        baseline = row.record.name is not None
        first = row.front == 1 if fronts else row is best
        plain = "c7" if fronts else "base" if baseline else "c0"
        canvas.mark(
            "diamond" if baseline else "dot",
            place,
            colour="best" if first else plain,
            size=5 if first else 4,
            trial=row.record.number,
            opacity=0.9 if first or baseline else 0.65,
        )
    for at_x, at_y, row in panel.points:
        if row.record.name is not None or row is best:
            _name(canvas, label_of(row.record), (x(at_x), y(at_y)), frame, taken)


def _name(
    canvas: Canvas, name: str, at: tuple[float, float], frame: Frame, taken: list[tuple[float, float, float]]
) -> None:
    """Write a point's name beside it, unless another name is already there."""
    text = clipped(name, 120, 11)
    wide = text_width(text, 11)
    left = at[0] + 8 if at[0] + 8 + wide <= frame.right + 14 else at[0] - 8 - wide
    right, y = left + wide, at[1] + 4
    if left < frame.left or any(abs(y - v) < _LINE and left < r and right > l for l, r, v in taken):  # noqa: E741  # left, right, vertical
        return
    taken.append((left, right, y))
    canvas.text((left, y), text, size=11, colour="ink", halo=True)


def _front_line(canvas: Canvas, report: ReportData, panel: _Panel, scales: tuple[Scale, Scale]) -> None:
    """Join the rows of the first front if there are two objectives.

    With more, the line would mean nothing.
    """
    if len(report.board.further) > 1:
        return
    x, y = scales
    points = sorted((x(a), y(b)) for a, b, row in panel.points if row.front == 1)
    canvas.path(points, colour="best", width=1.5, dash="3 3") if len(points) > 1 else None
